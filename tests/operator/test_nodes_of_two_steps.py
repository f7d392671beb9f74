"""Two steps that compete for the nodes of a ComputeCluster, in a cluster in memory."""

import pytest
from rivals import Rivals, compute, left_behind, with_lags
from world import NAMESPACE

from longshore_operator.cluster.api import Refused


def test_two_steps_never_have_more_workers_than_there_may_be_nodes(rivals):
    rivals.kube.put(compute())
    rivals.put("first")
    rivals.put("second", minute=1)
    rivals.run(until=lambda: len(rivals.order) == 2)
    assert rivals.most == 3
    assert rivals.order == ["first", "second"]
    assert rivals.status("second")["progress"]["columns"]["done"] == "8/8"


def test_a_waiting_step_reports_what_it_waits_for(rivals):
    rivals.kube.put(compute())
    rivals.put("first")
    rivals.put("second", minute=1)
    rivals.run(until=lambda: rivals.done["first"] > 0)
    conditions = {each["type"]: each for each in rivals.status("second")["conditions"]}
    assert conditions["Succeeded"]["reason"] == "WaitingForNodes"
    assert "ComputeCluster cpu, which has 3; in use: first 3" in conditions["Succeeded"]["message"]
    assert "second-coordinator" not in rivals.kube.of("Pod")


def test_workers_without_work_go_to_the_step_that_waits(rivals):
    rivals.kube.put(compute())
    rivals.put("first")
    rivals.put("second", minute=1)
    rivals.run(until=lambda: rivals.done["first"] == 6)
    rivals.done["first"], rivals.stuck = 7, {"first"}
    rivals.run(until=lambda: rivals.done["second"] > 0)
    assert len(rivals.workers("first")) == 1
    rivals.stuck = set()
    rivals.run(until=lambda: len(rivals.order) == 2)


def test_a_higher_priority_goes_first(rivals):
    rivals.kube.put(compute(maxNodes=1))
    rivals.put("first")
    rivals.put("second", minute=1, priority=5)
    rivals.run(until=lambda: len(rivals.order) == 2)
    assert rivals.order == ["second", "first"]


def test_all_nodes_are_deleted_after_the_idle_time(rivals):
    rivals.kube.put(compute())
    rivals.put("first")
    rivals.run(until=lambda: rivals.finished("first") and not rivals.workers())
    rivals.look()
    assert len(rivals.pods("placeholder")) >= 1
    rivals.run(until=lambda: rivals.status("cpu", "ComputeCluster")["allocationState"] == "Steady", limit=12)
    assert not rivals.pods("placeholder")
    status = rivals.status("cpu", "ComputeCluster")
    assert (status["currentNodeCount"], status["targetNodeCount"]) == (0, 0)


def test_the_least_number_of_nodes_stays_and_yields_to_workers(rivals):
    rivals.kube.put(compute(minNodes=1))
    rivals.run(until=lambda: rivals.status("cpu", "ComputeCluster").get("allocationState") == "Steady")
    assert len(rivals.pods("placeholder")) == 1
    rivals.put("first")
    rivals.run(until=lambda: rivals.workers("first") and not rivals.pods("placeholder"))
    rivals.run(until=lambda: rivals.finished("first"))
    rivals.run(until=lambda: not rivals.workers())
    rivals.tick(60.0)
    rivals.run(until=lambda: len(rivals.pods("placeholder")) == 1)
    rivals.tick(60.0)
    rivals.look()
    assert len(rivals.pods("placeholder")) == 1


def test_a_step_whose_pods_are_refused_keeps_no_other_from_the_nodes(rivals):
    def no_foreign_images(verb, _, name):
        if verb == "create" and name in ("first-coordinator", "first-worker-0"):
            raise Refused("images of example.com are not allowed")

    rivals.kube.put(compute(minNodes=1))
    rivals.kube.fail = no_foreign_images
    rivals.put("first")
    rivals.put("second", minute=1)
    rivals.run(until=lambda: rivals.finished("second"))
    assert rivals.status("first")["conditions"][0]["reason"] == "Refused"
    assert rivals.kube.writes.count(("create", "Event", "first")) <= 3


@pytest.mark.parametrize("changed", [{"computeTarget": "other"}, {"nodeCount": 1}])
def test_a_run_gets_its_lost_workers_back_whatever_its_spec_is_by_now(rivals, changed):
    rivals.kube.put(compute())
    rivals.put("first")
    rivals.run(until=lambda: rivals.done["first"] > 0)
    rivals.stuck = {"first"}
    rivals.kube.objects["ParallelRunStep", NAMESPACE, "first"]["spec"] |= changed
    for each in rivals.workers("first"):
        del rivals.kube.objects["Pod", NAMESPACE, each["metadata"]["name"]]
    rivals.run(until=lambda: len(rivals.workers("first")) == 3)


@pytest.mark.parametrize("reason", ["Refused", "NameTaken"])
def test_a_placeholder_that_cannot_be_made_is_reported_once_and_tried_again(rivals, reason):
    def refuse(*asked):
        if asked[:2] == ("create", "Pod"):
            raise Refused("no PriorityClass with name longshore-placeholder was found")

    rivals.kube.put(compute(minNodes=1))
    theirs = {"name": "cpu-placeholder-0", "namespace": NAMESPACE, "labels": {"longshore.dev/role": "theirs"}}
    if reason == "Refused":
        rivals.kube.fail = refuse
    else:
        rivals.kube.put({"apiVersion": "v1", "kind": "Pod", "metadata": theirs})
    for _ in range(5):
        rivals.look()
        rivals.tick(30.0)
    status = rivals.status("cpu", "ComputeCluster")
    (ready,) = status["conditions"]
    assert (ready["status"], ready["reason"], status["currentNodeCount"]) == ("False", reason, 0)
    assert len(rivals.kube.of("Event")) == 1
    rivals.kube.fail = None
    if reason == "NameTaken":
        del rivals.kube.objects["Pod", NAMESPACE, "cpu-placeholder-0"]
    rivals.look()
    assert len(rivals.pods("placeholder")) == 1


@pytest.mark.parametrize("role", ["worker", "placeholder"])
def test_a_pod_with_our_labels_that_is_another_owners_is_left_alone(rivals, role):
    labels = {"longshore.dev/compute": "cpu", "longshore.dev/role": role}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": NAMESPACE, "labels": labels}}
    rivals.kube.put(compute())
    rivals.kube.put(pod | {"status": {"phase": "Failed"}})
    rivals.reconciler.reconcile("ComputeCluster", NAMESPACE, "cpu")
    assert list(rivals.kube.of("Pod")) == ["x"]
    assert rivals.status("cpu", "ComputeCluster")


@pytest.mark.parametrize(
    "spec",
    [
        {"affinity": {"nodeAffinity": 3}},
        {"topologySpreadConstraints": [{"maxSkew": "x"}]},
        {"volumes": [{"name": "shm", "emptyDir": 3}]},
        {
            "volumes": [{"name": "shm", "emptyDir": {}}],
            "containers": [{"name": "main", "volumeMounts": [{"name": "shm"}]}],
        },
    ],
    ids=["affinity", "spread", "volume", "mount"],
)
def test_a_template_that_is_no_part_of_a_pod_is_reported_by_the_step_and_the_cluster(rivals, spec):
    rivals.kube.put(compute(podTemplate={"spec": spec}, minNodes=1))
    rivals.put("first")
    rivals.look()
    for status in rivals.status("first"), rivals.status("cpu", "ComputeCluster"):
        assert status["conditions"][0]["reason"] == "InvalidInput"
        assert "spec.podTemplate.spec is wrong" in status["conditions"][0]["message"]
    assert not rivals.kube.of("Pod")


def test_a_template_may_name_main_and_add_nothing_to_it(rivals):
    rivals.kube.put(compute(podTemplate={"spec": {"containers": [{"name": "main"}]}}))
    rivals.put("first")
    rivals.run(until=lambda: rivals.finished("first"))


def everything(rivals):
    rivals.kube.put(compute(minNodes=1))
    rivals.put("first")
    rivals.put("second", minute=1)


def at_rest(rivals):
    counts = rivals.status("cpu", "ComputeCluster").get("currentNodeCount")
    return len(rivals.order) == 2 and not rivals.workers() and (counts, len(rivals.pods("placeholder"))) == (1, 1)


def undisturbed():
    rivals = Rivals()
    everything(rivals)
    rivals.run(until=lambda: at_rest(rivals))
    return rivals


WRITES = len(undisturbed().kube.writes)


@pytest.mark.parametrize(("killed_after", "lag"), with_lags(WRITES))
def test_an_operator_killed_after_any_write_comes_to_the_same_end(killed_after, lag):
    rivals = Rivals(lag=lag)
    everything(rivals)
    rivals.run_killed(killed_after, until=lambda: at_rest(rivals))
    assert at_rest(rivals)
    assert rivals.most <= 3
    assert left_behind(rivals) == left_behind(undisturbed())
