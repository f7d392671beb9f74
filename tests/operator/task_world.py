"""A cluster in memory whose pods do tasks: each gets one stage further with a tick, to an end that a test chooses."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from watching import RECONCILED, Operator
from world import NAMESPACE, START, FakeKube, kind

from longshore_operator.settings import Settings
from longshore_protocol.script_job import FAILED, SUCCEEDED, TIMED_OUT, ScriptResult

KIND = "ScriptStep"
CODE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code", "namespace": NAMESPACE}}
AROUND = (
    kind("Datastore", "data", uri="pvc:claim", default=True),
    kind("Environment", "scikit", image="python:3.11-slim"),
    CODE | {"data": {"train.py": "..."}},
)
SETTINGS = Settings(image="longshore:test")


def script(name="train", **changes):
    spec = {
        "source": {"configMap": "code"},
        "scriptName": "train.py",
        "outputs": [{"name": "model"}],
        "environment": {"name": "scikit"},
        **changes,
    }
    return kind(KIND, name, **spec)


def transfer(name="copy", **changes):
    return kind("TransferStep", name, **{"source": {"path": "in"}, "destination": {"path": "out"}, **changes})


def result(state=SUCCEEDED, **fields):
    given = {"exit_code": 0, "message": "It ended.", "metrics": {"loss": 0.5}, "started": START.timestamp(), **fields}
    return ScriptResult(state=state, finished=START.timestamp() + 60, **given)


FAILURE = result(FAILED, exit_code=1, message="ValueError: no")
LATE = result(TIMED_OUT, exit_code=-9, message="The script train.py took longer than its limit of 5 s.")


@dataclass
class TaskWorld:
    """Time, kubelets, and what becomes of pods: `ends` by their names, else they succeed."""

    kube: FakeKube = field(default_factory=FakeKube)
    ends: dict = field(default_factory=dict)
    now: datetime = START
    seconds: float = 0.0
    kinds: tuple = RECONCILED  # that the operator works on
    lag: int = 0  # events that the operator's watches are late
    most: int = 0  # pods at a time that have not ended

    def __post_init__(self):
        self.reconciler = self.operator()

    def operator(self, metrics=None):
        """A new process of the operator."""
        clock = {"now": lambda: self.now, "monotonic": lambda: self.seconds}
        return Operator(self.kube, None, SETTINGS, lag=self.lag, metrics=metrics, **clock)

    def submit(self, *manifests):
        for each in manifests or (*AROUND, script()):
            self.kube.put(each)

    def reconcile(self, name="train", of=KIND):
        again = self.reconciler.reconcile(of, NAMESPACE, name)
        self.most = max(self.most, sum(not is_over(each) for each in self.kube.of("Pod").values()))
        return again

    def tick(self, seconds=2.0):
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds
        for each in self.kube.of("Pod").values():
            if "deletionTimestamp" not in each["metadata"] and not each.get("stuck"):
                self.further(each)

    def further(self, pod):
        """Bring a pod one stage further: preparing, running, ended."""
        name, status = pod["metadata"]["name"], pod.setdefault("status", {"phase": "Pending"})
        names = [each["name"] for each in pod["spec"]["containers"]]
        end = self.ends.get(name, result())
        if status["phase"] == "Pending" and "initContainerStatuses" not in status and "main" in names:
            status["initContainerStatuses"] = [state("prepare", running={"startedAt": self.stamp()})]
        elif status["phase"] == "Pending" and end == "not prepared":
            refused = result(FAILED, reason="InputError", message='The input "x" cannot be staged: no.', exit_code=None)
            status["initContainerStatuses"] = [terminated("prepare", 1, refused.to_json())]
            status["phase"] = "Failed"
        elif status["phase"] == "Pending":
            status["initContainerStatuses"] = [terminated("prepare", 0)]
            status["containerStatuses"] = [state(each, running={"startedAt": self.stamp()}) for each in names]
            status["phase"] = "Running"
        elif status["phase"] == "Running" and end != "hangs":
            self.end(pod, end)

    def end(self, pod, how):
        status, is_script = pod["status"], len(pod["spec"]["containers"]) == 2
        if isinstance(how, ScriptResult):
            code = 0 if how.state == SUCCEEDED else 1
            last = terminated("collect" if is_script else "transfer", code, how.to_json())
            main = [terminated("main", 0)] if is_script else []
            status |= {"phase": "Failed" if code else "Succeeded", "containerStatuses": [*main, last]}
        elif how == "evicted":
            status |= {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}
        else:  # a reason of the container runtime
            ended = terminated("main", 137, reason=how, at=self.stamp())
            status |= {"phase": "Failed", "containerStatuses": [ended, terminated("collect", 1)]}

    def stamp(self):
        return self.now.isoformat().replace("+00:00", "Z")

    def run(self, name="train", of=KIND, *, limit=80):
        """Reconcile and let time pass until nothing more is wanted; return the final status."""
        for _ in range(limit):
            wanted = self.reconcile(name, of)
            if self.finished(name, of) and wanted is None:
                return self.status(name, of)
            self.tick()
        raise AssertionError(f"no end: {self.status(name, of)}")

    def until(self, reason, *, limit=30, **which):
        for _ in range(limit):
            self.reconcile(**which)
            if self.condition(**which)["reason"] == reason:
                return
            self.tick()
        raise AssertionError(f"never {reason}: {self.condition(**which)}")

    def status(self, name="train", of=KIND):
        return self.kube.objects[of, NAMESPACE, name].get("status", {})

    def condition(self, type_="Succeeded", name="train", of=KIND):
        return next((each for each in self.status(name, of).get("conditions", []) if each["type"] == type_), {})

    def finished(self, name="train", of=KIND):
        return self.condition("Finished", name, of).get("status") == "True"

    def said(self, **which):
        found = self.condition(**which)
        return found["status"], found["reason"], found.get("message", "")

    def pod(self, name="train-task-0"):
        return self.kube.objects["Pod", NAMESPACE, name]

    def reasons(self):
        """The reasons of the events, in their order."""
        return [
            each["reason"]
            for verb, of, name in self.kube.writes
            if (verb, of) == ("create", "Event")
            for each in [self.kube.objects["Event", NAMESPACE, name]]
        ]


def is_over(pod):
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def state(name, **state):
    return {"name": name, "image": "i", "state": state}


def terminated(name, code, message="", *, reason="", at=None):
    ended = {"exitCode": code, "message": message, "reason": reason or ("Error" if code else "Completed")}
    ended["startedAt"] = START.isoformat()
    return state(name, terminated=ended | ({"finishedAt": at} if at else {}))


def uid(world, name="train", of=KIND):
    return world.kube.objects[of, NAMESPACE, name]["metadata"]["uid"]


def change(world, manifest):
    world.kube.objects[manifest["kind"], NAMESPACE, manifest["metadata"]["name"]]["spec"] |= manifest["spec"]
