"""Argo CD's and Flux's health of every status that Longshore writes: by their own languages, and of one mind."""

from datetime import UTC, datetime

import celpy
import pytest
import yaml
from celpy import CELEvalError
from crd_schemas import CRDS
from lupa import lua51  # Argo CD's Lua is 5.1
from manifests import ROOT
from reasons_in_code import reasons_in_code

from longshore_planner.status import condition, conditions

FOLDER = ROOT / "deploy" / "gitops"
LUA = (FOLDER / "health.lua").read_text()
FLUX = {each["kind"]: each for each in yaml.safe_load((FOLDER / "flux-health.yaml").read_text())["healthCheckExprs"]}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUNS = ("ParallelRunStep", "ScriptStep", "TransferStep", "PipelineRun")
KEPT = ("Pipeline", "ComputeCluster")
OF_ARGO = {"Healthy": "current", "Suspended": "current", "Degraded": "failed", "Progressing": "in progress"}


def resource(kind, found=None, *, generation=3, observed=3):
    status = None if found is None else {"conditions": found, "observedGeneration": observed}
    made = {"apiVersion": "longshore.dev/v1alpha1", "kind": kind, "metadata": {"name": "x", "generation": generation}}
    return made if status is None else {**made, "status": status}


def of_run(kind, succeeded, reason, *, stalled="", message="a message", **generations):
    found = conditions(succeeded, reason=reason, message=message, stalled=stalled, previous=None, generation=3, now=NOW)
    return resource(kind, [each.model_dump(mode="json", by_alias=True) for each in found], **generations)


def of_kept(kind, ready, reason, **generations):
    found = condition("Ready", ready, reason=reason, message="m", previous=None, generation=3, now=NOW)
    return resource(kind, [found.model_dump(mode="json", by_alias=True)], **generations)


def argo(raw):
    """Return status and message."""
    runtime = lua51.LuaRuntime()
    runtime.globals().obj = runtime.table_from(raw, recursive=True)
    found = runtime.execute(LUA)
    return found.status, found.message


def flux(raw):
    """Evaluate as Flux does: in this order, and in progress where a field is missing or no expression is true."""
    for name, state in (("inProgress", "in progress"), ("failed", "failed"), ("current", "current")):
        try:
            if program(FLUX[raw["kind"]][name]).evaluate({key: celpy.json_to_cel(each) for key, each in raw.items()}):
                return state
        except CELEvalError:
            return "in progress"
    return "in progress"


def program(expression):
    environment = celpy.Environment()
    return environment.program(environment.compile(expression))


def check(raw, health):
    assert argo(raw)[0] == health
    assert flux(raw) == OF_ARGO[health]


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize(
    ("succeeded", "reason", "stalled", "health"),
    [
        ("Unknown", "Pending", "", "Progressing"),
        ("Unknown", "Running", "", "Progressing"),
        ("Unknown", "WaitingForReferences", "", "Progressing"),
        ("Unknown", "Suspending", "", "Progressing"),
        ("Unknown", "Suspended", "", "Suspended"),
        ("Unknown", "Refused", "Refused", "Degraded"),
        ("Unknown", "Running", "StepStalled", "Degraded"),
        ("True", "Succeeded", "", "Healthy"),
        ("True", "SucceededWithFailures", "", "Healthy"),
        ("False", "ErrorThresholdExceeded", "", "Degraded"),
        ("False", "Cancelled", "", "Degraded"),
    ],
)
def test_steps_and_runs(kind, succeeded, reason, stalled, health):
    check(of_run(kind, succeeded, reason, stalled=stalled), health)


@pytest.mark.parametrize("kind", KEPT)
@pytest.mark.parametrize(
    ("ready", "reason", "health"),
    [
        ("True", "Valid", "Healthy"),
        ("True", "Steady", "Healthy"),
        ("True", "Resizing", "Healthy"),
        ("False", "InvalidInput", "Degraded"),
        ("False", "QuotaExceeded", "Degraded"),
        ("Unknown", "Pending", "Progressing"),
    ],
)
def test_pipelines_and_compute_clusters(kind, ready, reason, health):
    check(of_kept(kind, ready, reason), health)


@pytest.mark.parametrize("kind", [*RUNS, *KEPT])
def test_what_the_operator_has_not_seen_yet_is_in_progress(kind):
    check(resource(kind), "Progressing")
    assert argo(resource(kind)) == ("Progressing", "Waiting for Longshore's operator")
    made = of_run if kind in RUNS else of_kept
    check(made(kind, "True", "Succeeded", observed=2), "Progressing")
    check(made(kind, "False", "InvalidInput", observed=2), "Progressing")


def test_every_reason_of_the_code_has_one_health_in_both():
    for reason in sorted(reasons_in_code()):
        for truth in ("True", "False", "Unknown"):
            run, kept = of_run("ParallelRunStep", truth, reason), of_kept("ComputeCluster", truth, reason)
            assert flux(run) == OF_ARGO[argo(run)[0]], (reason, truth)
            assert flux(kept) == OF_ARGO[argo(kept)[0]], (reason, truth)


@pytest.mark.parametrize("kind", [*RUNS, *KEPT])
def test_the_message_is_the_conditions_or_else_its_reason(kind):
    made = of_run("ScriptStep", "Unknown", "Running", message="2 of 3 files are copied")
    assert argo({**made, "kind": kind})[1] == "2 of 3 files are copied"
    assert argo(of_run("ScriptStep", "True", "Succeeded", message=""))[1] == "Succeeded"


def test_the_page_shows_the_expressions_as_they_are():
    page = (ROOT / "docs" / "how-to" / "gitops.md").read_text()
    (shown,) = [each.partition("```")[0] for each in page.split("```yaml\n")[1:] if "healthCheckExprs" in each]
    assert yaml.safe_load(shown)["spec"]["healthCheckExprs"] == [FLUX["ParallelRunStep"]]


def test_each_kind_whose_status_is_always_written_is_checked():
    data = yaml.safe_load((FOLDER / "argocd-cm.yaml").read_text())["data"]
    prefix = "resource.customizations.health.longshore.dev_"
    assert {key.removeprefix(prefix) for key in data} == {*RUNS, *KEPT} == FLUX.keys()
    assert set(data.values()) == {LUA}, "argocd-cm.yaml has another text than health.lua"
    assert FLUX.keys() <= CRDS.keys()
    assert {each["apiVersion"] for each in FLUX.values()} == {"longshore.dev/v1alpha1"}
