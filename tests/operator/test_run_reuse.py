"""Parameters of PipelineRuns, and steps that are reused from earlier runs."""

import pytest
from runs import AROUND, CODE, DECLARED, TRAINED, RunWorld, parallel
from world import NAMESPACE


@pytest.fixture
def world():
    return RunWorld()


def test_values_of_the_run_win_over_the_defaults_and_are_reported(world):
    world.submit(*TRAINED, declared=DECLARED, parameters={"alpha": "0.6"})
    world.run()
    assert world.status()["parameters"] == {"alpha": 0.6}
    assert world.resources()["ScriptStep/nightly-train"]["spec"]["arguments"] == ["--alpha", "0.6"]


def test_a_second_run_reuses_everything_at_once_and_states_from_where(world):
    world.submit(*TRAINED, declared=DECLARED)
    first = world.run()
    world.submit(name="again")
    world.reconcile("again")
    assert world.states("again") == {"prepare": "Reused", "train": "Reused"}
    assert world.condition(name="again") | {"status": "True"} == world.condition(name="again")
    assert world.condition(name="again")["message"] == "Steps completed: 2 (reused 2)"
    assert world.step("train", "again")["reusedFrom"]["runId"] == first["runId"]
    assert world.step("train", "again")["outputs"] == world.step("train")["outputs"]
    assert not [name for name in world.resources() if "again" in name]


def test_what_an_api_server_makes_of_numbers_keeps_no_step_from_being_reused(world):
    score = parallel("score")
    score["parallelRun"]["allowedFailedPercent"] = 5
    world.submit(score)
    world.run()
    settings = world.step("score")["fingerprint"]["parts"]["settings"]
    assert settings["allowedFailedPercent"] == 5
    assert isinstance(settings["allowedFailedPercent"], int)  # as it comes back, whatever is written
    world.submit(name="again")
    world.run("again")
    assert world.states("again") == {"score": "Reused"}


def test_a_step_that_is_not_reused_states_why(world):
    world.submit(*TRAINED, declared=DECLARED)
    world.run()
    world.submit(name="again", parameters={"alpha": 0.6})
    world.run("again")
    assert world.states("again") == {"prepare": "Reused", "train": "Succeeded"}
    assert world.step("train", "again")["notReused"] == "argument 2 changed from 0.5 to 0.6"


def test_changed_code_is_named_by_its_file(world):
    world.submit(*TRAINED, declared=DECLARED)
    world.run()
    world.submit(name="again", around=(AROUND[3] | {"data": {**CODE, "train.py": "print('changed')"}},))
    world.run("again")
    assert world.step("train", "again")["notReused"].startswith("code changed: train.py")


def test_regenerate_outputs_runs_everything(world):
    world.submit(*TRAINED, declared=DECLARED)
    world.run()
    world.submit(name="again", regenerateOutputs=True)
    world.run("again")
    assert world.states("again") == {"prepare": "Succeeded", "train": "Succeeded"}


def test_runs_of_another_namespace_are_not_reused(world):
    world.submit(*TRAINED, declared=DECLARED)
    world.run()
    earlier = world.kube.objects.pop(("PipelineRun", NAMESPACE, "nightly"))
    earlier["metadata"]["namespace"] = "elsewhere"
    world.kube.objects["PipelineRun", "elsewhere", "nightly"] = earlier
    world.submit(name="again")
    world.run("again")
    assert world.states("again") == {"prepare": "Succeeded", "train": "Succeeded"}
