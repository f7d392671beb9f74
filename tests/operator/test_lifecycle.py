"""Suspended, cancelled, resumed by another step, deleted when its time has come; and what the API server refuses."""

import json
from dataclasses import replace

import pytest
from world import AROUND, NAMESPACE, Crash, World, step

from longshore_operator.cluster.api import Conflict, Refused
from longshore_operator.reconcile.apply import Executor
from longshore_operator.settings import Settings
from longshore_operator.steps.decide import decide
from longshore_operator.steps.observe import observe
from longshore_protocol.snapshot import FirstError


@pytest.fixture
def world():
    return World()


def begun(world, ticks=2):
    world.submit()
    for _ in range(ticks):
        world.reconcile()
        world.tick()
    assert 0 < world.done < world.mini_batches


def change(world, **spec):
    world.kube.put(step(**spec))


def until(world, reason, limit=20):
    for _ in range(limit):
        world.reconcile()
        if world.condition()["reason"] == reason:
            return
        world.tick()
    raise AssertionError(f"never {reason}: {world.condition()}")


def test_a_suspended_step_has_no_pod_and_keeps_what_it_did(world):
    begun(world)
    done = world.done
    change(world, suspend=True)
    until(world, "Suspended")
    assert not world.kube.of("Pod")
    assert not world.kube.of("Secret")
    assert world.status()["progress"]["columns"]["done"] == f"{done}/6"
    assert world.condition("Finished")["status"] == "False"
    assert world.reconcile() is None


def test_a_step_that_was_suspended_goes_on_with_the_same_run(world):
    begun(world)
    run_id = world.status()["runId"]
    change(world, suspend=True)
    until(world, "Suspended")
    change(world, suspend=False)
    status = world.run()
    assert world.condition()["status"] == "True"
    assert status["runId"] == run_id
    assert status["observedGeneration"] == 3


def test_a_step_that_is_suspended_from_the_start_begins_when_it_is_resumed(world):
    world.submit(*AROUND, step(suspend=True))
    until(world, "Suspended")
    assert not world.kube.of("Pod")
    change(world)
    world.run()
    assert world.condition()["status"] == "True"


def test_a_cancelled_step_is_finished_and_keeps_its_run(world):
    begun(world)
    change(world, cancel=True)
    until(world, "Cancelled")
    assert world.condition()["status"] == "False"
    assert world.condition("Finished")["status"] == "True"
    assert not world.kube.of("Pod")
    assert "score-run" in world.kube.of("ConfigMap")
    world.reconcile()
    assert world.reconcile() is None
    change(world, cancel=False)  # what is over is over
    world.reconcile()
    assert world.condition()["reason"] == "Cancelled"
    assert not world.kube.of("Pod")


def test_a_cancelled_step_that_had_not_begun_starts_nothing(world):
    world.submit(step(cancel=True))  # and nothing of what it refers to is there
    until(world, "Cancelled")
    assert "nothing was started" in world.condition()["message"]
    assert not world.kube.of("Pod")


def put_resuming(world, name, **more):
    made = step(resumeFrom="score", **more)
    made["metadata"]["name"] = name
    world.kube.put(made)


def resuming(world, **more):
    put_resuming(world, "again", **more)

    def reconcile():
        world.reconciler.reconcile("ParallelRunStep", NAMESPACE, "again")
        conditions = world.kube.objects["ParallelRunStep", NAMESPACE, "again"]["status"]["conditions"]
        return next(each for each in conditions if each["type"] == "Succeeded")

    return reconcile


def test_a_step_goes_on_with_the_run_of_another_one(world):
    begun(world)
    run_id = world.status()["runId"]
    again = resuming(world)
    assert again()["reason"] == "WaitingForStep"
    assert "again-coordinator" not in world.kube.of("Pod")
    change(world, cancel=True)
    until(world, "Cancelled")
    again()
    assert {"again-coordinator", "again-worker-0"} <= set(world.kube.of("Pod"))
    assert world.kube.objects["ParallelRunStep", NAMESPACE, "again"]["status"]["runId"] == run_id


def job_of(world, name):
    return json.loads(world.kube.of("ConfigMap")[f"{name}-run"]["data"]["job.json"])


@pytest.mark.parametrize(
    "asked", [{}, {"retryFailed": True}, {"acceptChangedCode": True}, {"retryFailed": True, "acceptChangedCode": True}]
)
def test_a_step_retries_what_failed_in_one_that_succeeded_where_it_is_asked_to(world, asked):
    world.submit()
    world.run()
    resuming(world, **asked)()
    job = job_of(world, "again")
    found = {"retryFailed": job["retry_failed"], "acceptChangedCode": job["accept_changed_code"]}
    assert {name: value for name, value in found.items() if value} == asked


def test_a_coordinator_knows_the_files_of_a_configmap_as_they_were_when_the_run_began(world):
    begun(world)
    before = job_of(world, "score")["code"]
    assert list(before) == ["score.py"]
    world.kube.objects["ConfigMap", NAMESPACE, "code"]["data"]["score.py"] = "def run(mini_batch): return []"
    change(world, cancel=True)
    until(world, "Cancelled")
    resuming(world)()
    assert job_of(world, "again")["code"] != before
    assert job_of(world, "score")["code"] == before


@pytest.mark.parametrize(
    ("earlier", "problem"),
    [
        (None, "spec.resumeFrom is 'score': there is no other ParallelRunStep of that name"),
        ("never began", "spec.resumeFrom is 'score', which never began: there is nothing to resume"),
        ("elsewhere", "spec.resumeFrom is 'score', whose run is in another Datastore: pvc:claim/longshore/score-"),
    ],
)
def test_what_cannot_be_resumed_is_reported(world, earlier, problem):
    if earlier == "never began":
        world.submit(*AROUND, step(cancel=True))
        until(world, "Cancelled")
    elif earlier == "elsewhere":
        begun(world)
        change(world, cancel=True)
        until(world, "Cancelled")
        world.kube.objects["Datastore", NAMESPACE, "data"]["spec"]["uri"] = "pvc:other"
    else:
        world.submit(*AROUND)
    condition = resuming(world)()
    assert condition["reason"] == ("InvalidInput" if earlier else "WaitingForReferences")
    assert problem in condition["message"]


def test_of_two_steps_that_go_on_with_one_run_the_second_waits_for_the_end_of_the_first(world):
    world.submit()
    world.run()
    for name in ("again", "more"):
        put_resuming(world, name)
    for _ in range(3):
        for name in ("more", "again"):
            world.reconciler.reconcile("ParallelRunStep", NAMESPACE, name)
        world.seconds += 2.0
    coordinators = [name for name in world.kube.of("Pod") if "coordinator" in name and "score" not in name]
    assert coordinators == ["again-coordinator"]
    waits = world.kube.objects["ParallelRunStep", NAMESPACE, "more"]["status"]["conditions"][0]
    assert (waits["reason"], "waiting for again to end" in waits["message"]) == ("WaitingForStep", True)
    ended = {"observedGeneration": 1, "conditions": [{**waits, "type": "Finished", "status": "True"}]}
    world.kube.objects["ParallelRunStep", NAMESPACE, "again"]["status"] |= ended
    world.reconciler.reconcile("ParallelRunStep", NAMESPACE, "more")
    assert "more-coordinator" in world.kube.of("Pod")


def test_of_two_steps_that_are_about_to_go_on_with_one_run_at_once_one_does(world):
    world.submit()
    world.run()
    for name in ("more", "again"):
        put_resuming(world, name)
        if name == "more":
            operator = world.reconciler
            operator.deliver()
            seen = observe(operator.cached, operator.coordinators, SETTINGS, namespace=NAMESPACE, name=name)
    executor = Executor(operator.cached, operator.coordinators)
    world.reconciler.reconcile("ParallelRunStep", NAMESPACE, "again")
    first, *_ = decide(seen, SETTINGS, now=world.now).actions
    with pytest.raises(Conflict, match="is continued by again"):
        executor.execute(first, namespace=NAMESPACE, now=world.now)
    assert "more-coordinator" not in world.kube.of("Pod")


def test_a_step_that_is_older_waits_for_one_that_has_gone_on_with_the_run(world):
    world.submit()
    world.run()
    for name in ("more", "again"):
        put_resuming(world, name)
        world.reconciler.reconcile("ParallelRunStep", NAMESPACE, name)
    assert [name for name in world.kube.of("Pod") if "coordinator" in name and "score" not in name] == [
        "more-coordinator"
    ]


SETTINGS = Settings(image="longshore:test")
LABELLED = {"name": "debug", "namespace": NAMESPACE, "labels": {"longshore.dev/step": "score"}}


def test_a_pod_with_our_labels_and_another_name_is_in_nobodys_way(world):
    world.submit()
    world.kube.put({"apiVersion": "v1", "kind": "Pod", "metadata": LABELLED, "status": {"phase": "Running"}})
    world.run()
    assert world.condition()["reason"] == "Succeeded"
    assert "debug" in world.kube.of("Pod")


def test_a_run_whose_name_is_taken_in_the_middle_keeps_what_is_known_of_it_and_can_be_cancelled(world):
    world.submit()
    for _ in range(3):
        world.reconcile()
        world.tick()
    known = world.status()["runId"], world.status()["progress"]["columns"]["done"]
    world.pod("score-worker-1")["metadata"]["ownerReferences"] = []
    world.tick()
    world.reconcile()
    assert world.condition()["reason"] == "NameTaken"
    assert (world.status()["runId"], world.status()["progress"]["columns"]["done"]) == known
    world.kube.objects["ParallelRunStep", NAMESPACE, "score"]["spec"]["cancel"] = True
    world.run()
    assert world.condition()["reason"] == "Cancelled"
    assert [name for name in world.kube.of("Pod") if "worker" in name] == ["score-worker-1"]


@pytest.mark.parametrize("message", ["", "x" * 3_000_000])
def test_whatever_a_script_states_of_its_error_the_step_ends(world, message):
    world.submit()
    last = world.last
    error = FirstError(category="", message=message, worker="score-worker-0", mini_batch=0, traceback=message)
    world.last = lambda: replace(last(), first_error=error)
    world.run()
    assert len(str(world.status())) < 20_000


def test_a_success_with_failures_is_a_warning_that_names_places_as_users_know_them(world):
    world.submit()
    last = world.last
    said = f"2 of 8 items failed: a, b; /mnt/longshore/claim/claim/longshore/{world.run_id()}/failed.jsonl lists them"
    world.last = lambda: replace(last(), reason="SucceededWithFailures" if world.is_done() else "", message=said)
    world.run()
    assert (world.condition()["status"], world.condition()["reason"]) == ("True", "SucceededWithFailures")
    told = f"2 of 8 items failed: a, b; pvc:claim/longshore/{world.run_id()}/failed.jsonl lists them"
    assert world.condition()["message"] == told
    [event] = [each for each in world.kube.of("Event").values() if each["reason"] == "SucceededWithFailures"]
    assert (event["type"], event["message"]) == ("Warning", told)


def test_a_step_whose_pods_name_is_taken_reports_it_and_goes_on_when_it_is_free(world):
    world.submit()
    metadata = {"name": "score-coordinator", "namespace": NAMESPACE}
    world.kube.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})
    for _ in range(3):
        world.reconcile()
        world.seconds += 5.0
    assert world.condition()["reason"] == "NameTaken"
    assert len(world.kube.of("Event")) == 1
    del world.kube.objects["Pod", NAMESPACE, "score-coordinator"]
    world.run()
    assert world.condition()["reason"] == "Succeeded"


@pytest.mark.parametrize("seconds", ["999999999999999999", "-5"])
def test_a_time_to_live_that_is_out_of_range_deletes_nothing(world, seconds):
    world.submit()
    world.reconcile()
    world.kube.objects["ParallelRunStep", NAMESPACE, "score"]["spec"]["ttlSecondsAfterFinished"] = seconds
    world.run()
    assert world.condition()["reason"] == "Succeeded"
    assert not [name for name in world.kube.of("Pod") if "worker" in name]


def test_a_step_does_not_resume_itself(world):
    world.submit(*AROUND, step(resumeFrom="score"))
    world.reconcile()
    assert "there is no other ParallelRunStep of that name" in world.condition()["message"]


@pytest.mark.parametrize("end", ["succeeded", "cancelled", "never begun"])
def test_a_step_is_deleted_when_its_time_has_come(world, end):
    bad = {"entryScript": "nothing.py"} if end == "never begun" else {}
    world.submit(*AROUND, step(ttlSecondsAfterFinished=30, cancel=end == "cancelled", **bad))
    for _ in range(20):
        wait = world.reconcile()
        if world.finished():
            break
        world.tick()
    world.tick(1.0)
    left = world.reconcile()
    assert wait is not None
    assert 0 < left <= 30
    world.tick(left)
    world.reconcile()
    assert ("ParallelRunStep", NAMESPACE, "score") not in world.kube.objects


def test_a_quota_that_refuses_pods_is_reported_and_tried_again(world):
    refusal = 'pods "score-coordinator" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3'

    def refuse(*asked):
        if asked == ("create", "Pod", "score-coordinator"):
            raise Refused(refusal)

    world.submit()
    world.kube.fail = refuse
    assert world.reconcile() == 5.0
    assert (world.condition()["reason"], world.condition()["message"]) == ("QuotaExceeded", refusal)
    assert [each["reason"] for each in world.kube.of("Event").values()] == ["QuotaExceeded"]
    world.kube.fail = None
    world.run()
    assert world.condition()["status"] == "True"


# --- the operator killed after each of its writes --------------------------------------------------------------------


def suspended_and_resumed(world):
    change(world, suspend=True)
    until(world, "Suspended", limit=30)
    change(world, suspend=False)
    world.run()


def cancelled(world):
    change(world, cancel=True)
    until(world, "Cancelled", limit=30)
    world.reconcile()
    world.reconcile()


def left_behind(world):
    return sorted((of, name) for of, _, name in world.kube.objects if of != "Event"), world.condition()["reason"]


def lived(life):
    world = World()
    begun(world)
    before = len(world.kube.writes)
    life(world)
    return left_behind(world), before, len(world.kube.writes)


SWEEP = [
    pytest.param(life, killed_after, id=f"{life.__name__} {killed_after}")
    for life in (suspended_and_resumed, cancelled)
    for _, first, last in [lived(life)]
    for killed_after in range(first + 1, last + 1)
]


class Mortal(World):
    """A world whose operator is killed once, and started again."""

    def reconcile(self):
        try:
            return super().reconcile()
        except Crash:
            self.kube.crash_after = None
            self.reconciler = self.operator()
            return 0.0


@pytest.mark.parametrize(("life", "killed_after"), SWEEP)
def test_an_operator_killed_after_any_write_comes_to_the_same_end(life, killed_after):
    world = Mortal()
    begun(world)
    world.kube.crash_after = killed_after
    life(world)
    assert world.kube.crash_after is None
    assert left_behind(world) == lived(life)[0]
