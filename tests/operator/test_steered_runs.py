"""PipelineRuns that a user cancels, suspends or limits."""

import pytest
from runs import CHAIN, RunWorld, condition_of, failed, parallel, script
from world import NAMESPACE, Crash, kind


@pytest.fixture
def world():
    return RunWorld()


def test_a_written_down_step_that_a_user_deleted_is_written_down_again(world):
    world.ends = {"prepare": ""}
    world.submit(*CHAIN)
    world.reconcile()
    del world.kube.objects["ConfigMap", NAMESPACE, "nightly-prepare-task"]
    world.reconciler.reconcile("ScriptStep", NAMESPACE, "nightly-prepare")
    world.reconcile()
    world.reconciler.reconcile("ScriptStep", NAMESPACE, "nightly-prepare")
    assert "nightly-prepare-task-0" in world.kube.of("Pod")


def test_a_cancelled_run_ends_its_steps_and_is_finished(world):
    world.ends = {"prepare": ""}
    world.submit(*CHAIN)
    world.reconcile()
    world.tick()
    world.change(cancel=True)
    world.run()
    assert world.states() == dict.fromkeys(("prepare", "train", "compare"), "Cancelled")
    assert (world.condition()["status"], world.condition()["reason"]) == ("False", "Cancelled")


def test_a_suspended_run_lets_scripts_end_and_starts_nothing_more(world):
    world.submit(*CHAIN)
    world.reconcile()
    world.tick()
    world.change(suspend=True)
    world.until(lambda: world.condition()["reason"] == "Suspended")
    assert world.states()["prepare"] == "Succeeded"
    assert set(world.resources()) == {"ScriptStep/nightly-prepare"}
    world.change(suspend=False)
    world.run()
    assert world.condition()["status"] == "True"
    assert world.begun == {"nightly-prepare": 1, "nightly-train": 1, "nightly-compare": 1}


def test_a_suspended_run_suspends_its_parallel_run_steps_which_go_on_later(world):
    world.ends = {"score": ""}
    world.submit(parallel("score"))
    world.until(world.resources)
    world.tick()
    world.change(suspend=True)
    world.until(lambda: world.condition()["reason"] == "Suspended")
    score = world.resources()["ParallelRunStep/nightly-score"]
    assert score["spec"]["suspend"] is True
    world.ends = {}
    world.change(suspend=False)
    world.reconcile()
    assert world.resources()["ParallelRunStep/nightly-score"]["spec"]["suspend"] is False
    world.run()
    assert world.resources()["ParallelRunStep/nightly-score"]["metadata"]["uid"] == score["metadata"]["uid"]
    assert world.step("score")["attempts"] == 1


def resting(world, *steps):
    """A run that is suspended, with a ParallelRunStep that rests."""
    world.submit(parallel("score"), *steps)
    world.until(lambda: world.resources().get("ParallelRunStep/nightly-score", {}).get("status"))
    world.change(suspend=True)
    world.until(lambda: world.step("score")["reason"] != "Started")


def rested(world):
    """How the ParallelRunStep that rested came to its end."""
    for _ in range(2):
        world.reconcile()
        world.tick()
    return condition_of(world.resources()["ParallelRunStep/nightly-score"]["status"], "Succeeded")["reason"]


def test_a_step_that_rests_ends_when_its_run_is_cancelled(world):
    resting(world)
    world.change(cancel=True)
    world.run()
    assert world.states() == {"score": "Cancelled"}
    assert rested(world) == "Cancelled"


def test_a_step_that_rests_ends_when_its_run_is_cancelled_and_the_operator_killed_at_once(world):
    resting(world)
    world.change(cancel=True)
    world.kube.crash_after = len(world.kube.writes) + 1
    with pytest.raises(Crash):
        world.reconcile()
    world.reconciler = world.operator()
    world.run()
    assert rested(world) == "Cancelled"


def test_a_step_that_rests_ends_when_another_one_fails_the_run(world):
    world.ends = {"north": "ScriptFailed"}
    resting(world, script("north"))
    world.run()
    assert world.states() == {"score": "Skipped", "north": "Failed"}
    assert rested(world) == "Cancelled"


def test_a_step_that_rests_ends_when_what_another_run_made_meanwhile_is_taken(world):
    resting(world)
    world.submit(name="other")
    world.run("other")
    world.change(suspend=False)
    world.run()
    assert world.states() == {"score": "Reused"}
    assert rested(world) == "Cancelled"


@pytest.mark.parametrize(("switch", "reason"), [("suspend", "Suspended"), ("cancel", "Cancelled")])
def test_of_a_run_that_is_switched_off_from_the_beginning_nothing_is_started(world, switch, reason):
    world.submit(*CHAIN, **{switch: True})
    world.reconcile()
    assert world.condition()["reason"] == reason
    assert not world.resources()
    assert set(world.kube.of("ConfigMap")) == {"code"}


def test_a_run_deletes_itself_when_its_time_has_come(world):
    world.submit(*CHAIN, ttlSecondsAfterFinished=60)
    world.run()
    assert 0 < world.reconcile() <= 60
    world.tick(61)
    world.reconcile()
    assert "nightly" not in world.kube.of("PipelineRun")


def test_ended_runs_beyond_the_limits_of_their_pipeline_are_deleted_the_oldest_first(world):
    world.submit(*CHAIN, pipeline="other", name="kept")
    world.run("kept")
    for index in range(4):
        world.submit(*CHAIN, name=f"good-{index}", regenerateOutputs=True)
        world.run(f"good-{index}")
    failed(world, *CHAIN, name="bad-0", regenerateOutputs=True)
    failed(world, *CHAIN, name="bad-1", regenerateOutputs=True)
    world.submit(name="again", retryOf="bad-0")
    limits = {"successfulRunsHistoryLimit": 2, "failedRunsHistoryLimit": 0}
    world.kube.put(kind("Pipeline", "iris", steps=list(CHAIN), **limits))
    world.reconciler.reconcile("Pipeline", NAMESPACE, "iris")
    assert set(world.kube.of("PipelineRun")) == {"kept", "good-2", "good-3", "bad-0", "again"}
