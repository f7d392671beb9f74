"""The definitions in crds/ as a real API server takes them, and manifests as it takes or refuses them."""

import pytest
from bad_manifests import BY_KEY, BY_SCHEMA, is_named
from kube import words
from manifests import API_VERSION, covers, manifest, of_data, of_documentation, of_examples, step

KINDS = [
    "computeclusters",
    "datasets",
    "datastores",
    "environments",
    "models",
    "parallelrunsteps",
    "pipelineruns",
    "pipelines",
    "scriptsteps",
    "transfersteps",
]
MANIFESTS = [pytest.param(raw, id=name) for name, raw in (*of_examples(), *of_documentation(), *of_data())]
REFUSED = [pytest.param(raw, field, id=f"{raw['kind']}-{field}") for raw, field in (*BY_SCHEMA, *BY_KEY)]


def without_namespace(raw):
    return {**raw, "metadata": {key: each for key, each in raw["metadata"].items() if key != "namespace"}}


# The definitions


def test_each_file_becomes_an_established_definition(kubectl, crds):
    assert crds == [f"{kind}.longshore.dev" for kind in KINDS]
    for each in crds:
        conditions = {c["type"]: c["status"] for c in kubectl.get("crd", each)["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}  # NonStructuralSchema would be a third


@pytest.mark.usefixtures("crds")
def test_each_kind_is_found_by_its_short_names_and_category(kubectl):
    listed = words(kubectl("api-resources", "--categories=longshore", "--no-headers"))
    short = {line[0]: line[1].split(",") for line in listed}
    assert short == {
        "computeclusters": ["amlcompute"],
        "datasets": ["lsdata"],
        "datastores": ["lsstore"],
        "environments": ["lsenv"],
        "models": ["lsmodel"],
        "parallelrunsteps": ["prs", "parallelrun"],
        "pipelineruns": ["lsrun"],
        "pipelines": ["lspipeline"],
        "scriptsteps": ["lsscript"],
        "transfersteps": ["lstransfer"],
    }


@pytest.mark.parametrize(
    ("field", "explained"),
    [
        ("parallelrunstep.spec.miniBatchSize", "Files (file inputs, 10 if not given) or bytes such as 1024"),
        ("prs.spec.inputs.tabular.separator", "Character between fields (csv)."),
        ("prs.status.progress.miniBatches.total", "All mini-batches; absent until the inputs are listed completely."),
        ("amlcompute.spec.minNodes", "Nodes that are kept while no step runs."),
        ("lspipeline.spec.steps.retries", "Attempts after the first one failed."),
        ("lsrun.spec.retryOf", "Clusters only: a failed or cancelled PipelineRun to continue."),
        ("lsscript.spec.scriptName", "Path of the script below the source folder."),
        ("lstransfer.spec.destination", "Location and name of the copy."),
    ],
)
@pytest.mark.usefixtures("crds")
def test_kubectl_explains_a_field(kubectl, field, explained):
    def told():
        ended = kubectl.try_("explain", field)  # the server publishes a new definition's schema a little later
        return ended.returncode == 0 and " ".join(ended.stdout.split())

    assert explained in kubectl.eventually(told)


# Manifests


@pytest.mark.parametrize("raw", MANIFESTS)
def test_a_manifest_of_the_examples_and_tests_is_taken_and_loses_nothing(namespace, raw):
    namespace("create", "--filename=-", stdin=without_namespace(raw))
    kept = namespace.get(f"{raw['kind']}.longshore.dev", raw["metadata"]["name"])
    assert covers(kept["spec"], raw["spec"])


def test_what_is_not_given_gets_its_default(namespace):
    namespace("create", "--filename=-", stdin=manifest("ComputeCluster", {}))
    spec = namespace.get("amlcompute", "sample")["spec"]
    assert spec == {"vmPriority": "dedicated", "minNodes": 0, "maxNodes": 4, "idleSecondsBeforeScaleDown": 1800}


@pytest.mark.parametrize(("raw", "field"), REFUSED)
def test_a_bad_manifest_is_refused_by_the_server_with_its_fields_name(shared_namespace, raw, field):
    without_kubectls_own = ("create", "--validate=false", "--filename=-")
    ended = shared_namespace.try_(*without_kubectls_own, stdin=raw)
    assert ended.returncode != 0
    assert "is invalid" in ended.stderr
    assert is_named(field, ended.stderr), ended.stderr
    assert shared_namespace.get(f"{raw['kind']}.longshore.dev") == []


def test_a_misspelt_field_is_refused_by_kubectl_and_pruned_by_the_server(namespace):
    namespace.eventually(lambda: namespace.try_("explain", "prs.spec").returncode == 0)  # kubectl knows the fields
    ended = namespace.try_("create", "--validate=true", "--filename=-", stdin=step(nodeCounts=2))
    assert ended.returncode != 0
    assert "nodeCounts" in ended.stderr
    namespace("create", "--validate=false", "--filename=-", stdin=step(nodeCounts=2))
    assert "nodeCounts" not in namespace.get("prs", "sample")["spec"]


# Status


def condition(type_, status, reason):
    since = "2026-01-01T00:00:00Z"
    return {"type": type_, "status": status, "reason": reason, "message": "All is well.", "lastTransitionTime": since}


STATUS = {
    "observedGeneration": 1,
    "conditions": [condition("Succeeded", "Unknown", "Running")],
    "progress": {
        "miniBatches": {"total": 40, "scheduled": 40, "succeeded": 30, "failed": 2},
        "columns": {"done": "32/40", "failed": "2", "rate": "12/min", "eta": "40s", "workers": "2/2"},
    },
}


def path_of(kubectl, name="sample"):
    return f"/apis/{API_VERSION}/namespaces/{kubectl.namespace}/parallelrunsteps/{name}"


def test_the_columns_of_a_step_show_its_status(unattended):
    unattended("create", "--filename=-", stdin=step())
    made = unattended.get("prs", "sample")
    unattended.request("PUT", f"{path_of(unattended)}/status", {**made, "status": STATUS})
    titles, row = words(unattended("get", "prs"))
    assert titles == ["NAME", "SUCCEEDED", "REASON", "DONE", "FAILED", "RATE", "ETA", "WORKERS", "AGE"]
    assert row[:-1] == ["sample", "Unknown", "Running", "32/40", "2", "12/min", "40s", "2/2"]
    assert "MESSAGE" in words(unattended("get", "prs", "--output=wide"))[0]


def test_spec_and_status_are_written_apart(unattended):
    unattended("create", "--filename=-", stdin={**step(), "status": STATUS})
    made = unattended.get("prs", "sample")
    assert "status" not in made
    written = {**made, "spec": {**made["spec"], "nodeCount": 7}, "status": STATUS}
    kept = unattended.request("PUT", f"{path_of(unattended)}/status", written)
    assert (kept["spec"], kept["status"]) == (made["spec"], STATUS)
    assert kept["metadata"]["generation"] == 1
    kept = unattended.request("PUT", path_of(unattended), {**kept, "spec": written["spec"], "status": {}})
    assert (kept["spec"]["nodeCount"], kept["status"]) == (7, STATUS)
    assert kept["metadata"]["generation"] == 2


@pytest.mark.parametrize("status", [{"conditions": [{"status": "True"}]}, {"observedGeneration": "one"}], ids=str)
def test_a_bad_status_is_refused(unattended, status):
    unattended("create", "--filename=-", stdin=step())
    made = unattended.get("prs", "sample")
    stdin = {**made, "status": status}
    ended = unattended.try_("replace", f"--raw={path_of(unattended)}/status", "--filename=-", stdin=stdin)
    assert ended.returncode != 0
    assert f"status.{next(iter(status))}" in ended.stderr


def test_conditions_that_two_apply_merge_by_type(unattended):
    """Of a kind without integer-or-string: for the others, API servers before 1.21 take each list as one value."""
    unattended("create", "--filename=-", stdin=manifest("Datastore", {"uri": "file:///data"}))
    path = f"/apis/{API_VERSION}/namespaces/{unattended.namespace}/datastores/sample/status"
    head = {"apiVersion": API_VERSION, "kind": "Datastore"}
    for manager, type_ in (("one", "Ready"), ("two", "Stalled"), ("one", "Ready")):
        status = {"conditions": [condition(type_, "True", manager.capitalize())]}
        unattended.request("PATCH", path, {**head, "status": status}, fieldManager=manager)
    kept = unattended.get("lsstore", "sample")["status"]["conditions"]
    assert {each["type"]: each["reason"] for each in kept} == {"Ready": "One", "Stalled": "Two"}


def test_an_applied_status_of_a_step_takes_the_place_of_the_earlier_one(unattended):
    unattended("create", "--filename=-", stdin=step())
    head = {"apiVersion": API_VERSION, "kind": "ParallelRunStep"}
    for done in ("31/40", "32/40"):
        progress = {**STATUS["progress"], "columns": {"done": done}}
        body = {**head, "status": {**STATUS, "progress": progress}}
        unattended.request("PATCH", f"{path_of(unattended)}/status", body, fieldManager="longshore")
    kept = unattended.get("prs", "sample")
    assert kept["status"] == body["status"]
    assert kept["metadata"]["generation"] == 1


def test_a_field_belongs_to_who_applied_it(unattended):
    def apply(raw, *more):
        return unattended.try_("apply", "--server-side", *more, "--validate=false", "--filename=-", stdin=raw)

    mine, theirs = "--field-manager=mine", "--field-manager=theirs"
    assert apply(step(nodeCount=2), mine).returncode == 0
    ended = apply(step(nodeCount=3), theirs)
    assert ended.returncode != 0
    assert ".spec.nodeCount" in ended.stderr
    assert unattended.get("prs", "sample")["spec"]["nodeCount"] == 2
    assert apply(step(nodeCount=3), theirs, "--force-conflicts").returncode == 0
    assert unattended.get("prs", "sample")["spec"]["nodeCount"] == 3
