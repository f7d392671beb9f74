"""What the operator counts: never backwards, nothing twice, no name of a step."""

import urllib.error
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from runs import CHAIN, RunWorld
from task_world import AROUND, TaskWorld, script, transfer
from world import NAMESPACE, World

from longshore_operator.endpoints import serving
from longshore_operator.metrics import MeteredKube, Metrics
from longshore_protocol.errors import CATEGORIES


@pytest.fixture
def metrics():
    return Metrics()


def watched(metrics, world=None):
    """A world whose operator counts."""
    world = world or World()
    world.reconciler = world.operator(metrics)
    return world


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def ended(metrics, what, outcome="succeeded"):
    return value(metrics, f"longshore_{what}_total", outcome=outcome)


def manifest(succeeded=0, failed=0, *, run="run-1", uid="u", **status):
    counts = {"succeeded": succeeded, "failed": failed}
    progress = {"miniBatches": counts, "items": {name: 10 * each for name, each in counts.items()}}
    given = {"runId": run, "progress": progress | {"workers": {"wanted": 2, "ready": 1}}, **status}
    return {"metadata": {"namespace": NAMESPACE, "name": "score", "uid": uid}, "status": given}


def condition(status):
    return {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Succeeded", "status": status}]}


NEW = {"metadata": {"namespace": NAMESPACE, "name": "score", "uid": "u"}}


def test_a_step_is_counted_from_its_beginning_to_its_end(metrics):
    world = watched(metrics)
    world.submit()
    world.reconcile()
    assert value(metrics, "longshore_steps", state="pending") == 1
    world.tick()
    world.reconcile()
    assert value(metrics, "longshore_workers", state="wanted") == 2
    world.run()
    assert ended(metrics, "mini_batches") == 6
    assert value(metrics, "longshore_steps", state="succeeded") == 1
    assert value(metrics, "longshore_workers", state="wanted") == 0


def test_a_deleted_step_is_no_step_any_more_and_what_it_did_still_counts(metrics):
    world = watched(metrics)
    world.submit()
    world.run()
    del world.kube.objects["ParallelRunStep", NAMESPACE, "score"]
    world.reconcile()
    assert value(metrics, "longshore_steps", state="succeeded") == 0
    assert ended(metrics, "mini_batches") == 6


def test_an_operator_that_comes_back_counts_only_what_its_predecessor_did_not(metrics):
    before = manifest(40, 2)
    metrics.step(before)
    assert ended(metrics, "mini_batches") == 0
    metrics.step(manifest(50, 3))
    assert (ended(metrics, "mini_batches"), ended(metrics, "mini_batches", "failed")) == (10, 1)
    assert (ended(metrics, "items"), ended(metrics, "items", "failed")) == (100, 10)


def test_what_goes_back_is_not_counted_twice_when_it_comes_again(metrics):
    for succeeded in (0, 5, 3, 5, 6):  # a coordinator was killed, and did two again
        metrics.step(manifest(succeeded))
    assert ended(metrics, "mini_batches") == 6


def test_another_run_of_a_step_begins_at_nought(metrics):
    metrics.step(NEW)
    metrics.step(manifest(5))
    metrics.step(manifest(2, run="run-2"))
    assert ended(metrics, "mini_batches") == 7


def test_another_step_of_the_same_name_is_another_step(metrics):
    metrics.step(NEW)
    metrics.step(manifest(5))
    metrics.step({"metadata": {**NEW["metadata"], "uid": "v"}})
    metrics.step(manifest(4, uid="v"))
    assert ended(metrics, "mini_batches") == 9
    assert value(metrics, "longshore_steps", state="pending") == 1


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, "pending"),
        ({"startTime": "2026-01-01T00:00:00Z"}, "running"),
        (condition("Unknown") | {"startTime": "2026-01-01T00:00:00Z"}, "running"),
        (condition("Unknown"), "pending"),
        (condition("True"), "succeeded"),
        (condition("False"), "failed"),
    ],
)
def test_a_step_is_in_one_state(metrics, status, state):
    metrics.step(manifest(**status))
    states = ("pending", "running", "succeeded", "failed")
    assert {each: value(metrics, "longshore_steps", state=each) for each in states} == {
        each: float(each == state) for each in states
    }
    assert value(metrics, "longshore_workers", state="ready") == (1 if state in ("pending", "running") else 0)


def test_tasks_are_counted_beside_steps(metrics):
    world = TaskWorld()
    world.reconciler = world.operator(metrics)
    world.submit(*AROUND, script(), transfer("copy"))
    world.reconcile("copy", "TransferStep")
    world.run()
    counts = {each: value(metrics, "longshore_tasks", state=each) for each in ("pending", "succeeded")}
    assert counts == {"pending": 1, "succeeded": 1}
    del world.kube.objects["ScriptStep", NAMESPACE, "train"]
    world.reconcile()
    assert value(metrics, "longshore_tasks", state="succeeded") == 0
    assert value(metrics, "longshore_steps", state="succeeded") == 0


def test_pipeline_runs_are_counted_apart(metrics):
    world = RunWorld()
    world.reconciler = world.operator(metrics)
    world.submit(*CHAIN)
    world.reconcile()
    world.reconcile()
    assert value(metrics, "longshore_pipeline_runs", state="running") == 1
    world.run()
    assert value(metrics, "longshore_pipeline_runs", state="succeeded") == 1
    assert value(metrics, "longshore_tasks", state="succeeded") == 3  # as it has seen them, too
    del world.kube.objects["PipelineRun", NAMESPACE, "nightly"]
    world.reconcile()
    assert value(metrics, "longshore_pipeline_runs", state="succeeded") == 0


def test_a_reconcile_is_counted_by_what_came_of_it(metrics):
    for again in (None, 2.0, 0.0):
        with metrics.reconcile("ParallelRunStep") as done:
            done(again)
    with pytest.raises(ValueError), metrics.reconcile("ParallelRunStep"):  # noqa: PT011, ours
        raise ValueError
    outcomes = {
        each: value(metrics, "longshore_reconciles_total", kind="ParallelRunStep", outcome=each)
        for each in ("success", "requeue", "error")
    }
    assert outcomes == {"success": 1, "requeue": 2, "error": 1}
    assert value(metrics, "longshore_reconcile_duration_seconds_count", kind="ParallelRunStep") == 4


def test_lateness_of_reconciles_and_age_of_statuses_are_histograms(metrics):
    metrics.queue_lateness(0.3)
    now = datetime.now(UTC).replace(microsecond=0)
    for age in (0, 4, 100, -50):  # a coordinator's clock may be ahead
        metrics.status_age({"progress": {"observedTime": (now - timedelta(seconds=age)).isoformat()}})
    metrics.status_age({"progress": {}})
    assert value(metrics, "longshore_queue_lateness_seconds_bucket", le="0.25") == 0
    assert value(metrics, "longshore_queue_lateness_seconds_bucket", le="0.5") == 1
    assert value(metrics, "longshore_status_age_seconds_count") == 4
    assert value(metrics, "longshore_status_age_seconds_bucket", le="60.0") == 3


def test_each_status_that_is_written_counts_by_its_age(metrics):
    world = watched(metrics)
    last = world.last
    world.last = lambda: replace(last(), observed=world.now.timestamp())
    world.submit()
    world.run()
    statuses = [each for each in world.kube.writes if each[:2] == ("status", "ParallelRunStep")]
    assert 0 < value(metrics, "longshore_status_age_seconds_count") < len(statuses), "the first have no counts"


def test_no_label_names_a_step(metrics):
    world = watched(metrics)
    world.submit()
    world.run()
    metrics.api_request("get", "Pod", "200")
    with metrics.reconcile("ParallelRunStep"):
        pass
    labels = {
        name
        for family in metrics.registry.collect()
        if family.name.startswith("longshore_")
        for sample in family.samples
        for name in sample.labels
    }
    assert labels == {"kind", "outcome", "le", "state", "verb", "code", "category"}


def failing(category, **changes):
    return manifest(1, 1, **condition("False"), firstError={"category": category}, **changes)


@pytest.mark.parametrize("category", ["UserError", "Timeout", "OutOfMemory", "DataError", "System"])
def test_a_failure_is_counted_once_with_the_category_of_its_first_error(metrics, category):
    metrics.step(NEW)
    for _ in range(3):
        metrics.step(failing(category))
    assert value(metrics, "longshore_failures_total", kind="ParallelRunStep") == 1
    counts = {each: value(metrics, "longshore_first_errors_total", category=each) for each in CATEGORIES}
    assert counts == {each: float(each == category) for each in CATEGORIES}


def test_a_category_of_another_version_counts_as_system(metrics):
    metrics.step(NEW)
    metrics.step(failing("Novel"))
    assert value(metrics, "longshore_first_errors_total", category="System") == 1


def test_a_failure_that_an_earlier_operator_counted_is_not_counted_again(metrics):
    metrics.step(failing("Timeout"))
    metrics.other({**failing(""), "kind": "ScriptStep"})
    assert value(metrics, "longshore_first_errors_total", category="Timeout") == 0
    kinds = ("ParallelRunStep", "ScriptStep", "TransferStep", "PipelineRun")
    assert {each: value(metrics, "longshore_failures_total", kind=each) for each in kinds} == dict.fromkeys(kinds, 0)


@pytest.mark.parametrize("kind", ["ScriptStep", "TransferStep", "PipelineRun"])
def test_each_failure_of_a_retried_resource_is_counted(metrics, kind):
    for status in ("Unknown", "False", "False", "Unknown", "False"):
        metrics.other({**manifest(**condition(status)), "kind": kind})
    assert value(metrics, "longshore_failures_total", kind=kind) == 2


def test_nodes_of_a_compute_cluster_are_counted_by_state_until_it_is_deleted(metrics):
    world = World()
    metered = MeteredKube(world.kube, metrics)
    cluster = {
        "kind": "ComputeCluster",
        "metadata": {"namespace": NAMESPACE, "name": "gpu", "uid": "u"},
        "spec": {"maxNodes": 6},
        "status": {"nodeStateCounts": {"runningNodeCount": 2, "idleNodeCount": 1}},
    }
    world.kube.objects["ComputeCluster", NAMESPACE, "gpu"] = cluster
    metered.read("ComputeCluster", NAMESPACE, "gpu")
    labels = {"compute_namespace": NAMESPACE, "compute_cluster": "gpu"}

    def nodes(state):
        return value(metrics, "longshore_compute_cluster_nodes", **labels, state=state)

    assert [nodes(each) for each in ("running", "idle", "preparing")] == [2, 1, 0]
    written = {key: each for key, each in cluster.items() if key != "spec"}
    metered.write_status({**written, "status": {"nodeStateCounts": {"preparingNodeCount": 3}}})
    assert [nodes(each) for each in ("running", "idle", "preparing")] == [0, 0, 3]
    assert value(metrics, "longshore_compute_cluster_max_nodes", **labels) == 6
    del world.kube.objects["ComputeCluster", NAMESPACE, "gpu"]
    metered.read("ComputeCluster", NAMESPACE, "gpu")
    assert nodes("running") is None
    assert value(metrics, "longshore_compute_cluster_max_nodes", **labels) is None


def test_an_operator_that_stands_by_reports_no_resources_and_counts_nothing_twice_when_it_leads_again(metrics):
    cluster = {"metadata": {"namespace": NAMESPACE, "name": "gpu"}, "spec": {"maxNodes": 6}}
    steps = (manifest(5), {**manifest(**condition("False")), "kind": "ScriptStep"}, cluster)

    def lead():
        for note, each in zip((metrics.step, metrics.other, metrics.cluster), steps, strict=True):
            note(each)

    def reported():
        states = ("pending", "running", "succeeded", "failed")
        counts = [value(metrics, f"longshore_{each}", state=of) for each in ("steps", "tasks") for of in states]
        return sum(counts), value(
            metrics, "longshore_compute_cluster_max_nodes", compute_namespace=NAMESPACE, compute_cluster="gpu"
        )

    lead()
    assert reported() == (2, 6)
    metrics.forget_all()
    assert reported() == (0, None)
    lead()
    assert reported() == (2, 6)
    assert ended(metrics, "mini_batches") == 0
    assert value(metrics, "longshore_failures_total", kind="ScriptStep") == 0


def test_coordinators_are_counted_at_each_scrape(metrics):
    states = {"answering": 3, "silent": 0}
    metrics.coordinators(lambda: states)
    states["silent"] = 2
    assert value(metrics, "longshore_coordinators", state="answering") == 3
    assert value(metrics, "longshore_coordinators", state="silent") == 2


# --- over HTTP ------------------------------------------------------------------------------------------------------


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_metrics_are_served_in_the_format_of_prometheus(metrics):
    metrics.queue_depth(lambda: 7)
    with serving(("127.0.0.1", 0), metrics.registry, lambda: True) as port:
        status, type_, text = get(port, "/metrics")
    assert status == 200
    assert type_.startswith("text/plain; version=")
    lines = text.splitlines()
    assert "longshore_queue_depth 7.0" in lines
    assert 'longshore_mini_batches_total{outcome="failed"} 0.0' in lines
    assert not [each for each in lines if "_created" in each]


def test_readiness_is_asked_each_time(metrics):
    ready = iter([False, True])
    with serving(("127.0.0.1", 0), metrics.registry, lambda: next(ready)) as port:
        assert [get(port, "/readyz")[0] for _ in range(2)] == [503, 200]
        assert get(port, "/elsewhere")[0] == 404
