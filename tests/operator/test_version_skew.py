"""Runs that an operator of another version began: this one continues them, as after an upgrade or a rollback."""

import base64
import gzip
import json

import pytest

# pytest's importlib mode adds no folder of tests by itself
from runs import CHAIN, RunWorld
from task_world import TaskWorld
from versions import of_another_version
from world import NAMESPACE, World, step

from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.cluster.task_runs import TaskRun
from longshore_planner.pipelines.on_cluster import ClusterPipeline

RUN, PIPELINE = "run.json", "pipeline.json.gz"


def upgrade(world):
    """Put an operator of another version than the one that began all runs in its place."""
    for raw in world.kube.of("ConfigMap").values():
        if RUN in raw.get("data", {}):
            kind = TaskRun if "kind" in json.loads(raw["data"][RUN]) else ClusterRun
            raw["data"][RUN] = of_another_version(kind, raw["data"][RUN])
        if PIPELINE in raw.get("binaryData", {}):
            text = gzip.decompress(base64.b64decode(raw["binaryData"][PIPELINE])).decode()
            packed = gzip.compress(of_another_version(ClusterPipeline, text).encode())
            raw["binaryData"][PIPELINE] = base64.b64encode(packed).decode()
    world.reconciler = world.operator()


def pods(world):
    return {name: raw["metadata"]["uid"] for name, raw in world.kube.of("Pod").items()}


@pytest.fixture
def running():
    world = World()
    world.submit()
    for _ in range(3):
        world.reconcile()
        world.tick()
    assert world.condition()["reason"] == "Running"
    return world


def test_a_running_step_keeps_its_pods(running):
    before = pods(running)
    upgrade(running)
    running.reconcile()
    assert pods(running) == before
    running.run()
    assert running.condition()["reason"] == "Succeeded"


def test_a_coordinator_that_is_evicted_is_followed_by_another(running):
    upgrade(running)
    before = pods(running)
    running.pod("score-coordinator")["status"] |= {"phase": "Failed", "reason": "Evicted"}
    running.run()
    after = pods(running)
    assert after["score-coordinator"] != before["score-coordinator"]
    assert running.condition()["reason"] == "Succeeded"


def test_a_step_goes_on_with_the_run_of_another(running):
    run_id = running.status()["runId"]
    running.kube.objects["ParallelRunStep", NAMESPACE, "score"]["spec"]["cancel"] = True
    while not running.finished():
        running.reconcile()
        running.tick()
    upgrade(running)
    again = step(resumeFrom="score")
    again["metadata"]["name"] = "again"
    running.kube.put(again)
    running.reconciler.reconcile("ParallelRunStep", NAMESPACE, "again")
    running.reconciler.reconcile("ParallelRunStep", NAMESPACE, "again")
    assert running.kube.objects["ParallelRunStep", NAMESPACE, "again"]["status"]["runId"] == run_id


def test_a_lost_pod_of_a_task_is_followed_by_another():
    world = TaskWorld()
    world.submit()
    world.ends["train-task-0"] = "evicted"
    world.reconcile()
    upgrade(world)
    status = world.run()
    assert (status["losses"], set(pods(world))) == (1, {"train-task-1"})
    assert world.said()[:2] == ("True", "Succeeded")


def test_a_pipeline_run_starts_its_next_steps():
    world = RunWorld()
    world.submit(*CHAIN)
    world.until(lambda: world.states()["prepare"] == "Succeeded")
    upgrade(world)
    world.run()
    assert set(world.states().values()) == {"Succeeded"}
    assert set(world.begun.values()) == {1}


def test_a_pipeline_run_that_failed_is_retried():
    world = RunWorld(ends={"train": "ScriptFailed"})
    world.submit(*CHAIN)
    world.run()
    upgrade(world)
    world.ends.clear()
    world.submit(name="again", retryOf="nightly")
    world.run("again")
    assert set(world.states("again").values()) == {"Succeeded"}
