"""The whole life of a step against a cluster in memory; the operator killed after each of its writes."""

import json

import pytest
from watching import LAGS
from world import AROUND, NAMESPACE, Crash, World, kind, step

from longshore_operator.cluster.api import ApiError, Conflict


@pytest.fixture
def world():
    return World()


def test_a_step_runs_in_pods_to_its_end(world):
    world.submit()
    world.reconcile()
    assert set(world.kube.of("Pod")) == {"score-coordinator", "score-worker-0", "score-worker-1"}
    status = world.run()
    assert world.condition() | {"lastTransitionTime": ""} == {
        "type": "Succeeded",
        "status": "True",
        "reason": "Succeeded",
        "lastTransitionTime": "",
        "observedGeneration": 1,
    }
    assert status["progress"]["columns"]["done"] == "6/6"
    assert status["output"]["uri"] == f"pvc:claim/longshore/{world.run_id()}/scores"


def test_what_costs_or_grants_something_is_deleted_after_the_end(world):
    world.submit()
    world.run()
    world.run()
    left = {key[0] for key in world.kube.objects} - {"Event"}
    assert left == {"ParallelRunStep", "Dataset", "Datastore", "Environment", "ConfigMap", "Pod"}
    assert set(world.kube.of("Pod")) == {"score-coordinator"}


def test_a_finished_step_is_left_alone(world):
    world.submit()
    world.run()
    world.run()
    del world.kube.objects["Pod", NAMESPACE, "score-coordinator"]
    writes = len(world.kube.writes)
    assert world.reconcile() is None
    assert len(world.kube.writes) == writes


def test_every_object_goes_with_its_step(world):
    world.submit()
    world.reconcile()
    uid = world.kube.objects["ParallelRunStep", NAMESPACE, "score"]["metadata"]["uid"]
    for made in ("ConfigMap", "Secret", "Service", "NetworkPolicy", "Pod"):
        ours = [each for name, each in world.kube.of(made).items() if name != "code"]
        assert ours
        for each in ours:
            assert [owner["uid"] for owner in each["metadata"]["ownerReferences"]] == [uid]


def test_a_deleted_step_is_not_created_again(world):
    world.submit()
    world.reconcile()
    world.kube.objects["ParallelRunStep", NAMESPACE, "score"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    del world.kube.objects["Pod", NAMESPACE, "score-worker-0"]
    assert world.reconcile() is None
    assert "score-worker-0" not in world.kube.of("Pod")


# --- what is gone is replaced ---------------------------------------------------------------------------------------


def test_a_lost_worker_is_reported_to_the_coordinator_before_it_is_replaced(world):
    world.submit()
    world.reconcile()
    world.tick()
    del world.kube.objects["Pod", NAMESPACE, "score-worker-1"]
    world.reconcile()
    assert world.gone == ["score-worker-1"]
    assert "score-worker-1" in world.kube.of("Pod")
    world.run()


def test_an_evicted_worker_is_deleted_and_replaced(world):
    world.submit()
    world.reconcile()
    world.tick()
    evicted = world.pod("score-worker-0")
    evicted["status"] = {"phase": "Failed", "reason": "Evicted"}
    world.reconcile()
    assert "score-worker-0" not in world.kube.of("Pod")
    world.reconcile()
    assert world.pod("score-worker-0")["metadata"]["uid"] != evicted["metadata"]["uid"]


def test_a_worker_on_its_way_out_is_waited_for(world):
    world.submit()
    world.reconcile()
    world.tick()
    world.pod("score-worker-0")["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    writes = len([each for each in world.kube.writes if each[1] == "Pod"])
    world.reconcile()
    assert len([each for each in world.kube.writes if each[1] == "Pod"]) == writes
    assert world.gone == []


@pytest.mark.parametrize("how", ["deleted", "evicted", "ended without a verdict"])
def test_a_lost_coordinator_is_replaced(world, how):
    world.submit()
    world.reconcile()
    world.tick()
    before = world.pod("score-coordinator")["metadata"]["uid"]
    if how == "deleted":
        del world.kube.objects["Pod", NAMESPACE, "score-coordinator"]
    else:
        world.pod("score-coordinator")["status"] = {"phase": "Failed" if how == "evicted" else "Succeeded"}
    world.reconcile()
    world.reconcile()
    assert world.pod("score-coordinator")["metadata"]["uid"] != before
    assert world.run()["progress"]["columns"]["done"] == "6/6"


def test_no_more_workers_are_made_than_mini_batches_are_left(world):
    world.submit()
    world.reconcile()
    world.tick()
    world.done = 5
    for index in (0, 1):
        del world.kube.objects["Pod", NAMESPACE, f"score-worker-{index}"]
    world.reconcile()
    assert set(world.kube.of("Pod")) == {"score-coordinator", "score-worker-0"}


@pytest.mark.parametrize(
    ("state", "reason"), [("Draining", ""), ("Assembling", "Succeeded"), ("Running", "ErrorThresholdExceeded")]
)
def test_no_worker_is_made_for_a_coordinator_that_leases_nothing_more(world, state, reason):
    world.submit()
    world.reconcile()
    world.tick()
    world.state, world.reason = state, reason
    del world.kube.objects["Pod", NAMESPACE, "score-worker-0"]
    world.reconcile()
    assert "score-worker-0" not in world.kube.of("Pod")


def test_nothing_is_deleted_while_the_coordinator_cannot_be_asked(world):
    world.submit()
    world.reconcile()
    world.tick()
    world.answers = False
    world.pod("score-worker-0")["status"]["phase"] = "Succeeded"
    world.reconcile()
    assert not [each for each in world.kube.writes if each[0] == "delete"]


def test_the_last_words_count_when_no_process_asked_in_time(world):
    world.submit()
    world.reconcile()
    world.answers = False
    status = world.run()
    assert world.condition()["status"] == "True"
    assert status["progress"]["columns"]["done"] == "6/6"


# --- the status -----------------------------------------------------------------------------------------------------


def test_progress_is_not_forgotten_while_the_coordinator_cannot_be_asked(world):
    world.submit()
    world.reconcile()
    world.tick()
    world.tick()
    world.reconcile()
    assert world.status()["progress"]["columns"]["done"] == "4/6"
    world.answers = False
    world.tick()
    world.reconcile()
    assert world.status()["progress"]["columns"]["done"] == "4/6"
    assert world.condition()["reason"] == "WaitingForCoordinator"


def test_progress_is_written_every_two_seconds_at_most_and_milestones_at_once(world):
    world.mini_batches = 1000
    world.submit()
    world.reconcile()
    for _ in range(40):
        world.tick(0.5)
        world.reconcile()
    written = [each for each in world.kube.writes if each[0] == "status"]
    assert 5 <= len(written) <= 10 + 3  # and three milestones: waiting, its coordinator, running
    world.done = 1000
    world.reconcile()
    assert world.condition()["status"] == "True"


@pytest.mark.parametrize(
    ("status", "reason", "says"),
    [
        (
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/1 nodes are available: 1 Insufficient cpu.",
                    }
                ]
            },
            "Unschedulable",
            "pod score-worker-0 cannot be scheduled: 0/1 nodes are available: 1 Insufficient cpu.",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "name": "main",
                        "image": "nowhere/x:1",
                        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling"}},
                    }
                ]
            },
            "ImagePull",
            "container main of pod score-worker-0 has no image nowhere/x:1: Back-off pulling",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "name": "agent",
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                        "lastState": {"terminated": {"exitCode": 1, "message": "no such module"}},
                    }
                ]
            },
            "CrashLoopBackOff",
            "container agent of pod score-worker-0 does not start: no such module (exit code 1)",
        ),
    ],
)
def test_why_it_waits_is_reported_in_one_sentence(world, status, reason, says):
    world.submit()
    world.reconcile()
    world.pod("score-worker-0")["status"] = {"phase": "Pending", **status}
    world.answers = False
    world.tick()
    world.reconcile()
    assert (world.condition()["reason"], world.condition()["message"]) == (reason, says)
    assert reason in {each["reason"] for each in world.kube.of("Event").values()}


# --- bad input ------------------------------------------------------------------------------------------------------


def test_what_it_refers_to_may_come_a_moment_later(world):
    world.submit(step())
    assert world.reconcile() is not None
    assert world.condition()["status"] == "Unknown"
    assert "there is no such Environment" in world.condition()["message"]
    for each in AROUND:
        world.kube.put(each)
    world.run()
    assert world.condition()["status"] == "True"


def test_bad_input_ends_the_step_with_the_field_and_nothing_is_started(world):
    world.submit(step(), *AROUND[1:])
    world.reconcile()
    world.tick(601.0)
    world.reconcile()
    assert world.reconcile() is None
    assert world.condition() | {"lastTransitionTime": ""} == {
        "type": "Succeeded",
        "status": "False",
        "reason": "InvalidInput",
        "message": "ParallelRunStep/score: spec.inputs[0].dataset is 'images': "
        "there is no such Dataset; the documents have none",
        "lastTransitionTime": "",
        "observedGeneration": 1,
    }
    assert world.finished()
    assert {key[0] for key in world.kube.objects} == {
        "ParallelRunStep",
        "Datastore",
        "Environment",
        "ConfigMap",
        "Event",
    }
    assert set(world.kube.of("ConfigMap")) == {"code"}


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        (("ConfigMap", "code"), "spec.source.configMap is 'code': there is no such ConfigMap"),
        (("Secret", "key"), "spec.secretRef.name is 'key': there is no such Secret"),
    ],
)
def test_what_pods_would_wait_for_without_success_is_bad_input(world, gone, says):
    secret = kind("Secret", "key") | {"apiVersion": "v1", "data": {}}
    bucket = kind("Datastore", "bucket", uri="gs://bucket", secretRef={"name": "key"})
    files = {"datastore": "bucket", "paths": ["*.png"]}
    world.submit(step(inputs=[{"name": "images", "file": files}]), *AROUND, secret, bucket)
    del world.kube.objects[gone[0], NAMESPACE, gone[1]]
    world.tick(11.0)
    world.reconcile()
    assert says in world.condition()["message"]
    assert not world.kube.of("Pod")


def test_a_dataset_that_only_a_side_input_names_is_found(world):
    words = kind("Dataset", "words", file={"paths": ["words.txt"]})
    world.submit(step(sideInputs=[{"name": "words", "dataset": "words"}]), *AROUND, words)
    world.run()
    assert world.condition()["status"] == "True", world.condition()
    run = json.loads(world.kube.of("ConfigMap")["score-run"]["data"]["run.json"])
    assert [each["name"] for each in run["job"]["side_inputs"]] == ["words"]


def test_a_source_without_the_entry_script_is_bad_input(world):
    world.submit(step(entryScript="other.py"), *AROUND)
    world.tick(11.0)
    world.reconcile()
    assert "spec.entryScript is 'other.py': ConfigMap code has no such key" in world.condition()["message"]


def test_a_step_whose_bad_input_was_fixed_begins(world):
    world.submit(step(entryScript="score.txt"), *AROUND)
    world.tick(11.0)
    world.reconcile()
    assert "entryScript" in world.condition()["message"]
    world.kube.put(step())
    world.run()
    assert world.condition()["status"] == "True"


def test_an_object_of_another_owner_is_neither_used_nor_touched(world):
    world.submit()
    theirs = kind("Secret", "score-run") | {"apiVersion": "v1", "data": {}}
    world.kube.put(theirs)
    world.reconcile()
    assert world.condition()["reason"] == "NameTaken"
    assert "Secret score-run" in world.condition()["message"]
    assert not world.kube.of("Pod")
    del world.kube.objects["Secret", NAMESPACE, "score-run"]
    world.run()


# --- the operator dies ----------------------------------------------------------------------------------------------


def outcome(world):
    """What counts in the end: objects and status, without uids, secrets and times."""
    objects = {key for key in world.kube.objects if key[0] != "Event"}
    status = world.status()
    conditions = {each["type"]: (each["status"], each["reason"], each.get("message")) for each in status["conditions"]}
    return objects, conditions, status["progress"], status["output"]


def lived(*, crash_after, lag=0):
    world = World(lag=lag)
    world.submit()
    world.kube.crash_after = crash_after
    for _ in range(120):
        try:
            wanted = world.reconcile()
        except Crash:
            world.reconciler = world.operator()
            continue
        except Conflict:  # as the queue would, when a watch has yet to tell of something
            wanted = 1.0
        if wanted is None and world.finished() and not world.kube.of("Secret"):
            return world
        world.tick()
    raise AssertionError(f"no end after a crash at write {crash_after}: {world.status()}")


UNDISTURBED = lived(crash_after=None)


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("k", range(1, len(UNDISTURBED.kube.writes) + 1))
def test_an_operator_that_dies_after_any_write_comes_to_the_same_end(k, lag):
    world = lived(crash_after=k, lag=lag)
    assert outcome(world) == outcome(UNDISTURBED)
    assert [each for each in set(created(world)) if created(world).count(each) > 1] == []


def created(world):
    return [(kind_, name) for verb, kind_, name in world.kube.writes if verb == "create" and kind_ != "Event"]


@pytest.mark.parametrize("verb", ["read", "create", "status", "delete"])
def test_a_call_that_fails_decides_nothing(verb):
    """Each call fails once, in turn; what follows is as if it had not."""
    world = World()
    world.submit()
    failed = world.kube.fail_once(verb)
    for _ in range(100):
        try:
            world.reconcile()
        except ApiError:
            assert not (world.finished() and not world.is_done())
            continue
        if world.finished() and not world.kube.of("Secret"):
            break
        world.tick()
    assert failed
    assert outcome(world) == outcome(UNDISTURBED)
