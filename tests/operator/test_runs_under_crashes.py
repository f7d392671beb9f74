"""PipelineRuns come to the same end wherever the operator is killed."""

import pytest
from runs import CHAIN, RunWorld, failed, parallel, script
from watching import LAGS
from world import Crash

from longshore_operator.cluster.api import Conflict


@pytest.fixture
def world():
    return RunWorld()


LIVES = {
    "a chain": ((*CHAIN,), {}),
    "side by side, one fails": (
        (script("north"), script("south"), script("east", "north"), script("west", "south")),
        {"north": "ScriptFailed"},
    ),
    "retries": ((script("north", retries=2), script("south", "north")), {"nightly-north": "ScriptFailed"}),
    "mini-batches": ((parallel("score"), script("north", runAfter=["score"])), {}),
}


def lived(steps, ends, *, crash_after=None, lag=0):
    world = RunWorld(ends=ends, lag=lag)
    world.submit(*steps)
    world.kube.crash_after = crash_after
    for _ in range(120):
        try:
            world.reconcile()
        except Crash:
            world.reconciler = world.operator()
            continue
        except Conflict:  # as the queue would, when a watch has yet to tell of something
            pass
        if world.condition("Finished").get("status") == "True":
            break
        world.tick()
    world.reconcile()
    return world


@pytest.mark.parametrize(("steps", "ends"), LIVES.values(), ids=LIVES.keys())
@pytest.mark.parametrize("lag", LAGS)
def test_a_run_comes_to_the_same_end_with_each_step_run_once_wherever_the_operator_is_killed(steps, ends, lag):
    undisturbed = lived(steps, ends)
    assert undisturbed.condition("Finished")["status"] == "True"
    writes = len([each for each in undisturbed.kube.writes if each[1] != "Event"])
    assert writes > 5
    for crash_after in range(1, len(undisturbed.kube.writes) + 1):
        world = lived(steps, ends, crash_after=crash_after, lag=lag)
        assert world.states() == undisturbed.states(), crash_after
        assert world.condition()["message"] == undisturbed.condition()["message"], crash_after
        assert world.begun == undisturbed.begun, crash_after
        assert set(world.resources()) == set(undisturbed.resources()), crash_after


def test_a_retry_comes_to_the_same_end_wherever_the_operator_is_killed():
    def retried(crash_after=None):
        world = RunWorld()
        failed(world, *CHAIN)
        before = len(world.kube.writes)
        world.kube.crash_after = None if crash_after is None else before + crash_after
        world.submit(name="again", retryOf="nightly")
        for _ in range(60):
            try:
                world.reconcile("again")
            except Crash:
                world.reconciler = world.operator()
                continue
            if world.condition("Finished", "again").get("status") == "True":
                break
            world.tick()
        return world, len(world.kube.writes) - before

    undisturbed, writes = retried()
    assert undisturbed.condition(name="again")["status"] == "True"
    for crash_after in range(1, writes + 1):
        world, _ = retried(crash_after)
        assert world.states("again") == undisturbed.states("again"), crash_after
        assert world.begun == undisturbed.begun, crash_after
