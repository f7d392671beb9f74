"""A cluster in memory: the API's objects, what a kubelet would do to pods, and a coordinator that gets on with it."""

import base64
import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from manifests import cluster_step, resource
from watching import RECONCILED, Operator, frozen, is_watched

from longshore_operator.cluster.api import ApiError, Conflict, NotFound, Taken
from longshore_operator.cluster.coordinators import CoordinatorError, Polled
from longshore_operator.settings import Settings
from longshore_protocol.snapshot import (
    PENDING,
    RUNNING,
    SUCCEEDED,
    MiniBatchCounts,
    Snapshot,
    WorkerCounts,
)

NAMESPACE = "research"
START = datetime(2026, 1, 1, tzinfo=UTC)
CODE = {"score.py": "def run(mini_batch): ..."}


def kind(kind_, name, **spec):
    return resource(kind_, name, spec, namespace=NAMESPACE)


def step(**changes):
    return kind("ParallelRunStep", "score", **cluster_step(**{"nodeCount": 2, **changes}))


AROUND = (
    kind("Dataset", "images", file={"paths": ["in/*.png"]}),
    kind("Datastore", "data", uri="pvc:claim", default=True),
    kind("Environment", "scikit", image="python:3.11-slim"),
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code", "namespace": NAMESPACE}, "data": CODE},
)


class Crash(BaseException):
    """The operator is killed."""


class FakeKube:
    """An API server in memory. Tests change `objects` as they like: watches hear of it."""

    def __init__(self):
        self.objects = {}
        self.writes = []
        self.reads = []  # verb, kind and name
        self.taken = []  # what was to be created and existed
        self.crash_after = None
        self.fail = None  # a function of (verb, kind, name) that may raise
        self.events = []  # of watches: whether it is a deletion, object
        self._seen = {}  # what the events have told
        self._uids = 0
        self._version = 0

    def put(self, manifest):
        """Somebody else makes an object, or changes its spec."""
        key = _key(manifest)
        earlier = self.objects.get(key)
        made = copy.deepcopy(manifest)
        if earlier is None:
            self._uids += 1
            made["metadata"] |= {
                "uid": f"{self._uids:08d}-aaaa-bbbb-cccc-dddddddddddd",
                "creationTimestamp": START.isoformat().replace("+00:00", "Z"),
                "generation": 1,
            }
            self.objects[key] = made
        else:
            earlier |= {name: made[name] for name in ("spec", "data") if name in made}
            earlier["metadata"]["generation"] += 1

    def note_changes(self):
        """Make events of all that has been changed."""
        for key in [*self._seen.keys() - self.objects.keys(), *self.objects]:
            self._note(key)

    def _note(self, key):
        seen, found = self._seen.get(key), self.objects.get(key)
        if seen is not None and (found is None or found["metadata"]["uid"] != seen["metadata"]["uid"]):
            self._version += 1
            gone = {**seen, "metadata": {**seen["metadata"], "resourceVersion": str(self._version)}}
            self._tell(gone, deleted=True)
            del self._seen[key]
            seen = None
        if found is not None and found != seen:
            self._version += 1
            found["metadata"]["resourceVersion"] = str(self._version)
            self._seen[key] = frozen(found)
            self._tell(self._seen[key], deleted=False)

    def _tell(self, manifest, *, deleted):
        if is_watched(manifest):
            self.events.append((deleted, manifest))

    def read(self, kind, namespace, name):
        self._ask("read", kind, name)
        self.reads.append(("read", kind, name))
        found = self.objects.get((kind, namespace, name))
        return None if found is None else frozen(found)

    def find(self, kind, namespace, name):
        self._ask("find", kind, name)
        self.reads.append(("find", kind, name))
        self._note((kind, namespace, name))
        return self._seen.get((kind, namespace, name))

    def list(self, kind, namespace, selector=""):
        self._ask("list", kind, "")
        self.reads.append(("list", kind, ""))
        self.note_changes()
        wanted = [each.split("=") for each in selector.split(",") if each]
        found = [
            each
            for (of, where, _), each in sorted(self._seen.items())
            if of == kind
            and namespace in ("", where)
            and all(each["metadata"].get("labels", {}).get(label) == value for label, value in wanted)
        ]
        return found, str(self._version)

    def create(self, manifest):
        self._ask("create", manifest["kind"], manifest["metadata"]["name"])
        if _key(manifest) in self.objects:
            self.taken.append(_key(manifest))
            raise Taken(f"{manifest['kind']} {manifest['metadata']['name']} already exists")
        made = copy.deepcopy(manifest)
        if "stringData" in made:
            texts = made.pop("stringData")
            made["data"] = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
        self.put(made)
        return self._wrote("create", manifest)

    def write_status(self, manifest):
        self._ask("status", manifest["kind"], manifest["metadata"]["name"])
        key = _key(manifest)
        if key not in self.objects:
            raise NotFound("there is none")
        self.objects[key]["status"] = copy.deepcopy(manifest["status"])
        return self._wrote("status", manifest)

    def change(self, kind, namespace, name, uid, spec):
        self._ask("change", kind, name)
        found = self.objects.get((kind, namespace, name))
        if found is None:
            raise NotFound("there is none")
        if found["metadata"]["uid"] != uid:
            raise Conflict("another one")
        found["spec"] |= copy.deepcopy(spec)
        found["metadata"]["generation"] += 1
        return self._wrote("change", found)

    def delete(self, kind, namespace, name, uid, *, at_once=False):
        self._ask("delete", kind, name)
        found = self.objects.get((kind, namespace, name))
        if found is None:
            raise NotFound("there is none")
        if found["metadata"]["uid"] != uid:
            raise Conflict("another one")
        del self.objects[kind, namespace, name]
        self._wrote("delete", found)
        return {"kind": "Status", "status": "Success"}

    def fail_once(self, verb):
        """Let the first call of a verb for each object fail; return the set of these objects, which grows."""
        failed = set()

        def fail(asked, kind_, name):
            if asked == verb and (kind_, name) not in failed:
                failed.add((kind_, name))
                raise ApiError(f"{verb} {kind_} {name}")

        self.fail = fail
        return failed

    def of(self, kind):
        return {name: each for (of, _, name), each in self.objects.items() if of == kind}

    def _ask(self, verb, kind, name):
        if self.fail is not None:
            self.fail(verb, kind, name)

    def _wrote(self, verb, manifest):
        self._note(_key(manifest))
        self.writes.append((verb, manifest["kind"], manifest["metadata"]["name"]))
        if self.crash_after is not None and len(self.writes) == self.crash_after:
            raise Crash
        return self._seen.get(_key(manifest))


def _key(manifest):
    return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


@dataclass
class World:
    """Time, kubelets and the engine. `mini_batches` are done one per worker and tick."""

    kube: FakeKube = field(default_factory=FakeKube)
    mini_batches: int = 6
    done: int = 0
    now: datetime = START
    answers: bool = True
    state: str | None = None  # a state the coordinator says it is in, whatever is done
    reason: str = ""  # of its verdict
    registered: str = ""  # packed registrations of its success
    gone: list = field(default_factory=list)
    kinds: tuple = RECONCILED  # that the operator works on
    lag: int = 0  # events that the operator's watches are late

    def __post_init__(self):
        self.reconciler = self.operator()
        self.seconds = 0.0

    def operator(self, metrics=None):
        """A new process of the operator."""
        settings = Settings(image="longshore:test")
        clock = {"now": lambda: self.now, "monotonic": lambda: self.seconds}
        return Operator(self.kube, Coordinators(self), settings, lag=self.lag, metrics=metrics, **clock)

    def submit(self, *manifests):
        for each in manifests or (*AROUND, step()):
            self.kube.put(each)

    def reconcile(self):
        return self.reconciler.reconcile("ParallelRunStep", NAMESPACE, "score")

    def poll(self):
        """Requeue the step if it has a coordinator, as the poller does when a snapshot says something new."""
        status = self.kube.of("Pod").get("score-coordinator", {}).get("status", {})
        if status.get("phase") == "Running":
            self.reconciler.woken.add(("ParallelRunStep", NAMESPACE, "score"))

    def tick(self, seconds=2.0):
        """Let time pass: pods come up, work is done, what is over ends."""
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds
        pods = self.kube.of("Pod")
        coordinator = pods.get("score-coordinator")
        workers = [each for name, each in pods.items() if "worker" in name]
        for each in pods.values():
            status = each.setdefault("status", {"phase": "Pending"})
            if status["phase"] == "Pending" and "conditions" not in status and "containerStatuses" not in status:
                status |= {"phase": "Running", "podIP": "10.0.0.1"}
        if coordinator is None or coordinator["status"]["phase"] != "Running":
            return
        if self.is_done():
            ended = {"name": "c", "state": {"terminated": {"exitCode": 0, "message": self.last().to_json()}}}
            coordinator["status"] |= {"phase": "Succeeded", "containerStatuses": [ended]}
            return
        running = [each for each in workers if each["status"]["phase"] == "Running"]
        self.done = min(self.mini_batches, self.done + len(running))
        if self.is_done():
            for each in running:
                each["status"]["phase"] = "Succeeded"

    def is_done(self):
        return self.done == self.mini_batches

    def run_id(self):
        return "score-" + self.kube.objects["ParallelRunStep", NAMESPACE, "score"]["metadata"]["uid"][:8]

    def last(self):
        running = [each for name, each in self.kube.of("Pod").items() if "worker" in name]
        state = SUCCEEDED if self.is_done() else RUNNING if running else PENDING
        return Snapshot(
            state=self.state or state,
            reason=self.reason,
            run_id=self.run_id(),
            run_uri=f"/mnt/longshore/claim/claim/longshore/{self.run_id()}",
            output_uri=f"/mnt/longshore/claim/claim/longshore/{self.run_id()}/scores",
            epoch=1,
            started=START.timestamp(),
            finished=START.timestamp() if self.is_done() else None,
            mini_batches=MiniBatchCounts(total=self.mini_batches, scheduled=self.mini_batches, succeeded=self.done),
            workers=WorkerCounts(2, len(running)),
            registered=self.registered if self.is_done() else "",
            code="c" * 64,
        )

    def run(self, *, limit=60):
        """Reconcile and let time pass until nothing more is wanted; return the final status."""
        for _ in range(limit):
            wanted = self.reconcile()
            if wanted is None and self.finished():
                return self.status()
            self.tick()
        raise AssertionError(f"no end: {self.status()}")

    def finished(self):
        return self.condition("Finished").get("status") == "True"

    def status(self):
        return self.kube.objects["ParallelRunStep", NAMESPACE, "score"].get("status", {})

    def condition(self, type_="Succeeded"):
        return next((each for each in self.status().get("conditions", []) if each["type"] == type_), {})

    def pod(self, name):
        return self.kube.objects["Pod", NAMESPACE, name]

    # --- the coordinator --------------------------------------------------------------------------------------------

    def snapshot(self, endpoint, *, generation, ended):
        assert endpoint.http.token
        assert endpoint.http.name == "score-coordinator.research.svc"
        if not self.answers:
            raise CoordinatorError("connection refused")
        return Polled(self.last(), ended)

    def gone_(self, endpoint, worker):
        self.gone.append(worker)
        return True


class Coordinators:
    """The operator's view of the world's coordinator."""

    interval = 2.0

    def __init__(self, world):
        self.snapshot, self.gone = world.snapshot, world.gone_
