"""Two steps that compete for the nodes of a ComputeCluster, in a cluster in memory."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from task_world import TaskWorld, script
from watching import LAGS, Operator
from world import AROUND, NAMESPACE, START, Crash, FakeKube, kind, step

from longshore_operator.cluster.api import Conflict
from longshore_operator.cluster.coordinators import Polled
from longshore_operator.common.pool import is_node
from longshore_operator.settings import Settings
from longshore_protocol.snapshot import RUNNING, SUCCEEDED, MiniBatchCounts, Snapshot, WorkerCounts

SETTINGS = Settings(image="longshore:test")


@dataclass
class Rivals:
    """Two steps, kubelets, and coordinators whose workers do one mini-batch each per tick."""

    kube: FakeKube = field(default_factory=FakeKube)
    now: datetime = START
    seconds: float = 0.0
    mini_batches: int = 8
    done: dict = field(default_factory=lambda: {"first": 0, "second": 0})
    most: int = 0  # worker pods at a time
    stuck: set = field(default_factory=set)  # steps whose last mini-batches take long
    order: list = field(default_factory=list)  # steps, by their end
    lag: int = 0  # events that the operator's watches are late

    def __post_init__(self):
        self.tasks = TaskWorld(self.kube)
        self.operator()
        for each in AROUND:
            self.kube.put(each)

    def operator(self):
        clock = {"now": lambda: self.now, "monotonic": lambda: self.seconds}
        self.reconciler = Operator(self.kube, self, SETTINGS, lag=self.lag, **clock)

    def put(self, name, minute=0, **spec):
        made = step(computeTarget="cpu", nodeCount=3, **spec)
        made["metadata"]["name"] = name
        self.kube.put(made)
        created = START + timedelta(minutes=minute)
        self.kube.objects["ParallelRunStep", NAMESPACE, name]["metadata"]["creationTimestamp"] = created.isoformat()

    def pods(self, role):
        return [
            each for each in self.kube.of("Pod").values() if each["metadata"]["labels"]["longshore.dev/role"] == role
        ]

    def put_task(self, name, minute=0, **spec):
        self.kube.put(script(name, computeTarget="cpu", **spec))
        created = START + timedelta(minutes=minute)
        self.kube.objects["ScriptStep", NAMESPACE, name]["metadata"]["creationTimestamp"] = created.isoformat()

    def workers(self, name=None):
        found = self.pods("worker")
        return [each for each in found if name in (None, each["metadata"]["labels"].get("longshore.dev/step"))]

    def look(self):
        kinds = ("ParallelRunStep", "ScriptStep", "ComputeCluster")
        for key in sorted((key for key in self.kube.objects if key[0] in kinds), reverse=True):
            with suppress(Conflict):  # as the queue does: a watch has yet to tell of something
                self.reconciler.reconcile(*key)
            self.most = max(self.most, sum(map(is_node, self.workers())))

    def tick(self, seconds=2.0):
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds
        self.tasks.now = self.now
        for each in self.kube.of("Pod").values():
            status = each.setdefault("status", {"phase": "Pending"})
            if "longshore.dev/task" in each["metadata"]["labels"]:
                self.tasks.further(each)
            elif status["phase"] == "Pending":
                status |= {"phase": "Running", "podIP": f"10.0.0.{list(self.done).index(self._step(each)) + 1}"}
        for name in self.done.keys() - self.stuck:
            self.done[name] = min(self.mini_batches, self.done[name] + len(self.workers(name)))

    def _step(self, pod):
        return pod["metadata"]["labels"].get("longshore.dev/step", "first")

    def run(self, *, until, limit=60):
        for _ in range(limit):
            self.look()
            for name in self.done:
                if name not in self.order and self.finished(name):
                    self.order.append(name)
            if until():
                return
            self.tick()
        raise AssertionError(f"not so after {limit} looks")

    def run_killed(self, killed_after, *, until):
        """Run with an operator that is killed after so many writes, and then with its successor."""
        self.kube.crash_after = killed_after
        try:
            self.run(until=until)
        except Crash:
            self.kube.crash_after = None
            self.operator()
            self.run(until=until)

    def status(self, name, of="ParallelRunStep"):
        return self.kube.objects.get((of, NAMESPACE, name), {}).get("status", {})

    def finished(self, name):
        return any(
            each["type"] == "Finished" and each["status"] == "True" for each in self.status(name).get("conditions", [])
        )

    # the coordinators

    interval = 2.0

    def snapshot(self, endpoint, *, generation, ended):
        name = endpoint.step
        over = self.done[name] == self.mini_batches
        counts = MiniBatchCounts(total=self.mini_batches, scheduled=self.mini_batches, succeeded=self.done[name])
        workers = [each["metadata"]["name"] for each in self.workers(name)]
        left = self.mini_batches - self.done[name]
        snapshot = Snapshot(
            state=SUCCEEDED if over else RUNNING,
            run_id=name,
            run_uri="/mnt/longshore/claim/claim/longshore/" + name,
            output_uri="/mnt/longshore/claim/claim/longshore/" + name + "/scores",
            epoch=1,
            started=START.timestamp(),
            finished=START.timestamp() if over else None,
            mini_batches=counts,
            workers=WorkerCounts(3, len(workers)),
            idle_workers=tuple(workers[left:]),
        )
        return Polled(snapshot, ended)

    def gone(self, endpoint, worker):
        assert endpoint.http.token
        return True

    def drain(self, endpoint, worker):
        assert endpoint.http.token
        self.kube.objects["Pod", NAMESPACE, worker]["status"]["phase"] = "Succeeded"


def compute(**spec):
    return kind("ComputeCluster", "cpu", **{"maxNodes": 3, "idleSecondsBeforeScaleDown": 10, **spec})


def left_behind(rivals):
    return sorted((of, name) for of, _, name in rivals.kube.objects if of != "Event" and "placeholder" not in name)


def with_lags(writes):
    """Each write, after which the operator is killed, with watches that are in time; some with late ones, too."""
    late = [(each, LAGS[1 + each // 4 % (len(LAGS) - 1)]) for each in range(1, writes + 1, 4)]
    return [(each, 0) for each in range(1, writes + 1)] + late
