"""Tasks under an operator that is killed after any write, and under failing calls."""

import pytest
from task_world import (
    AROUND,
    CODE,
    FAILURE,
    KIND,
    TaskWorld,
    change,
    is_over,
    script,
    transfer,
)
from watching import LAGS
from world import NAMESPACE, Crash

from longshore_operator.cluster.api import ApiError, Conflict


@pytest.fixture
def world():
    return TaskWorld()


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
    world = TaskWorld()
    with_losses(world)
    failed = world.kube.fail_once(verb)
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


def test_a_name_that_is_taken_between_look_and_write_is_reported(world):
    theirs = CODE | {"metadata": {"name": "train-task", "namespace": NAMESPACE}}

    def taken(*asked):
        if asked[:2] == ("create", "ConfigMap"):
            world.kube.put(theirs)

    world.submit()
    world.kube.fail = taken
    world.reconcile()
    assert world.said()[:2] == ("Unknown", "NameTaken")
    assert not [each for each in world.kube.of("Pod").values() if not is_over(each)]
