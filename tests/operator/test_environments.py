"""Environments with packages: one builder for all steps, replaced when it is lost; no step starts before its end."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from task_world import CODE, TaskWorld, script, state, terminated
from watching import LAGS
from world import NAMESPACE, Crash, kind

from longshore_operator.common.environments import LOSSES
from longshore_protocol.built_environment import BuiltEnvironment

BUILT = BuiltEnvironment("1.zst", "1", 100).to_json()
UNKNOWN = "The packages cannot be resolved: nowhere was not found in the package registry."
STEPS = [f"train-{number}" for number in range(20)]
KIND = "ScriptStep"


def environment(**packages):
    return kind("Environment", "packages", image="python:3.11-slim", packages={"pip": ["numpy"], **packages})


AROUND = (
    kind("Datastore", "data", uri="pvc:claim", default=True),
    environment(),
    CODE | {"data": {"train.py": "..."}},
)


@dataclass
class Builders(TaskWorld):
    """A cluster whose builders end as a test wants: `outcomes` by their numbers, else well."""

    outcomes: dict = field(default_factory=dict)
    made: list = field(default_factory=list)  # uids of builders

    def submit(self, *manifests, steps=("train",)):
        super().submit(*AROUND, *manifests, *(script(each, environment={"name": "packages"}) for each in steps))

    def builders(self):
        return {name: each for name, each in self.kube.of("Pod").items() if is_builder(each)}

    def tick(self, seconds=2.0):
        self.made += [uid for each in self.builders().values() if (uid := each["metadata"]["uid"]) not in self.made]
        super().tick(seconds)

    def further(self, pod):
        if not is_builder(pod):
            super().further(pod)
            return
        status = pod.setdefault("status", {"phase": "Pending"})
        end = self.outcomes.get(int(pod["metadata"]["name"].rpartition("-")[2]), "built")
        if status["phase"] in ("Succeeded", "Failed") or end == "hangs":
            return
        if "initContainerStatuses" not in status:
            running = state("install", running={"startedAt": self.stamp()})
            status["initContainerStatuses"] = [terminated("inject", 0), terminated("find", 0), running]
        elif end == "built":
            status |= {"phase": "Succeeded", "containerStatuses": [terminated("publish", 0, BUILT)]}
        elif end == "evicted":
            status |= {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}
        else:  # exit code, reason and message of `install`
            code, reason, message = end
            ended = terminated("install", code, message, reason=reason, at=self.stamp())
            status |= {"phase": "Failed", "initContainerStatuses": [ended]}

    def all_finished(self, steps):
        return all(self.finished(each) for each in steps)

    def run_all(self, steps, *, limit=200):
        """Reconcile what was woken, or is due, until all steps have finished."""
        due = dict.fromkeys(steps, 0.0)
        for _ in range(limit):
            woken = {name for of, _, name in self.reconciler.woken if of == KIND} & set(steps)
            for name in sorted({*woken, *(each for each, at in due.items() if at <= self.seconds)}):
                again = self.reconcile(name)
                due[name] = float("inf") if again is None else self.seconds + again
            if self.all_finished(steps):
                return
            self.tick()
        raise AssertionError([self.said(name=each) for each in steps if not self.finished(each)])


def is_builder(pod):
    return pod["metadata"]["labels"].get("longshore.dev/role") == "builder"


def is_of_step(pod):
    return "longshore.dev/task" in pod["metadata"]["labels"]


@pytest.fixture
def world():
    return Builders()


@pytest.fixture(params=LAGS)
def late_world(request):
    """A cluster whose watches are late."""
    return Builders(lag=request.param)


def test_twenty_steps_that_start_together_have_one_builder(late_world):
    world = late_world
    world.submit(steps=STEPS)
    world.run_all(STEPS)
    assert {world.said(name=each)[1] for each in STEPS} == {"Succeeded"}
    assert len(world.made) == 1
    assert world.builders() == {}  # cleaned up


def test_a_later_step_starts_at_once(world):
    world.submit()
    world.run_all(["train"])
    world.submit(steps=["later"])
    world.reconcile("later")
    assert "later-task-0" in world.kube.of("Pod")
    assert len(world.made) == 1


def test_no_pod_of_the_step_exists_before_its_packages(late_world):
    world = late_world
    world.submit()
    world.outcomes[0] = "hangs"
    for _ in range(10):
        world.reconcile()
        world.tick()
    assert not any(map(is_of_step, world.kube.of("Pod").values()))
    assert "train-task" not in world.kube.of("ConfigMap")
    assert world.status().get("runId") is None


def test_the_status_shows_the_activity_and_its_time():
    world = Builders(outcomes={0: "hangs"})
    world.submit()
    world.reconcile()
    pod = next(iter(world.builders()))
    assert world.said()[:2] == ("Unknown", "PreparingEnvironment")
    assert world.said()[2] == f'creating pod {pod}, which installs the 1 package of Environment "packages"'
    world.builders()[pod]["status"] = {
        "phase": "Pending",
        "initContainerStatuses": [state("install", running={"startedAt": world.stamp()})],
    }
    for seconds, shown in ((3, "0 s"), (20, "20 s"), (40, "60 s"), (87, "2 min"), (451, "10 min")):
        world.tick(seconds)
        world.reconcile()
        text = f'pod {pod} is installing the 1 package of Environment "packages" (for {shown})'
        assert world.said()[2] == text


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ((1, "", UNKNOWN), UNKNOWN),
        ((137, "OOMKilled", ""), "killed because memory ran out; raise builderMemoryLimit"),
        (
            (128, "StartError", "python: no such file"),
            "the interpreter of the image cannot be started: python: no",
        ),
    ],
)
def test_packages_that_cannot_be_installed_fail_every_step_that_waits(late_world, end, said):
    world = late_world
    world.submit(steps=STEPS[:3])
    world.outcomes[0] = end
    world.run_all(STEPS[:3])
    for each in STEPS[:3]:
        status, reason, message = world.said(name=each)
        assert (status, reason) == ("False", "EnvironmentFailed")
        assert message.startswith('Environment "packages" cannot be built on image python:3.11-slim: ')
        assert said in message
    assert len(world.made) == 1
    assert not any(map(is_of_step, world.kube.of("Pod").values()))


def test_a_step_after_the_failure_has_it_built_again(world):
    world.submit()
    world.outcomes[0] = (1, "", UNKNOWN)
    world.run_all(["train"])
    world.outcomes.clear()  # the package was published meanwhile
    world.submit(steps=["later"])
    world.run_all(["later"])
    assert world.said(name="later")[1] == "Succeeded"
    assert len(world.made) == 2


@pytest.mark.parametrize("end", ["evicted", (75, "", "The package index cannot be reached: timed out."), (143, "", "")])
def test_a_lost_builder_is_replaced(late_world, end):
    world = late_world
    world.submit(steps=STEPS[:3])
    world.outcomes = {0: end, 1: end}
    world.run_all(STEPS[:3])
    assert {world.said(name=each)[1] for each in STEPS[:3]} == {"Succeeded"}
    assert len(world.made) == 3
    assert world.builders() == {}


def test_an_index_that_is_not_reached_is_explained():
    world = Builders(outcomes={0: (75, "", "The package index cannot be reached: timed out.")})
    world.submit()
    for _ in range(4):
        world.reconcile()
        world.tick()
    world.reconcile()
    assert world.said()[1] == "PreparingEnvironment"
    assert "(The package index cannot be reached: timed out); another one follows" in world.said()[2]


def test_builders_that_are_always_lost_end_the_step(world):
    world.submit()
    world.outcomes = dict.fromkeys(range(LOSSES + 1), "evicted")
    world.run_all(["train"], limit=1000)
    assert world.said()[1] == "EnvironmentFailed"
    assert f"{LOSSES + 1} builders were lost; the last: pod " in world.said()[2]
    assert "The node was low on memory" in world.said()[2]
    assert len(world.made) == LOSSES + 1


def test_a_builder_whose_node_is_lost_is_replaced(world):
    world.submit()
    world.outcomes[0] = "hangs"
    world.reconcile()
    world.tick()
    (lost,) = world.builders().values()
    lost["metadata"]["deletionTimestamp"] = (world.now + timedelta(seconds=5)).isoformat()
    world.run_all(["train"])
    assert world.said()[1] == "Succeeded"
    world.tick(120)
    world.submit(steps=["later"])
    world.run_all(["later"])
    assert world.builders() == {}


def test_an_archive_that_was_deleted_is_built_again(world):
    world.submit()
    world.run_all(["train"])
    world.submit(steps=["later"])
    world.reconcile("later")
    pod = world.pod("later-task-0")
    pod["status"] = {"phase": "Failed", "initContainerStatuses": [terminated("environment", 3, "It does not exist.")]}
    world.run_all(["later"])
    assert world.said(name="later")[1] == "Succeeded"
    assert world.status("later")["losses"] == 0
    assert len(world.made) == 2


def test_a_changed_environment_is_another_one(world):
    world.submit()
    world.run_all(["train"])
    world.submit(environment(pip=["numpy", "pillow"]), steps=["later"])
    world.run_all(["later"])
    assert len(world.made) == 2


def test_a_missing_secret_of_the_index_is_waited_for(world):
    world.submit(environment(indexUrl="https://packages.example/simple", secretRef={"name": "index"}))
    world.reconcile()
    assert world.said()[1] == "WaitingForReferences"
    assert "spec.packages.secretRef.name is 'index': there is no such Secret" in world.said()[2]
    world.kube.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "index", "namespace": NAMESPACE}})
    world.run_all(["train"])
    assert world.said()[1] == "Succeeded"


@pytest.mark.parametrize("writes", range(1, 16))
def test_an_operator_that_is_killed_anywhere_builds_once(writes):
    world = Builders()
    world.submit(steps=STEPS[:2])
    world.kube.crash_after = writes
    for _ in range(60):
        try:
            world.run_all(STEPS[:2], limit=60)
            break
        except Crash:
            world.kube.crash_after = None
            world.reconciler = world.operator()
    assert {world.said(name=each)[1] for each in STEPS[:2]} == {"Succeeded"}
    assert len(world.made) == 1
    assert world.builders() == {}
