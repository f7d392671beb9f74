"""The whole lives of PipelineRuns against a cluster in memory; the operator killed after each of its writes."""

import json

import pytest
from runs import AROUND, CHAIN, CODE, RunWorld, condition_of, parallel, script
from watching import LAGS
from world import NAMESPACE, Crash, kind

from longshore_operator.cluster.api import Conflict, Refused


@pytest.fixture
def world():
    return RunWorld()


def test_steps_run_in_the_order_of_their_data_and_the_run_succeeds(world):
    world.submit(*CHAIN)
    world.reconcile()
    assert set(world.resources()) == {"ScriptStep/nightly-prepare"}
    status = world.run()
    assert world.states() == dict.fromkeys(("prepare", "train", "compare"), "Succeeded")
    assert world.condition()["message"] == "Steps completed: 3"
    assert status["columns"] == {"steps": "3/3"}
    assert status["pipeline"] == "iris"
    assert world.begun == {"nightly-prepare": 1, "nightly-train": 1, "nightly-compare": 1}


def test_independent_steps_run_at_the_same_time(world):
    world.submit(script("north"), script("south"), script("east", "north", "south"))
    world.reconcile()
    assert set(world.resources()) == {"ScriptStep/nightly-north", "ScriptStep/nightly-south"}
    assert world.status()["columns"] == {"steps": "0/3", "current": "north, south"}
    assert world.condition()["message"] == "Steps completed: 0, running: north and south"


def test_what_a_step_reads_is_where_the_step_before_wrote_it(world):
    world.submit(*CHAIN)
    world.run()
    run_id = world.status()["runId"]
    place = f"pvc:claim/longshore/{run_id}-prepare/out"
    assert world.step("prepare")["outputs"] == [{"name": "out", "uri": place}]
    assert world.resources()["ScriptStep/nightly-train"]["spec"]["inputs"] == [
        {"name": "from_prepare", "file": {"paths": [place]}}
    ]
    frozen = json.loads(world.kube.of("ConfigMap")["nightly-train-task"]["data"]["run.json"])
    assert frozen["job"]["inputs"][0]["uris"] == [f"/mnt/longshore/claim/claim/longshore/{run_id}-prepare/out"]
    assert frozen["provision"]["volumes"] == [{"claim": "claim", "host_path": None}]


def test_a_parallel_run_step_is_frozen_by_the_run_and_its_progress_is_shown(world):
    world.submit(parallel("score"))
    world.until(world.resources)
    world.tick()
    world.reconcile()
    assert world.status()["columns"] == {"steps": "0/1", "current": "score (3/6)"}
    frozen = json.loads(world.kube.of("ConfigMap")["nightly-score-run"]["data"]["run.json"])
    assert frozen["job"]["run_id"] == f"{world.status()['runId']}-score"
    world.run()
    assert world.step("score")["resource"] == "ParallelRunStep/nightly-score"


def test_later_edits_of_the_pipeline_its_code_and_its_datasets_change_nothing(world):
    world.submit(*CHAIN)
    world.reconcile()
    world.kube.put(kind("Pipeline", "iris", steps=[script("other")]))
    world.kube.put(kind("Environment", "scikit", image="other:1"))
    world.kube.put(AROUND[3] | {"data": {"train.py": "print('changed')"}})
    world.run()
    assert set(world.states()) == {"prepare", "train", "compare"}
    frozen = json.loads(world.kube.of("ConfigMap")["nightly-train-task"]["data"]["run.json"])
    assert frozen["provision"]["image"] == "python:3.11-slim"
    assert world.kube.of("ConfigMap")[frozen["provision"]["config_map"]]["data"] == CODE
    assert [each["name"] for each in world.status()["pipelineSpec"]["steps"]] == ["prepare", "train", "compare"]


def test_every_object_goes_with_the_run(world):
    world.submit(*CHAIN)
    world.run()
    uid = world.kube.objects["PipelineRun", NAMESPACE, "nightly"]["metadata"]["uid"]
    ours = [each for name, each in world.kube.of("ConfigMap").items() if name != "code"]
    assert len(ours) == 1 + 1 + 3  # frozen, its code, and a run for each step
    for each in (*ours, *world.resources().values()):
        assert [owner["uid"] for owner in each["metadata"]["ownerReferences"]] == [uid]


# --- parameters and reuse --------------------------------------------------------------------------------------------


DECLARED = [{"name": "alpha", "type": "number", "default": 0.5}]
TRAINED = (script("prepare"), script("train", "prepare", arguments=["--alpha", "$(parameters.alpha)"]))


def test_values_of_the_run_win_over_the_defaults_and_are_told(world):
    world.submit(*TRAINED, declared=DECLARED, parameters={"alpha": "0.6"})
    world.run()
    assert world.status()["parameters"] == {"alpha": 0.6}
    assert world.resources()["ScriptStep/nightly-train"]["spec"]["arguments"] == ["--alpha", "0.6"]


def test_a_second_run_reuses_everything_at_once_and_says_from_where(world):
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


def test_a_step_that_is_not_reused_says_why(world):
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


# --- failures --------------------------------------------------------------------------------------------------------


def test_a_failed_step_fails_the_run_and_what_needs_it_is_skipped(world):
    world.ends = {"train": "ScriptFailed"}
    world.submit(*CHAIN)
    world.run()
    assert world.states() == {"prepare": "Succeeded", "train": "Failed", "compare": "Skipped"}
    assert world.condition()["reason"] == "StepFailed"
    assert world.condition()["message"] == ("Steps completed: 2 (failed 1). train failed: ScriptFailed: it is said")
    events = [each for each in world.kube.of("Event").values() if each["type"] == "Warning"]
    assert {each["reason"] for each in events} == {"StepFailed"}


def test_a_step_with_too_many_failed_items_lets_the_others_run_and_the_run_warns_of_it(world):
    world.ends = {"score": "SucceededWithFailures"}
    world.submit(parallel("score"), script("train", runAfter=["score"]))
    world.run()
    assert world.states() == {"score": "Succeeded", "train": "Succeeded"}
    assert world.step("score")["reason"] == "SucceededWithFailures"
    assert (world.condition()["status"], world.condition()["reason"]) == ("True", "SucceededWithFailures")
    assert world.condition()["message"] == (
        "Steps completed: 2. score succeeded with too many failed items: SucceededWithFailures: it is said"
    )
    [event] = [each for each in world.kube.of("Event").values() if each["type"] == "Warning"]
    assert event["reason"] == "SucceededWithFailures"


def test_with_continue_on_step_failure_what_does_not_need_it_still_runs(world):
    world.ends = {"north": "ScriptFailed"}
    world.submit(
        script("north"), script("south", "north"), script("east"), script("west", "east"), continueOnStepFailure=True
    )
    world.run()
    assert world.states() == {"north": "Failed", "south": "Skipped", "east": "Succeeded", "west": "Succeeded"}
    assert world.condition()["status"] == "False"


def test_a_retried_step_has_a_resource_for_each_attempt(world):
    world.ends = {"nightly-train": "ScriptFailed"}
    world.submit(script("prepare"), script("train", "prepare", retries=1))
    world.run()
    assert world.condition()["status"] == "True"
    assert world.step("train")["attempts"] == 2
    (second,) = set(world.begun) - {"nightly-prepare", "nightly-train"}
    assert second.startswith("nightly-train-")
    assert world.step("train")["resource"] == f"ScriptStep/{second}"


def test_a_parallel_run_step_that_takes_too_long_is_cancelled_and_has_failed(world):
    world.ends = {"score": ""}
    world.submit(parallel("score", timeoutSeconds=30))
    assert world.reconcile() <= 30
    for _ in range(20):
        world.tick()
        world.reconcile()
    assert world.resources()["ParallelRunStep/nightly-score"]["spec"]["cancel"] is True
    assert world.step("score")["reason"] == "Timeout"
    assert world.condition()["status"] == "False"


def test_a_step_that_somebody_cancelled_has_failed(world):
    world.submit(*CHAIN)
    world.reconcile()
    world.tick()
    world.resources()["ScriptStep/nightly-prepare"]["spec"]["cancel"] = True
    world.run()
    assert world.states()["prepare"] == "Failed"


def test_a_resource_that_is_gone_is_made_again(world):
    world.submit(*CHAIN)
    world.reconcile()
    del world.kube.objects["ScriptStep", NAMESPACE, "nightly-prepare"]
    world.reconcile()
    assert "ScriptStep/nightly-prepare" in world.resources()
    world.run()
    assert world.condition()["status"] == "True"


# --- what a user steers a run with -----------------------------------------------------------------------------------


def test_a_written_down_step_that_somebody_deleted_is_written_down_again(world):
    world.ends = {"prepare": ""}
    world.submit(*CHAIN)
    world.reconcile()
    del world.kube.objects["ConfigMap", NAMESPACE, "nightly-prepare-task"]
    world.reconciler.reconcile("ScriptStep", NAMESPACE, "nightly-prepare")
    world.reconcile()
    world.reconciler.reconcile("ScriptStep", NAMESPACE, "nightly-prepare")
    assert "nightly-prepare-task-0" in world.kube.of("Pod")


def test_a_cancelled_run_ends_its_steps_and_is_over(world):
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


# --- retryOf ---------------------------------------------------------------------------------------------------------


def failed(world, *steps, name="nightly", **more):
    world.ends = {"train": "ScriptFailed", "score": "InitFailed"}
    world.submit(*steps, name=name, **more)
    world.run(name)
    world.ends = {}


def test_a_retry_keeps_what_has_succeeded_and_takes_the_code_of_what_failed_anew(world):
    failed(world, *CHAIN)
    fixed = {**CODE, "prepare.py": "print('changed too')", "train.py": "print('fixed')"}
    world.submit(name="again", retryOf="nightly", around=(AROUND[3] | {"data": fixed},))
    world.run("again")
    assert world.condition(name="again")["status"] == "True"
    assert world.states("again") == dict.fromkeys(("prepare", "train", "compare"), "Succeeded")
    assert set(world.begun) == {"nightly-prepare", "nightly-train", "again-train", "again-compare"}
    assert world.step("prepare", "again")["resource"] == "ScriptStep/nightly-prepare"
    assert world.status("again")["runId"] == world.status()["runId"]
    assert world.status("again")["pipeline"] == "iris"
    frozen = {
        name: json.loads(world.kube.of("ConfigMap")[f"again-{name}-task"]["data"]["run.json"])["provision"]
        for name in ("train", "compare")
    }
    code = {name: world.kube.of("ConfigMap")[each["config_map"]]["data"] for name, each in frozen.items()}
    assert code == {"train": fixed, "compare": CODE}


def test_a_retried_parallel_run_step_goes_on_with_what_is_committed(world):
    failed(world, parallel("score"))
    world.submit(name="again", retryOf="nightly")
    world.run("again")
    first, second = (
        json.loads(world.kube.of("ConfigMap")[f"{name}-score-run"]["data"]["run.json"]) for name in ("nightly", "again")
    )
    assert second["job"]["run_uri"] == first["job"]["run_uri"]
    assert second["job"]["run_id"] == first["job"]["run_id"]
    assert second["job"]["name"] != first["job"]["name"]  # which gives what failed its tries again


@pytest.mark.parametrize("accepts", [False, True])
def test_a_coordinator_compares_the_code_that_a_retry_took_anew(world, accepts):
    failed(world, parallel("score"))
    fixed = {**CODE, "score.py": "print('fixed')"}
    accepting = {"acceptChangedCode": True} if accepts else {}
    world.submit(name="again", retryOf="nightly", around=(AROUND[3] | {"data": fixed},), **accepting)
    world.run("again")
    first, second = (
        json.loads(world.kube.of("ConfigMap")[f"{name}-score-run"]["data"]["run.json"])["job"]
        for name in ("nightly", "again")
    )
    assert [name for name in first["code"] if first["code"][name] != second["code"][name]] == ["score.py"]
    assert (first["accept_changed_code"], second["accept_changed_code"]) == (False, accepts)


def test_a_retry_waits_for_the_end_of_the_run_that_it_retries(world):
    world.submit(*CHAIN)
    world.reconcile()
    world.submit(name="again", retryOf="nightly")
    world.reconcile("again")
    assert world.condition(name="again")["reason"] == "WaitingForRun"


def test_a_run_whose_status_is_of_another_version_is_not_retried(world):
    failed(world, *CHAIN)
    world.kube.objects["PipelineRun", NAMESPACE, "nightly"]["status"]["steps"] = "of another version"
    world.submit(name="again", retryOf="nightly")
    world.reconcile("again")
    assert (
        "is 'nightly': its status is of another version: run its pipeline again"
        in world.condition(name="again")["message"]
    )


def test_of_two_retries_of_a_run_one_goes_on_and_the_other_waits(world):
    failed(world, *CHAIN)
    world.submit(name="first", retryOf="nightly")
    world.submit(name="second", retryOf="nightly")
    world.reconcile("second")
    world.reconcile("first")
    assert world.condition(name="second")["message"] == "waiting for first to end, which retries the same run"
    assert world.states("first")["train"] == "Running"


def test_a_retry_of_a_retry_is_one_of_the_same_run(world):
    failed(world, *CHAIN)
    world.ends = {"again-train": "ScriptFailed"}
    world.submit(name="again", retryOf="nightly")
    world.run("again")
    world.submit(name="third", retryOf="again")
    world.run("third")
    assert world.condition(name="third")["status"] == "True"
    assert world.step("prepare", "third")["resource"] == "ScriptStep/nightly-prepare"


def test_a_run_is_retried_once_and_then_its_retry_is(world):
    failed(world, *CHAIN)
    world.submit(name="first", retryOf="nightly")
    world.run("first")
    changed = AROUND[3] | {"data": CODE | {"train.py": "print('changed')"}}
    world.submit(name="second", retryOf="nightly", around=(changed,))
    world.tick(11)
    world.reconcile("second")
    says = "spec.retryOf is 'nightly': first has gone on with it: retry that one"
    assert says in world.condition(name="second")["message"]
    assert world.begun["second-train"] == 0  # or what first's compare was made from would be gone


@pytest.mark.parametrize(
    ("earlier", "says"),
    [
        ("nowhere", "spec.retryOf is 'nowhere': there is no other PipelineRun of that name"),
        ("again", "spec.retryOf is 'again': there is no other PipelineRun of that name"),
        ("nightly", "spec.retryOf is 'nightly': it has succeeded, and there is nothing to retry"),
    ],
)
def test_what_cannot_be_retried_is_bad_input(world, earlier, says):
    world.submit(*CHAIN)
    world.run()
    world.submit(name="again", retryOf=earlier)
    world.reconcile("again")
    world.tick(601)  # what does not exist may still be created
    world.reconcile("again")
    assert world.condition(name="again")["reason"] == "InvalidInput"
    assert says in world.condition(name="again")["message"]


def test_steps_that_succeeded_in_a_run_that_failed_are_reused_by_a_new_one(world):
    failed(world, *CHAIN)
    world.submit(name="new")
    world.run("new")
    assert world.states("new") == {"prepare": "Reused", "train": "Succeeded", "compare": "Succeeded"}


# --- bad input -------------------------------------------------------------------------------------------------------


BAD = {
    "a circle": ([script("north", "south"), script("south", "north")], "closes a circle: north → south → north"),
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
def test_what_is_said_of_a_run_that_has_not_begun_is_written_once(world, spec):
    world.submit(script("north", script="x.py"), **spec)
    world.reconcile()
    writes = len(world.kube.writes)
    assert writes == 2  # status and event
    world.tick()
    world.reconcile()
    assert len(world.kube.writes) == writes


def test_a_run_whose_bad_input_was_put_right_begins(world):
    world.submit(script("north", script="x.py"))
    world.tick(11)
    world.reconcile()
    world.kube.put(kind("Pipeline", "iris", steps=[script("north")]))
    world.change(regenerateOutputs=True)
    world.run()
    assert world.condition()["status"] == "True"


def test_a_broken_dataset_that_nobody_names_is_in_nobodys_way(world):
    world.submit(*CHAIN, around=(*AROUND, kind("Dataset", "broken", file={"paths": []})))
    world.run()
    assert world.condition()["status"] == "True"


# --- what is not ours, what is refused ------------------------------------------------------------------------------


def test_an_object_of_somebody_else_with_our_name_is_left_alone_and_told(world):
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
def test_what_the_api_server_refuses_is_told_once_and_tried_again(world, kind_):
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


def test_a_run_that_could_not_be_written_down_is_frozen_again_and_nothing_is_told_of_it(world):
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


def test_a_place_of_an_output_that_somebody_wrote_by_hand_keeps_no_run_from_its_end(world):
    world.submit(script("prepare", arguments=["longshore-step://train/out"]))
    world.run()
    assert world.resources()["ScriptStep/nightly-prepare"]["spec"]["arguments"] == ["longshore-step://train/out"]


def test_a_run_of_the_longest_name_has_objects_that_an_api_server_takes(world):
    name = "n" * 253
    world.submit(*CHAIN, name=name)
    world.run(name)
    assert all(len(each) <= 253 for (kind_, _, each) in world.kube.objects if kind_ != "PipelineRun")


# --- history limits --------------------------------------------------------------------------------------------------


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


# --- the operator is killed ------------------------------------------------------------------------------------------


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


# --- Pipelines -------------------------------------------------------------------------------------------------------


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
        ([script("north", "south"), script("south", "north")], [], "closes a circle: north → south → north"),
        ([script("north"), script("north")], [], "spec.steps[1].name is 'north', as is that of spec.steps[0]"),
        ([script("north", "south")], [], "refers to the step 'south': the steps are north"),
        ([script("north", arguments=["$(parameters.x)"])], [], "refers to the parameter 'x'"),
        ([script("north")], [{"name": "x", "type": "string"}], "is required and nothing refers to $(parameters.x)"),
        ([{"name": "north"}], [], "must have exactly one of parallelRun, script and transfer"),
    ],
)
def test_a_pipeline_that_can_never_be_run_says_so_before_anybody_runs_it(world, steps, parameters, says):
    truth, reason, message = ready(world, *steps, parameters=parameters)
    assert (truth, reason) == ("False", "InvalidInput")
    assert says in message
    assert {each["reason"] for each in world.kube.of("Event").values()} == {"InvalidInput"}


def test_an_output_that_is_called_by_a_parameter_may_be_any(world):
    first = script("north")
    first["script"]["outputs"] = [{"name": "$(parameters.x)"}]
    assert ready(world, first, script("south", "north"), parameters=[{"name": "x", "type": "string"}])[0] == "True"


def test_a_look_at_a_pipeline_that_is_told_already_writes_nothing(world):
    ready(world, *TRAINED, parameters=DECLARED)
    writes = len(world.kube.writes)
    world.reconciler.reconcile("Pipeline", NAMESPACE, "iris")
    assert len(world.kube.writes) == writes
