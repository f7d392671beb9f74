"""The whole lives of PipelineRuns against a cluster in memory; the operator killed after each of its writes."""

import json

import pytest
from runs import AROUND, CHAIN, CODE, RunWorld, parallel, script
from world import NAMESPACE, kind


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


def test_a_step_that_a_user_cancelled_has_failed(world):
    world.submit(*CHAIN)
    world.reconcile()
    world.tick()
    world.resources()["ScriptStep/nightly-prepare"]["spec"]["cancel"] = True
    world.run()
    assert world.states()["prepare"] == "Failed"


def test_a_resource_that_is_deleted_is_made_again(world):
    world.submit(*CHAIN)
    world.reconcile()
    del world.kube.objects["ScriptStep", NAMESPACE, "nightly-prepare"]
    world.reconcile()
    assert "ScriptStep/nightly-prepare" in world.resources()
    world.run()
    assert world.condition()["status"] == "True"
