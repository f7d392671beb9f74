"""The whole lives of tasks against a cluster in memory; the operator killed after each of its writes."""

import pytest
from task_world import (
    AROUND,
    FAILURE,
    KIND,
    LATE,
    TaskWorld,
    change,
    result,
    script,
    transfer,
    uid,
)
from world import NAMESPACE

from longshore_protocol.script_job import CANCELLED, FAILED


@pytest.fixture
def world():
    return TaskWorld()


# --- how it ends ----------------------------------------------------------------------------------------------------


def test_a_script_runs_in_one_pod_to_its_end(world):
    world.submit()
    git = {"repository": "r", "branch": "main", "commit": "c", "dirty": False}
    world.ends["train-task-0"] = result(git=git)
    status = world.run()
    run_id = f"train-{uid(world)[:8]}"
    assert {each["type"]: each["status"] for each in status.pop("conditions")} == {
        "Succeeded": "True",
        "Ready": "True",
        "Stalled": "False",
        "Finished": "True",
    }
    assert status == {
        "observedGeneration": 1,
        "outputs": [{"name": "model", "uri": f"pvc:claim/longshore/{run_id}/model"}],
        "metrics": {"loss": 0.5},
        "exitCode": 0,
        "git": git,
        "losses": 0,
        "startTime": "2026-01-01T00:00:04Z",
        "completionTime": "2026-01-01T00:01:00Z",
        "runId": run_id,
        "runUri": f"pvc:claim/longshore/{run_id}",
    }
    assert world.reasons() == ["StartingPod", "PreparingData", "Running", "Succeeded"]
    assert world.most == 1


def test_a_transfer_runs_in_one_pod_to_its_end(world):
    world.submit(*AROUND, transfer())
    world.ends["copy-task-0"] = result(metrics={}, exit_code=None, message="3 files in 0.1 s")
    status = world.run("copy", "TransferStep")
    assert world.said(name="copy", of="TransferStep") == ("True", "Succeeded", "3 files in 0.1 s")
    assert status["outputs"] == [{"name": "destination", "uri": "pvc:claim/out"}]
    assert "runUri" not in status
    assert world.reasons() == ["StartingPod", "Running", "Succeeded"]


@pytest.mark.parametrize(
    ("end", "reason", "message"),
    [
        (FAILURE, "ScriptFailed", "ValueError: no"),
        (LATE, "Timeout", "The script train.py took longer than its limit of 5 s."),
        (result(FAILED, reason="OutOfMemory", message="It was killed."), "OutOfMemory", "It was killed."),
        (result(FAILED, reason="StorageError", message="No."), "StorageError", "No."),
        ("not prepared", "InputError", 'The input "x" cannot be staged: no.'),
        ("OOMKilled", "OutOfMemory", "container main of pod train-task-0 was killed because memory ran out"),
        ("StartError", "ScriptFailed", "container main of pod train-task-0 cannot be started: "),
    ],
    ids=[
        "fails",
        "takes too long",
        "a process of it is too large",
        "cannot be kept",
        "lacks data",
        "too large",
        "absent",
    ],
)
def test_a_script_that_fails_is_not_run_again(world, end, reason, message):
    world.submit()
    world.ends["train-task-0"] = end
    status = world.run()
    assert world.said() == ("False", reason, message)
    assert {each["type"]: each["status"] for each in status["conditions"]} == {
        "Succeeded": "False",
        "Ready": "False",
        "Stalled": "True",
        "Finished": "True",
    }
    assert status["losses"] == 0
    assert list(world.kube.of("Pod")) == ["train-task-0"]  # as a record


def test_what_was_frozen_and_the_ended_pod_stay_and_nothing_else_was_made(world):
    world.submit()
    world.run()
    mine = {(of, name) for of, _, name in world.kube.objects if of not in ("Event", "Datastore", "Environment")}
    assert mine == {(KIND, "train"), ("ConfigMap", "code"), ("ConfigMap", "train-task"), ("Pod", "train-task-0")}
    for each in (world.pod(), world.kube.objects["ConfigMap", NAMESPACE, "train-task"]):
        (owner,) = each["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == (KIND, uid(world), True)


def test_a_finished_task_is_left_alone(world):
    world.submit()
    world.run()
    del world.kube.objects["Pod", NAMESPACE, "train-task-0"]
    writes = len(world.kube.writes)
    assert world.reconcile() is None
    assert len(world.kube.writes) == writes


def test_a_deleted_task_is_not_created_again(world):
    world.submit()
    world.reconcile()
    world.kube.objects[KIND, NAMESPACE, "train"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    del world.kube.objects["Pod", NAMESPACE, "train-task-0"]
    assert world.reconcile() is None
    assert not world.kube.of("Pod")


# --- what a user steers it with -------------------------------------------------------------------------------------


def test_a_cancelled_task_has_no_pod_and_is_finished(world):
    world.submit()
    world.until("Running")
    change(world, script(cancel=True))
    world.reconcile()
    world.run()
    assert world.said() == ("False", "Cancelled", "cancelled: it left no result")
    assert not world.kube.of("Pod")
    assert "train-task" in world.kube.of("ConfigMap")
    change(world, script(cancel=False))  # what is over is over
    world.reconcile()
    assert world.said()[1] == "Cancelled"
    assert not world.kube.of("Pod")


def test_what_a_cancelled_script_left_in_its_grace_counts(world):
    world.submit()
    world.until("Running")
    change(world, script(cancel=True))
    world.pod()["metadata"]["deletionTimestamp"] = "2026-01-01T00:02:00Z"
    world.reconcile()
    assert world.said()[:2] == ("Unknown", "Cancelling")
    world.end(world.pod(), result(CANCELLED, exit_code=-15, message="The script train.py was cancelled."))
    world.reconcile()
    assert world.said() == ("False", "Cancelled", "The script train.py was cancelled.")
    assert world.status()["metrics"] == {"loss": 0.5}


def test_a_cancelled_task_that_had_not_begun_starts_nothing(world):
    world.submit(script(cancel=True))  # and nothing of what it refers to is there
    world.run()
    assert world.said() == ("False", "Cancelled", "cancelled: nothing was started")
    assert not world.kube.of("Pod")


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled", "never begun"])
def test_a_task_is_deleted_when_its_time_has_come(world, end):
    bad = {"scriptName": "nothing.py"} if end == "never begun" else {}
    world.submit(*AROUND, script(ttlSecondsAfterFinished=90, cancel=end == "cancelled", **bad))
    world.ends["train-task-0"] = FAILURE if end == "failed" else result()
    for _ in range(20):
        world.reconcile()
        if world.finished():
            break
        world.tick()
    left = world.reconcile()
    assert 0 < left <= 150
    world.tick(left)
    world.reconcile()
    assert (KIND, NAMESPACE, "train") not in world.kube.objects
