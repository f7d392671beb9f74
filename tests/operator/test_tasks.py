"""The whole lives of tasks against a cluster in memory; the operator killed after each of its writes."""

from dataclasses import replace

import pytest
from task_world import (
    AROUND,
    CODE,
    FAILURE,
    KIND,
    LATE,
    TaskWorld,
    is_over,
    result,
    script,
    state,
    terminated,
    transfer,
)
from watching import LAGS
from world import AROUND as AROUND_STEP
from world import NAMESPACE, Crash, World, kind, step

from longshore_operator.cluster.api import ApiError, Conflict, Refused
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.cluster.task_runs import TaskRun
from longshore_protocol.script_job import CANCELLED, FAILED


@pytest.fixture
def world():
    return TaskWorld()


def uid(world, name="train", of=KIND):
    return world.kube.objects[of, NAMESPACE, name]["metadata"]["uid"]


def change(world, manifest):
    world.kube.objects[manifest["kind"], NAMESPACE, manifest["metadata"]["name"]]["spec"] |= manifest["spec"]


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
        ("not prepared", "InputError", "The input x cannot be brought: no."),
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


def test_a_deleted_task_is_not_brought_back(world):
    world.submit()
    world.reconcile()
    world.kube.objects[KIND, NAMESPACE, "train"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    del world.kube.objects["Pod", NAMESPACE, "train-task-0"]
    assert world.reconcile() is None
    assert not world.kube.of("Pod")


# --- lost pods ------------------------------------------------------------------------------------------------------


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


def test_how_a_pod_was_lost_is_said(world):
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


def test_a_host_that_ended_without_a_result_is_a_loss_though_nobody_collects(world):
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
def test_a_pod_whose_result_nobody_will_tell_is_a_loss_though_another_container_runs(world, of):
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


def test_a_status_that_was_lost_does_not_bring_an_earlier_pod_back(world):
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


# --- why it waits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason", "says"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available."}]},
            "Unschedulable",
            "pod train-task-0 cannot be scheduled: 0/1 nodes are available.",
        ),
        (
            {"containerStatuses": [state("main", waiting={"reason": "ErrImagePull", "message": "no such image"})]},
            "ImagePull",
            "container main of pod train-task-0 has no image i: no such image",
        ),
    ],
)
def test_why_it_waits_is_said_in_one_sentence(world, status, reason, says):
    world.submit()
    world.reconcile()
    world.pod()["status"] = {"phase": "Pending", **status}
    world.reconcile()
    assert world.said() == ("Unknown", reason, says)


def test_a_quota_that_refuses_the_pod_is_said_and_tried_again(world):
    def refuse(*asked):
        if asked[:2] == ("create", "Pod"):
            raise Refused("exceeded quota: small")

    world.submit()
    world.kube.fail = refuse
    assert world.reconcile() == 5.0
    assert world.said() == ("Unknown", "QuotaExceeded", "exceeded quota: small")
    world.kube.fail = None
    world.run()


def test_a_rule_of_the_cluster_that_refuses_the_pod_stalls_the_task_until_it_is_changed(world):
    def refuse(*asked):
        if asked[:2] == ("create", "Pod"):
            raise Refused('violates PodSecurity "restricted:latest": hostPath volumes (volume "data")')

    world.submit()
    world.kube.fail = refuse
    for _ in range(2):
        world.reconcile()
        assert (world.said()[1], world.condition("Stalled")["status"]) == ("Refused", "True")
        world.tick()
    world.kube.fail = None
    world.run()
    assert world.condition("Stalled")["status"] == "False"


# --- bad input ------------------------------------------------------------------------------------------------------


def test_what_it_refers_to_may_come_a_moment_later(world):
    world.submit(script())
    assert world.reconcile() is not None
    assert world.said()[:2] == ("Unknown", "WaitingForReferences")
    for each in AROUND:
        world.kube.put(each)
    world.run()
    assert world.said()[:2] == ("True", "Succeeded")


@pytest.mark.parametrize(
    ("changes", "gone", "says"),
    [
        ({}, ("ConfigMap", "code"), "ScriptStep/train: spec.source.configMap is 'code': there is no such ConfigMap"),
        ({"scriptName": "other.py"}, None, "spec.scriptName is 'other.py': ConfigMap code has no such key"),
        ({}, ("Environment", "scikit"), "spec.environment.name is 'scikit': there is no such Environment"),
        ({"computeTarget": "cpu"}, None, "spec.computeTarget is 'cpu': there is no such ComputeCluster"),
    ],
)
def test_bad_input_ends_the_task_with_the_field_and_nothing_is_started_until_it_is_put_right(
    world, changes, gone, says
):
    world.submit(*AROUND, script(**changes))
    if gone:
        del world.kube.objects[gone[0], NAMESPACE, gone[1]]
    world.reconcile()
    assert world.said()[0] == "Unknown"
    world.tick(601.0)
    world.reconcile()
    assert world.said()[:2] == ("False", "InvalidInput")
    assert says in world.said()[2]
    assert world.reconcile() is None
    assert not world.kube.of("Pod")
    assert "train-task" not in world.kube.of("ConfigMap")
    for each in (*AROUND, kind("ComputeCluster", "cpu", maxNodes=1), script()):
        world.kube.put(each)
    world.run()
    assert world.said()[:2] == ("True", "Succeeded")


def test_a_secret_that_is_not_there_is_bad_input_of_a_transfer(world):
    bucket = kind("Datastore", "bucket", uri="gs://bucket", secretRef={"name": "key"})
    world.submit(*AROUND, bucket, transfer(destination={"datastore": "bucket", "path": "out"}))
    world.tick(11.0)
    world.reconcile("copy", "TransferStep")
    assert "spec.secretRef.name is 'key': there is no such Secret" in world.said(name="copy", of="TransferStep")[2]


@pytest.mark.parametrize(
    "theirs",
    [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "train-task", "namespace": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "train-task-0", "namespace": NAMESPACE, "labels": {"longshore.dev/task": "train"}},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "train-task-0", "namespace": NAMESPACE},
            "stuck": True,
        },
    ],
    ids=["ConfigMap", "pod with our label", "pod"],
)
def test_an_object_of_somebody_else_is_neither_used_nor_touched(world, theirs):
    world.submit(*AROUND, script())
    world.kube.put(theirs)
    for _ in range(3):
        world.reconcile()
        world.seconds += 5.0
    assert world.said()[:2] == ("Unknown", "NameTaken")
    assert [name for name in world.kube.of("Pod") if name != theirs["metadata"]["name"]] == []
    del world.kube.objects[theirs["kind"], NAMESPACE, theirs["metadata"]["name"]]
    world.run()


# --- what a user steers it with -------------------------------------------------------------------------------------


def test_a_cancelled_task_has_no_pod_and_is_over(world):
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


# --- children of a PipelineRun --------------------------------------------------------------------------------------

RUN = {
    "apiVersion": "longshore.dev/v1alpha1",
    "kind": "PipelineRun",
    "name": "nightly",
    "uid": "run",
    "controller": True,
}


def frozen_of(world, frozen):
    """What a PipelineRun wrote down: the run of the step, which has no uid yet."""
    key = ("ConfigMap", NAMESPACE, frozen)
    found = world.kube.objects.pop(key)
    kind_ = TaskRun if frozen.endswith("-task") else ClusterRun
    run = replace(kind_.from_json(found["data"]["run.json"]), uid="", generation=0)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**found["metadata"], "name": frozen, "namespace": NAMESPACE, "ownerReferences": [RUN]},
        "data": found["data"] | {"run.json": run.to_json()},
    }


def test_a_task_of_a_pipeline_run_does_what_that_wrote_down_and_resolves_nothing(world):
    world.submit()
    world.reconcile()
    frozen = frozen_of(world, "train-task")
    world = TaskWorld()
    child = script(inputs=[{"name": "x", "from": "$(steps.a.outputs.b)"}])  # which means nothing by itself
    child["metadata"]["ownerReferences"] = [RUN]
    world.submit(child)
    world.reconcile()
    assert world.said()[:2] == ("Unknown", "WaitingForPipelineRun")
    world.tick(60.0)
    world.reconcile()
    assert not world.finished()
    world.kube.put(frozen)
    status = world.run()
    assert world.said()[:2] == ("True", "Succeeded")
    assert status["runId"] == TaskRun.from_json(frozen["data"]["run.json"]).run_id
    (owner,) = world.pod()["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == (KIND, uid(world))
    assert world.kube.objects["ConfigMap", NAMESPACE, "train-task"]["metadata"]["ownerReferences"] == [RUN]


def test_a_parallel_run_step_of_a_pipeline_run_does_what_that_wrote_down_and_resolves_nothing():
    world = World()
    world.submit()
    world.reconcile()
    frozen = frozen_of(world, "score-run")
    world = World()
    child = step()
    child["metadata"]["ownerReferences"] = [RUN]
    world.submit(child, AROUND_STEP[-1])
    world.reconcile()
    assert world.condition()["reason"] == "WaitingForPipelineRun"
    world.tick(60.0)
    world.reconcile()
    assert not world.finished()
    assert not world.kube.of("Pod")
    world.kube.put(frozen)
    world.run()
    assert world.condition()["reason"] == "Succeeded"
    (owner,) = world.pod("score-coordinator")["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("ParallelRunStep", uid(world, "score", "ParallelRunStep"))
    assert world.kube.objects["ConfigMap", NAMESPACE, "score-run"]["metadata"]["ownerReferences"] == [RUN]


def test_what_another_pipeline_run_wrote_down_is_somebody_elses(world):
    world.submit()
    world.reconcile()
    frozen = frozen_of(world, "train-task")
    world = TaskWorld()
    child = script()
    child["metadata"]["ownerReferences"] = [RUN | {"uid": "another"}]
    world.submit(*AROUND, child, frozen)
    world.reconcile()
    assert world.said() == (
        "Unknown",
        "NameTaken",
        "ConfigMap train-task belongs to somebody else: waiting until it is gone",
    )


# --- whom an event concerns -----------------------------------------------------------------------------------------


# --- the operator dies ----------------------------------------------------------------------------------------------


def plain(world):
    world.submit()


def with_losses(world):
    world.ends |= {"train-task-0": "evicted", "train-task-1": "Error"}
    world.submit()


def failing(world):
    world.ends["train-task-0"] = FAILURE
    world.submit()


def copying(world):
    world.submit(*AROUND, transfer("train"))


def cancelled(world):
    world.ends["train-task-0"] = "hangs"
    world.submit()


def outcome(world, of):
    objects = {key for key in world.kube.objects if key[0] != "Event"}
    conditions = {each["type"]: (each["status"], each["reason"]) for each in world.status(of=of)["conditions"]}
    return objects, conditions, world.status(of=of).get("losses"), world.status(of=of).get("outputs")


def lived(life, *, crash_after=None, lag=0):
    world, of = TaskWorld(lag=lag), "TransferStep" if life is copying else KIND
    life(world)
    world.kube.crash_after = crash_after
    for _ in range(100):
        try:
            wanted = world.reconcile(of=of)
        except Crash:
            world.reconciler = world.operator()
            continue
        except Conflict:  # as the queue would, when a watch has yet to tell of something
            wanted = 1.0
        if life is cancelled and world.condition(of=of).get("reason") == "Running":
            change(world, script(cancel=True))
        if wanted is None and world.finished(of=of):
            assert world.most == 1
            return outcome(world, of), len(world.kube.writes)
        world.tick()
    raise AssertionError(f"no end after a crash at write {crash_after}: {world.status(of=of)}")


SWEEP = [
    pytest.param(life, killed_after, id=f"{life.__name__} {killed_after}")
    for life in (plain, with_losses, failing, copying, cancelled)
    for _, writes in [lived(life)]
    for killed_after in range(1, writes + 1)
]


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize(("life", "killed_after"), SWEEP)
def test_an_operator_that_dies_after_any_write_comes_to_the_same_end(life, killed_after, lag):
    assert lived(life, crash_after=killed_after, lag=lag)[0] == lived(life)[0]


@pytest.mark.parametrize("verb", ["read", "create", "status", "delete"])
def test_a_call_that_fails_decides_nothing(verb):
    failed = set()

    def fail(asked, kind_, name):
        if asked == verb and (kind_, name) not in failed:
            failed.add((kind_, name))
            raise ApiError(f"{verb} {kind_} {name}")

    world = TaskWorld()
    with_losses(world)
    world.kube.fail = fail
    for _ in range(100):
        try:
            wanted = world.reconcile()
        except ApiError:
            continue
        if wanted is None and world.finished():
            break
        world.tick()
    assert failed
    assert outcome(world, KIND) == lived(with_losses)[0]


def test_a_name_that_is_taken_between_look_and_write_is_said(world):
    theirs = CODE | {"metadata": {"name": "train-task", "namespace": NAMESPACE}}

    def taken(*asked):
        if asked[:2] == ("create", "ConfigMap"):
            world.kube.put(theirs)

    world.submit()
    world.kube.fail = taken
    world.reconcile()
    assert world.said()[:2] == ("Unknown", "NameTaken")
    assert not [each for each in world.kube.of("Pod").values() if not is_over(each)]
