"""The dashboard and the alerts: expressions read metrics that exist, alerts fire when they should, and only then."""

import json
import re
import subprocess
from pathlib import Path

import helm_python as helm
import promql_parser
import pytest
import yaml
from docsite.metrics import used
from promtool import promtool

CHART = Path(__file__).resolve().parents[2] / "charts" / "longshore"
NAMESPACE = "longshore-system"
BOTH = {"metrics": {"dashboard": {"create": True}, "prometheusRule": {"create": True, "labels": {"release": "mine"}}}}
OPEN_LABELS = {"code", "verb", "compute_namespace", "compute_cluster", "le"}  # whose values no table lists
VARIABLES = {"$__rate_interval": "5m", "$namespace": ".*"}  # of Grafana


def rendered(values):
    with helm.Chart.load(CHART) as chart:
        text = chart.render(values, name="longshore", namespace=NAMESPACE)["longshore/templates/monitoring.yaml"]
    return {each["kind"]: each for each in yaml.safe_load_all(text) if each}


@pytest.fixture(scope="module")
def objects():
    return rendered(BOTH)


@pytest.fixture(scope="module")
def dashboard(objects):
    return json.loads(objects["ConfigMap"]["data"]["longshore.json"])


def alerts():
    groups = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    return {each["alert"]: each for group in groups for each in group["rules"]}


def panels():
    board = json.loads((CHART / "files" / "dashboard.json").read_text())
    return {each["title"]: each for each in board["panels"] if each["type"] != "row"}


def expressions():
    """Return each expression with the alert or panel that has it."""
    found = [(name, alert["expr"]) for name, alert in alerts().items()]
    for title, panel in panels().items():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            found.append((title, expression))
    return found


def exported():
    """Return the series that the operator exports: for each name the values of each label that it was seen with."""
    found = {}
    for family in used().registry.collect():
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def selectors(node):
    found = []

    def visit(each):
        if isinstance(each, promql_parser.VectorSelector):
            found.append(each)

    promql_parser.walk(node, pre_visit=visit)
    return found


def grouped(node):
    """Return the labels that aggregations and matchings name."""
    found = set()

    def visit(each):
        if isinstance(each, promql_parser.AggregateExpr) and each.modifier is not None:
            found.update(each.modifier.labels)
        if isinstance(each, promql_parser.BinaryExpr) and each.modifier is not None and each.modifier.matching:
            found.update(each.modifier.matching.labels)

    promql_parser.walk(node, pre_visit=visit)
    return found


def faults(expression, series):
    """Yield what an expression reads that is not exported."""
    node = promql_parser.parse(expression)
    known = set()
    for selector in selectors(node):
        labels = series.get(selector.name)
        if labels is None:
            yield f"the metric {selector.name} does not exist"
            continue
        known |= labels.keys()
        for matcher in selector.matchers.matchers:
            if matcher.name not in labels:
                yield f"{selector.name} has no label {matcher.name}"
            elif matcher.name not in OPEN_LABELS and matcher.op in (
                promql_parser.MatchOp.Equal,
                promql_parser.MatchOp.Re,
            ):
                for value in matcher.value.split("|"):
                    if not any(re.fullmatch(value, each) for each in labels[matcher.name]):
                        yield f"{selector.name} has no {matcher.name}={value}"
    for label in grouped(node) - known:
        yield f"no metric of the expression has the label {label}"


@pytest.mark.parametrize("expression", [each for _, each in expressions()])
def test_expressions_read_metrics_and_labels_that_exist(expression):
    assert list(faults(expression, exported())) == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("sum(longshore_stepz)", "the metric longshore_stepz does not exist"),
        ("rate(longshore_mini_batches[5m])", "the metric longshore_mini_batches does not exist"),
        ('longshore_steps{status="failed"}', "longshore_steps has no label status"),
        ('longshore_steps{state=~"failed|done"}', "longshore_steps has no state=done"),
        ("sum by (namespace) (longshore_workers)", "no metric of the expression has the label namespace"),
    ],
)
def test_what_does_not_exist_is_noticed(expression, fault):
    assert list(faults(expression, exported())) == [fault]


def test_the_dashboard_shows_every_metric_of_the_operator():
    shown = {
        selector.name
        for title, each in expressions()
        if title in panels()
        for selector in selectors(promql_parser.parse(each))
    }
    families = [each for each in used().registry.collect() if each.name.startswith("longshore_")]
    missing = [each.name for each in families if not any(name.startswith(each.name) for name in shown)]
    assert missing == []


def test_legends_name_labels_that_the_expression_keeps():
    for title, panel in panels().items():
        for target in panel["targets"]:
            named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            kept = target["expr"].partition(" by (")[2].partition(")")[0].replace(" ", "").split(",")
            assert named <= set(kept), title


def test_the_dashboard_is_found_by_grafanas_sidecar(objects, dashboard):
    metadata = objects["ConfigMap"]["metadata"]
    assert metadata["labels"]["grafana_dashboard"] == "1"
    assert metadata["namespace"] == NAMESPACE
    assert {each["datasource"]["uid"] for each in dashboard["panels"] if "datasource" in each} == {"${datasource}"}
    assert "datasource" in [each["name"] for each in dashboard["templating"]["list"]]
    assert len({each["id"] for each in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_dashboard_fits_into_another_namespace_and_folder():
    values = {"dashboard": {"create": True, "namespace": "grafana", "annotations": {"grafana_folder": "Batch"}}}
    metadata = rendered({"metrics": values})["ConfigMap"]["metadata"]
    assert (metadata["namespace"], metadata["annotations"]) == ("grafana", {"grafana_folder": "Batch"})


def test_panels_do_not_overlap(dashboard):
    cells = [
        (x, y)
        for each in dashboard["panels"]
        for x in range(each["gridPos"]["x"], each["gridPos"]["x"] + each["gridPos"]["w"])
        for y in range(each["gridPos"]["y"], each["gridPos"]["y"] + each["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_neither_is_installed_unless_asked_for():
    assert rendered({}) == {}


@pytest.mark.parametrize("name", alerts())
def test_an_alert_explains_itself_and_names_one_command(objects, name):
    groups = objects["PrometheusRule"]["spec"]["groups"]
    (alert,) = [each for group in groups for each in group["rules"] if each.get("alert") == name]
    assert alert["labels"]["severity"] in ("info", "warning", "critical")
    assert alert["annotations"]["summary"].endswith(".")
    assert alert["annotations"]["description"].count(" kubectl ") == 1
    assert "RELEASE_" not in json.dumps(alert)


def test_the_rules_are_selected_as_configured(objects):
    assert objects["PrometheusRule"]["metadata"]["labels"]["release"] == "mine"


# --- with Prometheus's own tool -------------------------------------------------------------------------------------

COUNTERS = "longshore_api_requests_total"
AGES = "longshore_status_age_seconds_bucket"
LATE = "longshore_queue_lateness_seconds_bucket"
NODES = 'longshore_compute_cluster_nodes{compute_namespace="score", compute_cluster="gpu", state="%s"}'
MOST = 'longshore_compute_cluster_max_nodes{compute_namespace="score", compute_cluster="gpu"}'
ENDED = 'longshore_mini_batches_total{outcome="%s"}'
CASES = {  # alert -> series that raise it, series that do not; a value each minute
    "LongshoreOperatorDown": (
        {"longshore_leader": "0x600"},
        {'longshore_leader{pod="a"}': "0x600", 'longshore_leader{pod="b"}': "1x600"},
    ),
    "LongshoreReconcileErrors": (
        {'longshore_reconciles_total{kind="ScriptStep", outcome="error"}': "0+6x600"},
        {
            'longshore_reconciles_total{kind="ScriptStep", outcome="error"}': "0+1x600",
            'longshore_reconciles_total{kind="ScriptStep", outcome="success"}': "0+60x600",
        },
    ),
    "LongshoreQueueLate": (
        {f'{LATE}{{le="2.5"}}': "0+1x600", f'{LATE}{{le="10.0"}}': "0+10x600", f'{LATE}{{le="+Inf"}}': "0+10x600"},
        {f'{LATE}{{le="2.5"}}': "0+10x600", f'{LATE}{{le="10.0"}}': "0+10x600", f'{LATE}{{le="+Inf"}}': "0+10x600"},
    ),
    "LongshoreStatusLag": (
        {f'{AGES}{{le="30.0"}}': "0+5x600", f'{AGES}{{le="60.0"}}': "0+10x600", f'{AGES}{{le="+Inf"}}': "0+10x600"},
        {f'{AGES}{{le="30.0"}}': "0+99x600", f'{AGES}{{le="60.0"}}': "0+100x600", f'{AGES}{{le="+Inf"}}': "0+100x600"},
    ),
    "LongshoreApiErrors": (
        {f'{COUNTERS}{{verb="get", kind="Pod", code="{code}"}}': "0+5x600" for code in ("200", "503", "error")},
        {f'{COUNTERS}{{verb="get", kind="Pod", code="{code}"}}': "0+5x600" for code in ("200", "404", "409")},
    ),
    "LongshoreApiForbidden": (
        {f'{COUNTERS}{{verb="create", kind="Pod", code="403"}}': "0+1x600"},
        {f'{COUNTERS}{{verb="create", kind="Pod", code="403"}}': "0x10 1x600"},
    ),
    "LongshoreCoordinatorsSilent": (
        {'longshore_coordinators{state="silent"}': "2x600"},
        {'longshore_coordinators{state="silent"}': "2x8 0x600", 'longshore_coordinators{state="answering"}': "9x600"},
    ),
    "LongshoreFailures": (
        {'longshore_failures_total{kind="ScriptStep"}': "0x590 1x10"},
        {'longshore_failures_total{kind="ScriptStep"}': "7x600"},
    ),
    "LongshoreSystemErrors": (
        {'longshore_first_errors_total{category="System"}': "0x590 1x10"},
        {'longshore_first_errors_total{category="UserError"}': "0+1x600"},
    ),
    "LongshoreFailedMiniBatches": (
        {ENDED % "failed": "0+2x600", ENDED % "succeeded": "0+10x600"},
        {ENDED % "failed": "0+1x600", ENDED % "succeeded": "0+10x600"},
    ),
    "LongshoreNoProgress": (
        {'longshore_steps{state="running"}': "1x600", ENDED % "succeeded": "7x600"},
        {'longshore_steps{state="running"}': "1x600", ENDED % "succeeded": "0+1x600"},
    ),
    "LongshoreNodesNotReady": (
        {NODES % "preparing": "2x600"},
        {NODES % "preparing": "0x580 2x20", NODES % "running": "2x600"},
    ),
    "LongshoreComputeClusterFull": (
        {NODES % "running": "4x600", MOST: "4x600"},
        {NODES % "running": "3x600", MOST: "4x600"},
    ),
}


def test_every_alert_has_a_case():
    assert CASES.keys() == alerts().keys()


@pytest.fixture
def rules_with(objects, tmp_path):
    """Write the rules, all or one alert, to a file."""

    def write(name=None):
        groups = [
            {**group, "rules": [each for each in group["rules"] if name in (None, each["alert"])]}
            for group in objects["PrometheusRule"]["spec"]["groups"]
        ]
        path = tmp_path / "rules.yaml"
        path.write_text(yaml.safe_dump({"groups": groups}))
        return path

    return write


def check(*arguments):
    ended = subprocess.run([promtool(), *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_prometheus_accepts_the_rules(rules_with):
    check("check", "rules", "--lint-fatal", rules_with())


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_when_it_should_and_only_then(rules_with, tmp_path, name):
    fires, stays_quiet = (
        {
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in given.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}})',
                    "eval_time": "10h",
                    "exp_samples": [{"labels": "{}", "value": 1}] if is_expected else [],
                }
            ],
        }
        for given, is_expected in zip(CASES[name], (True, False), strict=True)
    )
    document = {"rule_files": [str(rules_with(name))], "evaluation_interval": "1m", "tests": [fires, stays_quiet]}
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(document))
    check("test", "rules", path)
