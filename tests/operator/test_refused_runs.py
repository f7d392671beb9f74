"""PipelineRuns with bad input, and those of which an object is refused or belongs to somebody else."""

import pytest
from runs import AROUND, CHAIN, CODE, RunWorld, parallel, script
from world import NAMESPACE, kind

from longshore_operator.cluster.api import Refused


@pytest.fixture
def world():
    return RunWorld()


BAD = {
    "a circle": (
        [script("north", "south"), script("south", "north")],
        "closes a cycle of dependencies: north → south → north",
    ),
    "an unknown step": ([script("north", "x")], "spec.steps[0].script.inputs[0].from refers to the step 'x'"),
    "an unknown parameter": (
        [script("north", arguments=["$(parameters.x)"])],
        "spec.steps[0].script.arguments[0] refers to the parameter 'x'",
    ),
    "no such ConfigMap": (
        [script("north", source={"configMap": "none"})],
        "spec.steps[0].script.source.configMap is 'none': there is no such ConfigMap",
    ),
    "no such script": (
        [script("north", script="x.py")],
        "spec.steps[0].script.scriptName is 'x.py': ConfigMap code has no such key",
    ),
    "no such ComputeCluster": (
        [script("north", computeTarget="gpus")],
        "spec.steps[0].script.computeTarget is 'gpus': there is no such ComputeCluster",
    ),
    "no such Dataset": (
        [parallel("score", inputs=[{"name": "in", "dataset": "none"}])],
        "spec.steps[0].parallelRun.inputs[0].dataset is 'none': there is no such Dataset",
    ),
    "a wrong type": (
        [parallel("score", nodeCount="two")],
        "spec.steps[0].parallelRun.nodeCount is 'two': must be a whole number, 1 or more",
    ),
}


@pytest.mark.parametrize(("steps", "says"), BAD.values(), ids=BAD.keys())
def test_a_pipeline_that_cannot_be_run_is_refused_with_the_fields_path_and_nothing_is_started(world, steps, says):
    world.submit(*steps)
    world.reconcile()
    assert world.condition()["status"] == "Unknown"  # what it refers to may come later
    world.tick(601)
    world.reconcile()
    assert (world.condition()["status"], world.condition()["reason"]) == ("False", "InvalidInput")
    assert says in world.condition()["message"]
    assert world.reconcile() is None
    assert not world.resources()
    assert set(world.kube.of("ConfigMap")) == {"code"}


def test_a_pipeline_whose_status_no_api_server_could_keep_is_refused(world):
    code = AROUND[3] | {"data": CODE | {f"module_{index}.py": "" for index in range(80)}}
    world.submit(*[script(f"step-{index}", script="train.py") for index in range(300)], around=(*AROUND, code))
    world.tick(11)
    world.reconcile()
    assert world.condition()["reason"] == "InvalidInput"
    assert "Pipeline/iris: spec.steps are too many, with too many files of code" in world.condition()["message"]
    assert not world.resources()


@pytest.mark.parametrize("spec", [{}, {"suspend": True}])
def test_what_is_reported_of_a_run_that_has_not_begun_is_written_once(world, spec):
    world.submit(script("north", script="x.py"), **spec)
    world.reconcile()
    writes = len(world.kube.writes)
    assert writes == 2  # status and event
    world.tick()
    world.reconcile()
    assert len(world.kube.writes) == writes


def test_a_run_whose_bad_input_was_fixed_begins(world):
    world.submit(script("north", script="x.py"))
    world.tick(11)
    world.reconcile()
    world.kube.put(kind("Pipeline", "iris", steps=[script("north")]))
    world.change(regenerateOutputs=True)
    world.run()
    assert world.condition()["status"] == "True"


def test_a_broken_dataset_that_no_document_names_does_no_harm(world):
    world.submit(*CHAIN, around=(*AROUND, kind("Dataset", "broken", file={"paths": []})))
    world.run()
    assert world.condition()["status"] == "True"


def test_an_object_of_another_owner_with_our_name_is_left_alone_and_reported(world):
    taken = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "nightly-pipeline", "namespace": NAMESPACE}}
    world.submit(*CHAIN, around=(*AROUND, taken))
    world.reconcile()
    assert world.condition()["reason"] == "NameTaken"
    assert not world.resources()


def test_a_run_that_waits_for_its_name_can_be_cancelled(world):
    taken = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "nightly-pipeline", "namespace": NAMESPACE}}
    world.submit(*CHAIN, around=(*AROUND, taken))
    world.reconcile()
    world.change(cancel=True)
    world.reconcile()
    assert (world.condition()["status"], world.condition()["reason"]) == ("False", "Cancelled")


@pytest.mark.parametrize("kind_", ["ConfigMap", "ScriptStep"])
def test_what_the_api_server_refuses_is_reported_once_and_tried_again(world, kind_):
    def refuse(verb, kind_of, name):
        if verb == "create" and kind_of == kind_ and name.startswith("nightly-prepare"):
            raise Refused("exceeded quota: no more of it")

    world.kube.fail = refuse
    world.submit(*CHAIN)
    assert world.reconcile() == 5.0
    assert (world.condition()["reason"], world.condition()["status"]) == ("QuotaExceeded", "Unknown")
    writes = len(world.kube.writes)
    world.tick()
    world.reconcile()
    assert len(world.kube.writes) == writes
    world.kube.fail = None
    world.run()
    assert world.condition()["status"] == "True"


@pytest.mark.parametrize(
    "refused", [("ConfigMap", "nightly-pipeline"), ("ConfigMap", "nightly-prepare"), ("ScriptStep", "nightly-prepare")]
)
def test_a_rule_of_the_cluster_that_refuses_what_a_run_needs_stalls_it_until_it_is_changed(world, refused):
    def refuse(verb, kind_of, name):
        if verb == "create" and kind_of == refused[0] and name.startswith(refused[1]):
            raise Refused("denied the request: no more of it")

    world.kube.fail = refuse
    world.submit(*CHAIN)
    for _ in range(2):
        world.reconcile()
        stalled = world.condition("Stalled")
        assert (stalled["status"], stalled["reason"]) == ("True", "Refused")
        assert stalled["lastTransitionTime"] == "2026-01-01T00:00:00Z"
        world.tick()
    world.kube.fail = None
    world.run()
    assert (world.condition()["status"], world.condition("Stalled")["status"]) == ("True", "False")


def test_a_run_of_which_another_step_goes_on_is_not_stalled(world):
    def refuse(verb, kind_of, name):
        if (verb, kind_of, name) == ("create", "ScriptStep", "nightly-south"):
            raise Refused("denied the request: no more of it")

    world.kube.fail = refuse
    world.ends["north"] = ""
    world.submit(script("north"), script("south"))
    for _ in range(3):
        world.reconcile()
        world.tick()
    assert (world.condition()["reason"], world.condition("Stalled")["status"]) == ("Refused", "False")
    world.ends["north"] = "Succeeded"
    world.until(lambda: world.states()["north"] == "Succeeded")
    assert world.condition("Stalled")["status"] == "True"


def test_a_run_whose_only_step_is_stalled_is_stalled_too(world):
    world.ends["prepare"] = ""
    world.submit(*CHAIN)
    world.until(lambda: "ScriptStep/nightly-prepare" in world.resources())
    step = world.resources()["ScriptStep/nightly-prepare"]
    step["status"] = world.status_of("ScriptStep", "Unknown", "Refused", "violates PodSecurity")
    step["status"]["conditions"].append({**step["status"]["conditions"][0], "type": "Stalled", "status": "True"})
    world.seconds += 5.0  # a status of progress alone may be written again
    world.reconcile()
    stalled = world.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "StepStalled")
    assert "prepare: violates PodSecurity" in stalled["message"]


def test_a_run_that_could_not_be_written_is_frozen_again_and_nothing_is_reported_of_it(world):
    def refuse(verb, kind_of, name):
        if (verb, kind_of, name) == ("create", "ConfigMap", "nightly-pipeline"):
            raise Refused("exceeded quota: no more of it")

    world.kube.fail = refuse
    world.submit(script("prepare"))
    assert world.reconcile() == 5.0
    assert world.condition()["reason"] == "QuotaExceeded"
    assert not {"runId", "startTime"} & world.status().keys()
    world.kube.put(AROUND[3] | {"data": {"prepare.py": "print('changed')"}})
    world.kube.fail = None
    world.run()
    world.submit(script("prepare"), name="again")  # with the code as it was
    world.run("again")
    assert world.states("again") == {"prepare": "Succeeded"}


def test_a_location_of_an_output_that_a_user_wrote_prevents_no_run_from_finishing(world):
    world.submit(script("prepare", arguments=["longshore-step://train/out"]))
    world.run()
    assert world.resources()["ScriptStep/nightly-prepare"]["spec"]["arguments"] == ["longshore-step://train/out"]


def test_a_run_of_the_longest_name_has_objects_that_an_api_server_takes(world):
    name = "n" * 253
    world.submit(*CHAIN, name=name)
    world.run(name)
    assert all(len(each) <= 253 for (kind_, _, each) in world.kube.objects if kind_ != "PipelineRun")
