"""PipelineRuns that retry another one: retryOf."""

import json

import pytest
from runs import AROUND, CHAIN, CODE, RunWorld, failed, parallel
from world import NAMESPACE


@pytest.fixture
def world():
    return RunWorld()


def test_a_retry_keeps_what_has_succeeded_and_reads_the_code_of_failed_steps_again(world):
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
def test_a_coordinator_compares_the_code_that_a_retry_read_again(world, accepts):
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
