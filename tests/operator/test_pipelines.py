"""Pipelines: their Ready condition says whether they could be run."""

import pytest
from runs import DECLARED, TRAINED, RunWorld, script
from world import NAMESPACE, kind


@pytest.fixture
def world():
    return RunWorld()


def ready(world, *steps, **spec):
    world.kube.put(kind("Pipeline", "iris", steps=list(steps), **spec))
    world.reconciler.reconcile("Pipeline", NAMESPACE, "iris")
    (found,) = world.kube.of("Pipeline")["iris"]["status"]["conditions"]
    return found["status"], found["reason"], found["message"]


def test_a_pipeline_that_could_be_run_is_ready(world):
    assert ready(world, *TRAINED, parameters=DECLARED) == ("True", "Valid", "2 steps, 1 parameter")


@pytest.mark.parametrize(
    ("steps", "parameters", "says"),
    [
        (
            [script("north", "south"), script("south", "north")],
            [],
            "closes a cycle of dependencies: north → south → north",
        ),
        ([script("north"), script("north")], [], "spec.steps[1].name is 'north', as is that of spec.steps[0]"),
        ([script("north", "south")], [], "refers to the step 'south', which does not exist; the steps are north"),
        ([script("north", arguments=["$(parameters.x)"])], [], "refers to the parameter 'x'"),
        ([script("north")], [{"name": "x", "type": "string"}], "is required, but nothing refers to $(parameters.x)"),
        ([{"name": "north"}], [], "must have exactly one of parallelRun, script and transfer"),
    ],
)
def test_a_pipeline_that_can_never_be_run_reports_it_before_anyone_runs_it(world, steps, parameters, says):
    truth, reason, message = ready(world, *steps, parameters=parameters)
    assert (truth, reason) == ("False", "InvalidInput")
    assert says in message
    assert {each["reason"] for each in world.kube.of("Event").values()} == {"InvalidInput"}


def test_an_output_that_is_called_by_a_parameter_may_be_any(world):
    first = script("north")
    first["script"]["outputs"] = [{"name": "$(parameters.x)"}]
    assert ready(world, first, script("south", "north"), parameters=[{"name": "x", "type": "string"}])[0] == "True"


def test_a_reconcile_of_a_pipeline_that_was_reported_already_writes_nothing(world):
    ready(world, *TRAINED, parameters=DECLARED)
    writes = len(world.kube.writes)
    world.reconciler.reconcile("Pipeline", NAMESPACE, "iris")
    assert len(world.kube.writes) == writes
