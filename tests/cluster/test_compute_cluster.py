"""Steps that share a ComputeCluster's nodes, in real pods."""

import pytest
from kube import sets, watched
from steps import ITEMS


@pytest.fixture
def worker_pods(namespace, tmp_path):
    """Every set of worker pods that there was, by name: one for each event of a watch from now on."""
    with watched(namespace, tmp_path / "pods", "pods", "--selector=longshore.dev/role=worker") as events:
        yield lambda: list(sets(events()))


def nodes(namespace):
    """The status of the ComputeCluster; before there is one, none of its fields has a value."""
    return namespace.read("computeclusters.longshore.dev/cpu").get("status", {})


def count(namespace, state):
    return nodes(namespace).get("nodeStateCounts", {}).get(f"{state}NodeCount")


def placeholders(namespace):
    found = namespace.get("pods", "--selector=longshore.dev/role=placeholder")
    return [each for each in found if "deletionTimestamp" not in each["metadata"]]


def test_two_steps_compete_for_nodes_and_all_are_deleted_after_the_idle_time(steps, namespace, worker_pods):
    steps.apply("ComputeCluster", "cpu", maxNodes=3, idleSecondsBeforeScaleDown=5)
    steps.submit("first", computeTarget="cpu", nodeCount=3, limit=ITEMS - 10)
    steps.until_done(ITEMS - 10, "first")
    steps.submit("second", computeTarget="cpu", nodeCount=2)
    steps.until(lambda: steps.condition(name="second")["reason"] == "WaitingForNodes")
    waits = steps.condition(name="second")["message"]
    assert waits == "waiting for a node of ComputeCluster cpu, which has 3; in use: first 3"
    assert not steps.pods(name="second")
    for name in ("first", "second"):
        assert steps.finish(name)["status"] == "True", steps.condition(name=name)
    seen = worker_pods()
    assert max(map(len, seen)) == 3
    assert {name.rpartition("-worker-")[0] for pods in seen for name in pods} == {"first", "second"}
    steps.until(lambda: not namespace.get("pods", "--selector=longshore.dev/compute=cpu"))
    fields = ("allocationState", "currentNodeCount", "targetNodeCount")
    steps.until(lambda: [nodes(namespace).get(each) for each in fields] == ["Steady", 0, 0])


def test_the_least_number_of_nodes_is_kept_and_yields_to_a_worker(steps, namespace):
    steps.apply("ComputeCluster", "cpu", minNodes=1, maxNodes=1, idleSecondsBeforeScaleDown=1)
    steps.until(lambda: count(namespace, "idle") == 1)
    assert len(placeholders(namespace)) == 1
    steps.submit(computeTarget="cpu", nodeCount=1, limit=5)
    steps.until_done(5)
    steps.until(lambda: count(namespace, "running") == 1)
    assert not placeholders(namespace)
    assert steps.finish()["status"] == "True"
    steps.until(lambda: count(namespace, "idle") == 1)
    assert len(placeholders(namespace)) == 1


def test_a_worker_without_work_makes_room_for_another_step(steps):
    """The last mini-batch of a step keeps one worker; the other's node is free for who waits."""
    steps.apply("ComputeCluster", "cpu", maxNodes=2, idleSecondsBeforeScaleDown=0)
    steps.submit("first", computeTarget="cpu", nodeCount=2, limit=ITEMS - 1)
    steps.until_done(ITEMS - 1, "first")
    steps.until(lambda: len(steps.pods("worker", "first")) == 1)
    steps.script("free", "def run(mini_batch):\n    return mini_batch")
    steps.submit("second", computeTarget="cpu", nodeCount=2, source={"configMap": "free"})
    steps.until(lambda: steps.condition("Finished", "second")["status"] == "True")
    assert steps.condition(name="second")["status"] == "True"
    assert steps.condition(name="first")["reason"] == "Running"
    assert steps.finish("first")["status"] == "True"
    assert steps.status("first")["progress"]["miniBatches"]["retried"] == 0


def test_a_machine_size_that_is_not_known_is_reported_and_starts_nothing(steps, namespace):
    steps.apply("ComputeCluster", "cpu", vmSize="STANDARD_D2_V22")
    steps.submit(computeTarget="cpu")
    assert steps.finish()["reason"] == "InvalidInput"
    assert "spec.vmSize is 'STANDARD_D2_V22'" in steps.condition()["message"]
    (ready,) = nodes(namespace)["conditions"]
    assert (ready["status"], ready["reason"]) == ("False", "InvalidInput")
    assert not namespace.get("pods")
