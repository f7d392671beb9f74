"""What wakes what: references that come late, nodes that become free, and steady states in which nothing is asked.

The operator works through a queue here: it reconciles what a change has woken and what is due, and nothing else.
"""

import itertools
from contextlib import suppress

import pytest
from runs import AROUND as AROUND_RUNS
from runs import CHAIN, RunWorld
from task_world import TaskWorld, script
from world import AROUND, NAMESPACE, World, kind, step

from longshore_operator.settings import Settings
from longshore_operator.watch.cached import OutOfSync

FIVE_MINUTES = 300
SECRET = kind("Secret", "key") | {"apiVersion": "v1", "data": {}}
BUCKET = kind("Datastore", "bucket", uri="gs://bucket", secretRef={"name": "key"})
CLUSTER = kind("ComputeCluster", "cpu", maxNodes=2)
MODEL = kind("Model", "digits", version=1, path="models/digits")
READS_BUCKET = [{"name": "images", "file": {"datastore": "bucket", "paths": ["*.png"]}}]
LATE = {  # what comes late -> the fields of the step that needs it
    "ConfigMap": (AROUND[3], {}),
    "Dataset": (AROUND[0], {}),
    "Datastore": (AROUND[1], {}),
    "Environment": (AROUND[2], {}),
    "ComputeCluster": (CLUSTER, {"computeTarget": "cpu"}),
    "Model": (MODEL, {"models": [{"name": "digits"}]}),
    "Secret": (SECRET, {"inputs": READS_BUCKET}),
}


def live(world, seconds, until=lambda: False):
    """Let the operator work for this time, a second at a time."""
    for second in range(seconds):
        if isinstance(world, World) and second % 2 == 0:
            world.poll()
        world.reconciler.work(world.seconds, world.kinds)
        if until():
            return
        world.tick(1.0)


def wait_in_vain(world, late):
    """Live for five minutes without what comes late."""
    live(world, FIVE_MINUTES)
    succeeded = world.condition()
    assert (succeeded["status"], succeeded["reason"]) == ("Unknown", "WaitingForReferences")
    said = "none is named and none is the default" if late == "Datastore" else f"there is no such {late}"
    assert said in succeeded["message"]
    assert not world.kube.of("Pod")


@pytest.mark.parametrize("late", LATE)
def test_a_step_runs_when_what_it_refers_to_comes_five_minutes_later(late):
    manifest, fields = LATE[late]
    world = World()
    others = [each for each in (*AROUND, SECRET, BUCKET, CLUSTER, MODEL) if each["kind"] != late or each is BUCKET]
    world.submit(step(**fields), *others)
    wait_in_vain(world, late)
    world.kube.put(manifest)
    live(world, 31, until=lambda: world.condition().get("reason") == "StartingCoordinator")  # of at most 30 s
    live(world, 60, until=world.finished)
    assert world.condition()["status"] == "True"


@pytest.mark.parametrize("late", ["ConfigMap", "Datastore", "Environment"])
def test_a_task_runs_when_what_it_refers_to_comes_five_minutes_later(late):
    world = TaskWorld()
    manifest, _ = LATE[late]
    around = {each["kind"]: each for each in AROUND}
    code = around["ConfigMap"] | {"data": {"train.py": "..."}}
    world.submit(
        script(), *(each for each in (code, around["Datastore"], around["Environment"]) if each["kind"] != late)
    )
    live(world, FIVE_MINUTES)
    assert world.said()[:2] == ("Unknown", "WaitingForReferences")
    world.kube.put(code if late == "ConfigMap" else manifest)
    live(world, 60)
    assert world.said()[:2] == ("True", "Succeeded")


@pytest.mark.parametrize("late", ["Pipeline", "ConfigMap", "Datastore", "Environment"])
def test_a_pipeline_run_begins_when_what_it_refers_to_comes_five_minutes_later(late):
    world = RunWorld()
    pipeline = kind("Pipeline", "iris", steps=list(CHAIN))
    manifests = {each["kind"]: each for each in (*AROUND_RUNS, pipeline)}
    missing = manifests.pop(late)
    world.submit(around=manifests.values())
    live(world, FIVE_MINUTES)
    assert (world.condition()["status"], world.condition()["reason"]) == ("Unknown", "WaitingForReferences")
    world.kube.put(missing)
    live(world, 120, until=lambda: world.condition("Finished").get("status") == "True")
    assert world.condition()["status"] == "True", world.condition()


def test_what_is_applied_in_reverse_order_minutes_apart_runs():
    world = World()
    world.submit(step(computeTarget="cpu", models=[{"name": "digits"}], inputs=READS_BUCKET))
    for each in (CLUSTER, MODEL, BUCKET, *AROUND[1:], SECRET):
        live(world, 70)
        world.kube.put(each)
    live(world, 90, until=world.finished)
    assert world.condition()["status"] == "True", world.condition()


def test_a_step_that_resumes_one_which_is_created_later_waits_for_it():
    world = World()
    again = step(resumeFrom="score")
    again["metadata"]["name"] = "again"
    world.submit(again, *AROUND)
    live(world, 100)
    world.kube.put(step())
    live(world, 1)
    conditions = world.kube.objects["ParallelRunStep", NAMESPACE, "again"]["status"]["conditions"]
    assert {each["reason"] for each in conditions} == {"WaitingForStep"}


@pytest.mark.parametrize("grace", [0, 60, 600])
def test_what_never_comes_ends_the_step_after_the_grace_period(grace, monkeypatch):
    monkeypatch.setattr(Settings, "missing_reference_grace_seconds", grace)
    world = World()
    monkeypatch.setattr("world.Settings", lambda **fields: Settings(**fields, missing_reference_grace_seconds=grace))
    world.reconciler = world.operator()
    world.submit(step(), *AROUND[1:])
    live(world, grace)
    assert not world.finished() or grace == 0
    live(world, 3)
    assert world.finished()
    assert (world.condition()["status"], world.condition()["reason"]) == ("False", "InvalidInput")
    assert "there is no such Dataset" in world.condition()["message"]


def test_what_is_invalid_ends_the_step_soon_whatever_is_missing_besides():
    world = World()
    world.submit(step(), *AROUND[1:2], kind("Environment", "scikit", python="python3"))
    live(world, 15)
    assert world.finished()
    assert world.condition()["reason"] == "InvalidInput"


def test_a_name_that_is_not_watched_is_looked_up_with_growing_pauses_of_thirty_seconds_at_most():
    world = World()
    world.submit(step(), *AROUND[:3])
    looked = []
    for second in range(FIVE_MINUTES):
        before = len(world.kube.reads)
        live(world, 1)
        looked += [second] * (len(world.kube.reads) > before)
    pauses = [after - before for before, after in itertools.pairwise(looked)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1, 30)


def test_while_something_watched_is_missing_the_api_server_is_asked_nothing():
    world = World()
    world.submit(step(), *AROUND[1:])
    live(world, 10)
    reads, writes, reconciles = len(world.kube.reads), len(world.kube.writes), len(world.reconciler.reconciles)
    live(world, FIVE_MINUTES)
    assert (len(world.kube.reads), len(world.kube.writes)) == (reads, writes)
    assert len(world.reconciler.reconciles) - reconciles <= 5


# --- steady states ----------------------------------------------------------------------------------------------------


def test_a_running_step_costs_no_reads_and_one_write_per_reconcile():
    world = World(mini_batches=10_000)
    world.submit()
    live(world, 20, until=lambda: world.condition().get("reason") == "Running")
    reads, writes = len(world.kube.reads), len(world.kube.writes)
    world.reconciler.reconciles.clear()
    live(world, 120)
    statuses = world.kube.writes[writes:]
    assert len(world.kube.reads) == reads
    assert {each[0] for each in statuses} == {"status"}
    assert 50 <= len(statuses) <= len(world.reconciler.reconciles) <= 70  # its own writes wake nothing


def test_a_step_that_has_ended_costs_nothing():
    world = World()
    world.submit()
    live(world, 60)
    assert world.finished()
    reads, writes = len(world.kube.reads), len(world.kube.writes)
    world.reconciler.reconciles.clear()
    live(world, FIVE_MINUTES)
    assert (len(world.kube.reads), len(world.kube.writes), world.reconciler.reconciles) == (reads, writes, [])


def of_step(**fields):
    world = World()
    world.submit(step(**fields), *AROUND)
    return world, ("ParallelRunStep", NAMESPACE, "score")


def of_task(**fields):
    world = TaskWorld()
    around = {each["kind"]: each for each in AROUND}
    world.submit(script(**fields), around["ConfigMap"] | {"data": {"train.py": "..."}}, *AROUND[:3])
    return world, ("ScriptStep", NAMESPACE, "train")


def of_run(ends=None, **fields):
    world = RunWorld(ends=ends or {})
    world.submit(*CHAIN, **fields)
    return world, ("PipelineRun", NAMESPACE, "nightly")


ENDS = {
    "a step": of_step,
    "a step that is cancelled": lambda **fields: of_step(cancel=True, **fields),
    "a step that is invalid": lambda **fields: of_step(entryScript="missing.py", **fields),
    "a task": of_task,
    "a task that is cancelled": lambda **fields: of_task(cancel=True, **fields),
    "a run": of_run,
    "a run that fails": lambda **fields: of_run({"train": "ScriptFailed"}, **fields),
    "a run that is cancelled": lambda **fields: of_run(cancel=True, **fields),
}


@pytest.mark.parametrize("ttl", [0, 40])
@pytest.mark.parametrize("submitted", ENDS)
def test_what_has_ended_is_deleted_when_its_time_has_come_though_nothing_else_happens(submitted, ttl):
    world, key = ENDS[submitted](ttlSecondsAfterFinished=ttl)
    live(world, 200, until=lambda: key not in world.kube.objects)
    assert key not in world.kube.objects, world.kube.objects[key]["status"]


def test_nothing_is_deleted_while_a_watch_is_interrupted_and_all_is_cleaned_up_afterwards():
    world = World(mini_batches=30)
    world.submit()
    live(world, 5)
    world.reconciler.in_sync = False
    for _ in range(30):
        with suppress(OutOfSync):
            world.reconcile()
        world.tick(1.0)
    assert world.finished()
    assert [each for each in world.kube.writes if each[0] == "delete"] == []
    world.reconciler.in_sync = True
    world.reconcile()
    assert set(world.kube.of("Pod")) == {"score-coordinator"}
    assert not world.kube.of("Secret")
