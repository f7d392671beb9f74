"""Models and Datasets that steps register: once, after a success, under an operator that is killed after any write."""

import pytest
from manifests import resource
from task_world import AROUND, FAILURE, KIND, TaskWorld, result, script, uid
from watching import LAGS
from world import NAMESPACE, Crash, World, kind

from longshore_operator.cluster.api import ApiError, Conflict, Refused
from longshore_protocol.registrations import DATASET, MODEL, Registration, pack

NET = Registration(MODEL, "digits", ("run:registered/0a/net.pkl",), tags={"score": "0.9"})
OLD = Registration(MODEL, "Old Digits", ("run:registered/0b/net",))
TABLE = Registration(DATASET, "rows", ("output:model/*.csv",), tabular={"format": "csv"})
REGISTERED = pack([NET, OLD, TABLE])
SUCCESS = result(registered=REGISTERED, code="c" * 64)


@pytest.fixture
def world():
    return TaskWorld()


def submit(world, *names):
    world.submit(*AROUND)
    for name in names or ("train",):
        world.ends[f"{name}-task-0"] = SUCCESS
        world.submit(script(name, params={"rate": "0.5"}))


def registered(world):
    """Return what is registered: kind, name and version, in order."""
    found = [each for kind_ in ("Model", "Dataset") for each in world.kube.of(kind_).values()]
    made = [each for each in found if "longshore.dev/registration" in each["metadata"].get("labels", {})]
    return sorted((each["kind"], each["spec"]["name"], each["spec"]["version"]) for each in made)


ONCE = [("Dataset", "rows", 1), ("Model", "Old Digits", 1), ("Model", "digits", 1)]


def test_a_script_step_registers_before_it_is_finished(world):
    submit(world)
    status = world.run()
    assert registered(world) == ONCE
    assert [(each["kind"], each["name"], each["version"], each["resource"]) for each in status["registered"]] == [
        ("Model", "digits", 1, "digits-1"),
        ("Model", "Old Digits", 1, "old-digits-b3739e1e-1"),
        ("Dataset", "rows", 1, "rows-1"),
    ]
    run_id = f"train-{uid(world)[:8]}"
    digits = world.kube.objects["Model", NAMESPACE, "digits-1"]
    assert digits["spec"] == {
        "name": "digits",
        "version": 1,
        "tags": {"score": "0.9"},
        "datastore": "data",
        "path": f"longshore/{run_id}/registered/0a/net.pkl",
    }
    assert "ownerReferences" not in digits["metadata"]  # it outlives the step
    assert digits["metadata"]["labels"]["longshore.dev/origin-run"] == run_id
    origin = digits["status"]["origin"]
    assert (origin["step"], origin["resource"], origin["runId"]) == ("train", "train", run_id)
    assert (origin["code"], origin["environment"]) == ("c" * 64, "python:3.11-slim")
    assert origin["parameters"] == {"rate": "0.5"}
    rows = world.kube.objects["Dataset", NAMESPACE, "rows-1"]["spec"]["tabular"]
    assert rows == {"datastore": "data", "paths": [f"longshore/{run_id}/model/*.csv"], "format": "csv"}
    assert world.reasons()[-2:] == ["Registering", "Succeeded"]


@pytest.mark.parametrize("end", [FAILURE, result("failed", registered=REGISTERED), "evicted", "OOMKilled"])
def test_a_step_that_does_not_succeed_registers_nothing(world, end):
    submit(world)
    world.ends["train-task-0"] = end
    world.ends |= {f"train-task-{number}": FAILURE for number in range(1, 12)}
    assert "registered" not in world.run()
    assert registered(world) == []


def test_a_lost_pod_registers_nothing_and_its_successor_does(world):
    submit(world)
    world.ends |= {"train-task-0": "evicted", "train-task-1": SUCCESS}
    world.run()
    assert registered(world) == ONCE


def lived(*names, crash_after=None, lag=0):
    """Run steps under an operator that is killed after a write; return what is registered and the number of writes."""
    world = TaskWorld(lag=lag)
    submit(world, *names)
    world.kube.crash_after = crash_after
    for _ in range(100):
        wanted = []
        for name in names:
            try:
                wanted.append(world.reconcile(name))
            except Crash:
                world.reconciler = world.operator()
                wanted.append(1.0)
            except Conflict:  # the queue tries again
                wanted.append(1.0)
        if not any(each is not None for each in wanted) and all(map(world.finished, names)):
            statuses = [world.status(name)["registered"] for name in names]
            return registered(world), statuses, len(world.kube.writes)
        world.tick()
    raise AssertionError(f"no end after a crash at write {crash_after}")


WRITES = lived("train")[2]


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("killed_after", range(1, WRITES + 1))
def test_an_operator_that_dies_after_any_write_registers_once(killed_after, lag):
    found, statuses, _ = lived("train", crash_after=killed_after, lag=lag)
    assert (found, statuses) == lived("train")[:2]
    assert found == ONCE


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("killed_after", range(10, 30, 2))
def test_steps_that_register_one_name_at_once_get_different_versions(killed_after, lag):
    names = ("train", "train-2", "train-3")
    found, statuses, _ = lived(*names, crash_after=killed_after, lag=lag)
    assert found == sorted((kind_, name, version) for kind_, name, _ in ONCE for version in (1, 2, 3))
    for name in ("digits", "Old Digits", "rows"):
        given = [each["version"] for status in statuses for each in status if each["name"] == name]
        assert sorted(given) == [1, 2, 3]


@pytest.mark.parametrize("verb", ["read", "list", "create", "status", "delete"])
def test_a_call_that_fails_registers_nothing_twice(verb):
    world = TaskWorld()
    submit(world)
    world.until("Running")
    world.tick()
    failed = world.kube.fail_once(verb)
    for _ in range(20):
        try:
            if world.reconcile() is None and world.finished():
                break
        except ApiError:
            continue
        world.tick()
    assert registered(world) == ONCE
    assert failed or verb in ("list", "delete", "read")


def test_the_version_follows_those_that_users_applied_and_a_taken_name_is_left_alone(world):
    submit(world)
    world.submit(
        resource("Model", "by-hand", {"name": "digits", "version": 4, "path": "x"}, namespace=NAMESPACE),
        kind("Model", "digits-5", path="other"),
        kind("Dataset", "rows", file={"paths": ["rows"]}),
    )
    world.run()
    assert registered(world) == [("Dataset", "rows", 2), ("Model", "Old Digits", 1), ("Model", "digits", 6)]
    assert world.kube.objects["Model", NAMESPACE, "digits-5"]["spec"] == {"path": "other"}


def test_a_refusal_is_reported_and_the_step_waits(world):
    submit(world)

    def refuse(verb, kind_, *_):
        if (verb, kind_) == ("create", "Dataset"):
            raise Refused("datasets is forbidden")

    world.kube.fail = refuse
    world.until("Refused")
    assert not world.finished()
    assert registered(world) == [each for each in ONCE if each[0] == "Model"]
    world.kube.fail = None
    world.run()
    assert registered(world) == ONCE


def test_a_result_whose_registrations_cannot_be_read_fails_the_step(world):
    submit(world)
    world.ends["train-task-0"] = result(registered="AAAA")
    world.run()
    assert world.said()[:2] == ("False", "ScriptFailed")
    assert "its registrations cannot be read" in world.said()[2]


def test_a_finished_step_registers_no_more(world):
    submit(world)
    world.run()
    world.kube.objects.pop(("Model", NAMESPACE, "digits-1"))
    world.reconcile()
    assert registered(world) == [each for each in ONCE if each[1] != "digits"]
    assert world.condition("Finished", of=KIND)["status"] == "True"


# --- a ParallelRunStep --------------------------------------------------------------------------------------------

SCORED = pack([NET, Registration(DATASET, "rows", ("output:scores",))])
SCORED_ONCE = [("Dataset", "rows", 1), ("Model", "digits", 1)]


def scored(*, crash_after=None, lag=0, **fields):
    """Run a step whose shutdown() registers under an operator that is killed after a write; return its world."""
    world = World(registered=SCORED, lag=lag, **fields)
    world.submit()
    world.kube.crash_after = crash_after
    for _ in range(120):
        try:
            wanted = world.reconcile()
        except Crash:
            world.reconciler = world.operator()
            continue
        except Conflict:
            wanted = 1.0
        if wanted is None and world.finished() and not world.kube.of("Secret"):
            return world
        world.tick()
    raise AssertionError(f"no end after a crash at write {crash_after}: {world.status()}")


def test_a_parallel_run_step_registers_before_it_is_finished():
    world = scored()
    assert registered(world) == SCORED_ONCE
    assert [(each["kind"], each["name"]) for each in world.status()["registered"]] == [
        ("Model", "digits"),
        ("Dataset", "rows"),
    ]
    origin = world.kube.objects["Model", NAMESPACE, "digits-1"]["status"]["origin"]
    assert (origin["kind"], origin["step"], origin["runId"]) == ("ParallelRunStep", "score", world.run_id())
    assert (origin["inputs"], origin["code"]) == ([{"name": "images", "uris": ["pvc:claim/in/*.png"]}], "c" * 64)
    rows = world.kube.objects["Dataset", NAMESPACE, "rows-1"]["spec"]["file"]
    assert rows == {"datastore": "data", "paths": [f"longshore/{world.run_id()}/scores"]}


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("killed_after", range(1, len(scored().kube.writes) + 1))
def test_an_operator_that_dies_after_any_write_registers_a_parallel_run_steps_once(killed_after, lag):
    world = scored(crash_after=killed_after, lag=lag)
    assert registered(world) == SCORED_ONCE
    assert world.status()["registered"] == scored().status()["registered"]


def test_a_parallel_run_step_that_fails_registers_nothing():
    world = scored(state="Failed", reason="ErrorThresholdExceeded")
    assert registered(world) == []
    assert "registered" not in world.status()
