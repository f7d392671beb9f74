"""Packages of a ParallelRunStep: installed before coordinator and workers start, and again if their archive is gone."""

from dataclasses import dataclass, field
from itertools import count

import pytest
from task_world import state, terminated
from watching import LAGS
from world import AROUND, NAMESPACE, Crash, FakeKube, World, kind, step

from longshore_operator.common.environments import observe_environment
from longshore_operator.manifests.subject import Subject
from longshore_operator.watch.cached import CachedKube
from longshore_operator.watch.store import Store
from longshore_planner.cluster.environments import packed_environment
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_protocol.built_environment import BuiltEnvironment
from longshore_protocol.package_set import PackageSet

BUILT = BuiltEnvironment("1.zst", "1", 100).to_json()
PACKED = kind("Environment", "scikit", image="python:3.11-slim", packages={"pip": ["scikit-learn"]})


@dataclass
class Packages(World):
    """A cluster whose builders take a tick, and end as `end` says."""

    end: str = "built"
    made: set = field(default_factory=set)  # uids of builders

    def submit(self, *manifests):
        super().submit(*(manifests or (*AROUND, PACKED, step())))

    def builders(self):
        found = self.kube.of("Pod")
        return {name: each for name, each in found.items() if name.startswith("longshore-environment-")}

    def of_step(self):
        return {name for name in self.kube.of("Pod") if name.startswith("score-")}

    def tick(self, seconds=2.0):
        for each in self.builders().values():
            self.made.add(each["metadata"]["uid"])
            running = {"phase": "Pending", "initContainerStatuses": [state("install", running={})]}
            if "status" not in each or self.end == "hangs":
                each["status"] = {**running, "conditions": []}
            elif self.end == "built":
                each["status"] = {"phase": "Succeeded", "containerStatuses": [terminated("publish", 0, BUILT)]}
            else:
                ended = terminated("install", 1, self.end, at=self.now.isoformat())
                each["status"] = {"phase": "Failed", "initContainerStatuses": [ended]}
        super().tick(seconds)


@pytest.fixture(params=LAGS)
def world(request):
    return Packages(lag=request.param)


def test_nothing_of_the_step_starts_before_its_packages(world):
    world.submit()
    world.end = "hangs"
    for _ in range(8):
        world.reconcile()
        world.tick()
    assert (world.condition()["status"], world.condition()["reason"]) == ("Unknown", "PreparingEnvironment")
    assert world.of_step() == set()
    assert {name for name in world.kube.of("ConfigMap") if name.startswith("score")} == set()
    assert world.status().get("runId") is None
    world.end = "built"
    assert world.run()["progress"]["miniBatches"]["succeeded"] == 6
    assert len(world.made) == 1
    assert world.builders() == {}


def test_a_package_that_does_not_exist_fails_the_step(world):
    world.submit()
    world.end = "The packages cannot be resolved: nowhere was not found."
    world.run()
    assert (world.condition()["status"], world.condition()["reason"]) == ("False", "EnvironmentFailed")
    assert world.end in world.condition()["message"]
    assert world.of_step() == set()


def test_a_corrected_environment_begins_again():
    world = Packages(end="The packages cannot be resolved: nowhere was not found.")
    world.submit()
    world.run()
    world.end = "built"
    world.kube.put(kind("Environment", "scikit", image="python:3.11-slim", packages={"pip": ["pillow"]}))
    world.submit(step(nodeCount=1))
    world.run()
    assert world.condition()["status"] == "True"


def test_an_archive_that_was_deleted_is_built_again_and_costs_no_try():
    world = Packages()
    world.submit()
    while "score-worker-0" not in world.of_step():
        world.reconcile()
        world.tick()
    world.pod("score-worker-0")["status"] = {
        "phase": "Pending",
        "initContainerStatuses": [
            {**state("environment", waiting={"reason": "CrashLoopBackOff"}), "lastState": ended_as_missing()}
        ],
    }
    world.end = "hangs"
    for _ in count():
        world.reconcile()
        if "score-worker-0" not in world.of_step():
            break
        world.tick(1.0)
    world.done = 3
    for _ in range(5):
        world.reconcile()
        world.tick(0.1)
        assert "score-worker-0" not in world.of_step()
        assert "score-coordinator" in world.of_step()
    world.end = "built"
    world.run()
    assert world.condition()["status"] == "True"
    assert len(world.made) == 2


def ended_as_missing():
    return {"terminated": {"exitCode": 3, "message": "It does not exist; it is built again.", "reason": "Error"}}


@pytest.mark.parametrize("writes", range(1, 20))
def test_an_operator_that_is_killed_anywhere_comes_to_the_same_end(writes):
    world = Packages()
    world.submit()
    world.kube.crash_after = writes
    try:
        world.run()
    except Crash:
        world.kube.crash_after = None
        world.reconciler = world.operator()
        world.run()
    assert world.condition()["status"] == "True"
    assert len(world.made) == 1
    assert world.builders() == {}


def test_objects_of_an_environment_belong_to_it():
    world = Packages()
    world.submit()
    world.reconcile()
    ours = [each for (_, _, name), each in world.kube.objects.items() if name.startswith("longshore-environment-")]
    assert {each["kind"] for each in ours} == {"Pod", "ConfigMap"}
    for each in ours:
        (owner,) = each["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("Environment", "scikit", True)


def test_without_the_environment_they_belong_to_the_step():
    step_ = Subject("ParallelRunStep", NAMESPACE, "score", "1")
    packed = packed_environment(
        "scikit", PackageSet(("numpy",)), image="i", interpreter="python", architecture="", runs="s3://b/longshore"
    )
    seen = observe_environment(CachedKube(FakeKube(), Store()), step_, PodRequirements(environment=packed))
    assert seen.owner == step_
