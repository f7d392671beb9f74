"""Tasks and ParallelRunSteps that are children of a PipelineRun: they run what the run has frozen."""

from dataclasses import replace

import pytest
from task_world import (
    AROUND,
    KIND,
    TaskWorld,
    script,
    uid,
)
from world import AROUND as AROUND_STEP
from world import NAMESPACE, World, step

from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.cluster.task_runs import TaskRun


@pytest.fixture
def world():
    return TaskWorld()


RUN = {
    "apiVersion": "longshore.dev/v1alpha1",
    "kind": "PipelineRun",
    "name": "nightly",
    "uid": "run",
    "controller": True,
}


def frozen_of(world, frozen):
    """What a PipelineRun wrote down: the run of the step, which has no uid yet."""
    key = ("ConfigMap", NAMESPACE, frozen)
    found = world.kube.objects.pop(key)
    kind_ = TaskRun if frozen.endswith("-task") else ClusterRun
    run = replace(kind_.from_json(found["data"]["run.json"]), uid="", generation=0)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**found["metadata"], "name": frozen, "namespace": NAMESPACE, "ownerReferences": [RUN]},
        "data": found["data"] | {"run.json": run.to_json()},
    }


def test_a_task_of_a_pipeline_run_does_what_that_wrote_down_and_resolves_nothing(world):
    world.submit()
    world.reconcile()
    frozen = frozen_of(world, "train-task")
    world = TaskWorld()
    child = script(inputs=[{"name": "x", "from": "$(steps.a.outputs.b)"}])  # which means nothing by itself
    child["metadata"]["ownerReferences"] = [RUN]
    world.submit(child)
    world.reconcile()
    assert world.said()[:2] == ("Unknown", "WaitingForPipelineRun")
    world.tick(60.0)
    world.reconcile()
    assert not world.finished()
    world.kube.put(frozen)
    status = world.run()
    assert world.said()[:2] == ("True", "Succeeded")
    assert status["runId"] == TaskRun.from_json(frozen["data"]["run.json"]).run_id
    (owner,) = world.pod()["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == (KIND, uid(world))
    assert world.kube.objects["ConfigMap", NAMESPACE, "train-task"]["metadata"]["ownerReferences"] == [RUN]


def test_a_parallel_run_step_of_a_pipeline_run_does_what_that_wrote_down_and_resolves_nothing():
    world = World()
    world.submit()
    world.reconcile()
    frozen = frozen_of(world, "score-run")
    world = World()
    child = step()
    child["metadata"]["ownerReferences"] = [RUN]
    world.submit(child, AROUND_STEP[-1])
    world.reconcile()
    assert world.condition()["reason"] == "WaitingForPipelineRun"
    world.tick(60.0)
    world.reconcile()
    assert not world.finished()
    assert not world.kube.of("Pod")
    world.kube.put(frozen)
    world.run()
    assert world.condition()["reason"] == "Succeeded"
    (owner,) = world.pod("score-coordinator")["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("ParallelRunStep", uid(world, "score", "ParallelRunStep"))
    assert world.kube.objects["ConfigMap", NAMESPACE, "score-run"]["metadata"]["ownerReferences"] == [RUN]


def test_what_another_pipeline_run_wrote_down_is_another_owners(world):
    world.submit()
    world.reconcile()
    frozen = frozen_of(world, "train-task")
    world = TaskWorld()
    child = script()
    child["metadata"]["ownerReferences"] = [RUN | {"uid": "another"}]
    world.submit(*AROUND, child, frozen)
    world.reconcile()
    assert world.said() == (
        "Unknown",
        "NameTaken",
        "ConfigMap train-task belongs to another owner; delete or rename it",
    )
