"""Pods of tasks that are lost, absent, leaving or refused: what counts as a loss, and which pod follows."""

import pytest
from task_world import (
    AROUND,
    KIND,
    TaskWorld,
    result,
    script,
    state,
    terminated,
    transfer,
)
from world import NAMESPACE

from longshore_protocol.script_job import CANCELLED


@pytest.fixture
def world():
    return TaskWorld()


@pytest.mark.parametrize("end", ["evicted", "Error", result(CANCELLED, exit_code=-15)], ids=["", "killed", "told"])
def test_a_lost_pod_is_counted_and_followed_by_another(world, end):
    world.submit()
    world.ends["train-task-0"] = end
    status = world.run()
    assert world.said()[:2] == ("True", "Succeeded")
    assert status["losses"] == 1
    assert list(world.kube.of("Pod")) == ["train-task-1"]
    assert "PodLost" in world.reasons()
    assert world.most == 1


def test_how_a_pod_was_lost_is_reported(world):
    world.submit()
    world.ends["train-task-0"] = "evicted"
    world.until("PodLost")
    said = "pod train-task-0 left no result (Evicted: The node was low on memory.); another one follows"
    assert world.said() == ("Unknown", "PodLost", said)


def test_ten_lost_pods_are_followed_by_another_and_no_more(world):
    world.submit()
    world.ends |= {f"train-task-{n}": "evicted" for n in range(20)}
    status = world.run(limit=200)
    assert world.said()[:2] == ("False", "LostTooOften")
    assert "11 pods were lost; the last: pod train-task-10 " in world.said()[2]
    assert status["losses"] == 10
    assert list(world.kube.of("Pod")) == ["train-task-10"]


def test_a_pod_that_is_absent_is_made_again_and_is_no_loss(world):
    world.submit()
    world.until("Running")
    del world.kube.objects["Pod", NAMESPACE, "train-task-0"]
    status = world.run()
    assert (status["losses"], world.said()[1]) == (0, "Succeeded")


def test_a_pod_on_its_way_out_is_waited_for_and_what_it_leaves_counts(world):
    world.submit()
    world.until("Running")
    world.pod()["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:30Z"
    for _ in range(3):
        world.tick()
        world.reconcile()
    assert list(world.kube.of("Pod")) == ["train-task-0"]
    assert "is being deleted" in world.said()[2]
    world.end(world.pod(), result())
    world.reconcile()
    assert world.said()[:2] == ("True", "Succeeded")


def test_a_pod_whose_node_does_not_answer_is_removed_and_made_again(world):
    world.submit()
    world.until("Running")
    world.pod()["metadata"]["deletionTimestamp"] = world.stamp()
    world.tick(59.0)
    world.reconcile()
    assert not [each for each in world.kube.writes if each[0] == "delete"]
    world.tick(2.0)
    world.reconcile()
    assert not world.kube.of("Pod")
    assert world.run()["losses"] == 0


def test_a_pod_that_a_node_refused_is_made_again_after_a_pause_and_is_no_loss(world):
    world.submit()
    world.reconcile()
    world.pod()["status"] = {"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough cpu"}
    world.reconcile()
    assert world.said()[:2] == ("Unknown", "Unschedulable")
    assert "Node didn't have enough cpu" in world.said()[2]
    assert "train-task-0" in world.kube.of("Pod")
    world.tick(11.0)
    assert world.run()["losses"] == 0


def test_a_host_that_ended_without_a_result_is_a_loss_though_no_process_collects(world):
    """Its container ended before it held the lock, so `collect` waits for ever."""
    world.submit()
    world.until("Running")
    main = terminated("main", 1, "ModuleNotFoundError: No module named 'fcntl'", at=world.stamp())
    world.pod()["status"]["containerStatuses"] = [main, state("collect", running={})]
    world.pod()["stuck"] = True
    world.tick(20.0)
    world.reconcile()
    assert world.status()["losses"] == 0
    world.tick(20.0)
    world.reconcile()
    assert world.said()[:2] == ("Unknown", "PodLost")
    assert "exit code 1: ModuleNotFoundError" in world.said()[2]
    assert world.run()["losses"] == 1


@pytest.mark.parametrize("of", [KIND, "TransferStep"])
def test_a_pod_whose_result_no_process_will_report_is_a_loss_though_another_container_runs(world, of):
    world.submit(*AROUND, script() if of == KIND else transfer("train"))
    world.until("Running", of=of)
    name, beside = ("collect", "main") if of == KIND else ("transfer", "sidecar")
    killed = terminated(name, 137, reason="OOMKilled", at=world.stamp())
    world.pod()["status"]["containerStatuses"] = [state(beside, running={"startedAt": world.stamp()}), killed]
    world.pod()["stuck"] = True
    world.reconcile(of=of)
    assert world.condition(of=of)["reason"] == "Running"
    world.tick(6.0)
    world.reconcile(of=of)
    assert world.condition(of=of)["reason"] == "PodLost"
    assert world.run(of=of)["losses"] == 1
    assert world.most == 1


@pytest.mark.parametrize("reason", ["OOMKilled", "StartError"])
def test_a_pod_that_would_never_end_is_deleted_after_the_end(world, reason):
    world.submit()
    world.until("Running")
    main = terminated("main", 128, "no such file", reason=reason, at=world.stamp())
    world.pod()["status"]["containerStatuses"] = [main, state("collect", running={})]
    world.pod()["stuck"] = True
    world.tick(31.0)
    world.run()
    assert world.said()[0] == "False"
    assert not world.kube.of("Pod")


def test_memory_that_ran_out_is_no_failure_of_a_script_that_went_on(world):
    world.submit()
    world.until("Running")
    main = terminated("main", 0, reason="OOMKilled", at=world.stamp())
    world.pod()["status"] |= {
        "phase": "Succeeded",
        "containerStatuses": [main, terminated("collect", 0, result().to_json())],
    }
    world.reconcile()
    assert world.said()[:2] == ("True", "Succeeded")


def test_a_status_that_was_lost_does_not_create_an_earlier_pod_again(world):
    world.submit()
    world.ends["train-task-0"] = "evicted"
    for _ in range(8):
        world.reconcile()
        if "train-task-1" in world.kube.of("Pod"):
            break
        world.tick()
    world.kube.objects[KIND, NAMESPACE, "train"]["status"] = {"conditions": "of another version"}
    assert world.run()["losses"] == 1
    assert list(world.kube.of("Pod")) == ["train-task-1"]
