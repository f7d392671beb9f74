"""What the operator counts, for Prometheus. No label names a step: there is no bound to how many there will be.

`MeteredKube` derives the outcomes of steps from the statuses that the operator reads and writes. ComputeClusters are
few and outlive steps, so the gauges of their nodes name them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.common.pool import Holder, Pool
from longshore_operator.manifests import names
from longshore_protocol.errors import CATEGORIES, SYSTEM

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_AGES = (1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_BY_STATE: Mapping[str, tuple[str, tuple[str, ...]]] = {  # metric -> help, kinds
    "longshore_tasks": ("ScriptSteps and TransferSteps by state.", (names.SCRIPT_KIND, names.TRANSFER_KIND)),
    "longshore_pipeline_runs": ("PipelineRuns by state.", (names.RUN_KIND,)),
}
_KINDS = frozenset(kind for _, kinds in _BY_STATE.values() for kind in kinds)
_STATES = ("pending", "running", "succeeded", "failed")
_NODES: Mapping[str, str] = {  # value of the label -> field of nodeStateCounts
    each: f"{each}NodeCount" for each in ("idle", "leaving", "preempted", "preparing", "running", "unusable")
}
# Not "namespace": Prometheus has that label for the scraped pod's, and would rename ours.
_CLUSTER_LABELS = ("compute_namespace", "compute_cluster")
_COUNTED = tuple((what, outcome) for what in ("miniBatches", "items") for outcome in ("succeeded", "failed"))

Counts = tuple[int, ...]  # in the order of _COUNTED


@dataclass(frozen=True)
class _Seen:
    """The last status of a step."""

    uid: str
    run: str
    state: str
    workers_wanted: int
    workers_ready: int
    counts: Counts
    category: str  # of its first error, "" without one


@dataclass(frozen=True)
class _Since:
    """What has happened to a step since its status before."""

    counts: Counts
    failed: bool
    category: str  # of a first error that is new, "" without one


@dataclass
class Metrics:
    """All that is counted, in a registry of its own. Any thread may call."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter, which few can read
        ProcessCollector(registry=self.registry)
        self._reconciles = Counter(
            "longshore_reconciles",
            "Reconciles by kind of object and outcome: success, requeue (another reconcile is due) or error.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self._durations = Histogram(
            "longshore_reconcile_duration_seconds",
            "How long reconciles took.",
            ["kind"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._depth = Gauge(
            "longshore_queue_depth", "Objects that wait for a reconcile, now or later.", registry=self.registry
        )
        self._lateness = Histogram(
            "longshore_queue_lateness_seconds",
            "How late reconciles began after they were due.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._ages = Histogram(
            "longshore_status_age_seconds",
            "Age of the coordinator's counts in statuses of ParallelRunSteps as they were written, to the second.",
            buckets=_AGES,
            registry=self.registry,
        )
        self._leader = Gauge(
            "longshore_leader", "1 while this operator is the leader, 0 while it stands by.", registry=self.registry
        )
        self._requests = Counter(
            "longshore_api_requests",
            "Requests to the Kubernetes API by verb, kind and status code ('error': no answer).",
            ["verb", "kind", "code"],
            registry=self.registry,
        )
        self._ended = {
            "miniBatches": Counter(
                "longshore_mini_batches", "Mini-batches that ended, by outcome.", ["outcome"], registry=self.registry
            ),
            "items": Counter("longshore_items", "Items that ended, by outcome.", ["outcome"], registry=self.registry),
        }
        for what, outcome in _COUNTED:
            self._ended[what].labels(outcome)  # there from the start: a rate needs a first value
        self._failures = Counter(
            "longshore_failures",
            "Steps, tasks and PipelineRuns that failed, by kind.",
            ["kind"],
            registry=self.registry,
        )
        for kind in (names.STEP_KIND, *sorted(_KINDS)):
            self._failures.labels(kind)
        self._errors = Counter(
            "longshore_first_errors",
            "ParallelRunSteps with an error, by the category of their first one.",
            ["category"],
            registry=self.registry,
        )
        for category in CATEGORIES:
            self._errors.labels(category)
        self._coordinators = Gauge(
            "longshore_coordinators",
            "Coordinators that the operator polls, by whether the latest poll was answered.",
            ["state"],
            registry=self.registry,
        )
        self._steps, self._others, self._clusters = _Steps(), _Others(), _Clusters()
        for each in (self._steps, self._others, self._clusters):
            self.registry.register(each)

    def queue_depth(self, read: Callable[[], int]) -> None:
        """Register the function that returns the depth of the queue on each scrape."""
        self._depth.set_function(read)

    def queue_lateness(self, seconds: float) -> None:
        """Note how late a reconcile begins."""
        self._lateness.observe(seconds)

    def status_age(self, status: Mapping[str, Any]) -> None:
        """Note how old the counts are in a status that has just been written."""
        if observed := status.get("progress", {}).get("observedTime"):
            age = datetime.now(UTC) - datetime.fromisoformat(observed)
            self._ages.observe(max(0.0, age.total_seconds()))

    def leads(self, read: Callable[[], bool]) -> None:
        """Register the function that returns on each scrape whether this operator leads."""
        self._leader.set_function(lambda: float(read()))

    def coordinators(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Register the function that returns the number of polled coordinators in each state on each scrape."""
        for state in read():
            self._coordinators.labels(state).set_function(partial(lambda of: float(read()[of]), state))

    def api_request(self, verb: str, kind: str, code: str) -> None:
        """Count a request of the Kubernetes API."""
        self._requests.labels(verb, kind, code).inc()

    @contextmanager
    def reconcile(self, kind: str) -> Iterator[Callable[[float | None], None]]:
        """Time and count a reconcile. What it returns goes to the callable; one that raises is an error."""
        outcome, began = "error", time.perf_counter()

        def ended(again: float | None) -> None:
            nonlocal outcome
            outcome = "success" if again is None else "requeue"

        try:
            yield ended
        finally:
            self._durations.labels(kind).observe(time.perf_counter() - began)
            self._reconciles.labels(kind, outcome).inc()

    def step(self, manifest: Manifest) -> None:
        """Take note of a step with its status; what ended since its last one is counted."""
        since = self._steps.note(manifest)
        for (what, outcome), more in zip(_COUNTED, since.counts, strict=True):
            self._ended[what].labels(outcome).inc(more)
        if since.failed:
            self._failures.labels(names.STEP_KIND).inc()
        if since.category:
            self._errors.labels(since.category if since.category in CATEGORIES else SYSTEM).inc()

    def gone(self, namespace: str, name: str) -> None:
        """Forget a step."""
        self._steps.forget(namespace, name)

    def other(self, manifest: Manifest) -> None:
        """Take note of a task or a PipelineRun with its status."""
        if self._others.note(manifest):
            self._failures.labels(manifest["kind"]).inc()

    def other_gone(self, kind: str, namespace: str, name: str) -> None:
        """Forget a task or a PipelineRun."""
        self._others.forget(kind, namespace, name)

    def forget_all(self) -> None:
        """Forget all resources, as another operator leads and reports them."""
        for each in (self._steps, self._others, self._clusters):
            each.forget_all()

    def cluster(self, manifest: Manifest) -> None:
        """Take note of a ComputeCluster with its status."""
        self._clusters.note(manifest)

    def cluster_gone(self, namespace: str, name: str) -> None:
        """Forget a ComputeCluster."""
        self._clusters.forget(namespace, name)


class _Others(Collector):
    """The tasks and PipelineRuns there are, and what state each was in last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[tuple[str, str, str], str] = {}  # kind, namespace, name

    def note(self, manifest: Manifest) -> bool:
        """Return whether it has failed since it was last seen."""
        metadata = manifest["metadata"]
        key = (manifest["kind"], metadata["namespace"], metadata["name"])
        now = _state(manifest.get("status") or {})
        with self._lock:
            before, self._states[key] = self._states.get(key, now), now
        return now == "failed" and before != "failed"

    def forget(self, kind: str, namespace: str, name: str) -> None:
        with self._lock:
            self._states.pop((kind, namespace, name), None)

    def forget_all(self) -> None:
        with self._lock:
            self._states.clear()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            found = [(kind, state) for (kind, _, _), state in self._states.items()]
        for name, (description, kinds) in _BY_STATE.items():
            family = GaugeMetricFamily(name, description, labels=["state"])
            for state in _STATES:
                family.add_metric([state], sum(each == state and kind in kinds for kind, each in found))
            yield family


class _Steps(Collector):
    """The steps there are, with the last status of each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], _Seen] = {}  # namespace, name

    def note(self, manifest: Manifest) -> _Since:
        """Return what has happened since the status that this operator knew.

        The earlier operator has counted the first status of a step, so no counter counts it twice.
        """
        metadata = manifest["metadata"]
        key = (metadata["namespace"], metadata["name"])
        now = _seen(metadata["uid"], manifest.get("status") or {})
        with self._lock:
            before = self._seen.get(key)
            if before is None or before.uid != now.uid:
                known = now.counts
            elif before.run in ("", now.run):
                known = before.counts
            else:
                known = (0,) * len(_COUNTED)  # another run begins at nought
            self._seen[key] = replace(now, counts=tuple(map(max, now.counts, known)))
        more = tuple(max(new - old, 0) for new, old in zip(now.counts, known, strict=True))
        if before is None or before.uid != now.uid:
            return _Since(more, failed=False, category="")
        is_new_error = not before.category or before.run not in ("", now.run)
        failed = now.state == "failed" and before.state != "failed"
        return _Since(more, failed=failed, category=now.category if is_new_error else "")

    def forget(self, namespace: str, name: str) -> None:
        with self._lock:
            self._seen.pop((namespace, name), None)

    def forget_all(self) -> None:
        with self._lock:
            self._seen.clear()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            seen = list(self._seen.values())
        steps = GaugeMetricFamily("longshore_steps", "ParallelRunSteps by state.", labels=["state"])
        for state in _STATES:
            steps.add_metric([state], sum(each.state == state for each in seen))
        yield steps
        workers = GaugeMetricFamily("longshore_workers", "Workers of steps that have not ended.", labels=["state"])
        workers.add_metric(["wanted"], sum(each.workers_wanted for each in seen))
        workers.add_metric(["ready"], sum(each.workers_ready for each in seen))
        yield workers


class _Clusters(Collector):
    """The ComputeClusters there are, with the nodes of each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: dict[tuple[str, str], Mapping[str, int]] = {}  # namespace, name -> nodes by state
        self._limits: dict[tuple[str, str], int] = {}  # maxNodes

    def note(self, manifest: Manifest) -> None:
        metadata = manifest["metadata"]
        key = (metadata["namespace"], metadata["name"])
        counts: Mapping[str, int] = (manifest.get("status") or {}).get("nodeStateCounts", {})
        limit = manifest.get("spec", {}).get("maxNodes")
        with self._lock:
            self._nodes[key] = {state: counts.get(field, 0) for state, field in _NODES.items()}
            if isinstance(limit, int):  # what is written has no spec, and that of a manifest may be wrong
                self._limits[key] = limit

    def forget(self, namespace: str, name: str) -> None:
        with self._lock:
            self._nodes.pop((namespace, name), None)
            self._limits.pop((namespace, name), None)

    def forget_all(self) -> None:
        with self._lock:
            self._nodes.clear()
            self._limits.clear()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            found, limits = dict(self._nodes), dict(self._limits)
        nodes = GaugeMetricFamily(
            "longshore_compute_cluster_nodes",
            "Nodes of each ComputeCluster by state.",
            labels=[*_CLUSTER_LABELS, "state"],
        )
        for key, states in found.items():
            for state, count in states.items():
                nodes.add_metric([*key, state], count)
        yield nodes
        most = GaugeMetricFamily(
            "longshore_compute_cluster_max_nodes",
            "The most nodes that each ComputeCluster may have.",
            labels=_CLUSTER_LABELS,
        )
        for key, limit in limits.items():
            most.add_metric(key, limit)
        yield most


def _seen(uid: str, status: Mapping[str, Any]) -> _Seen:
    progress: Mapping[str, Any] = status.get("progress", {})
    state = _state(status)
    workers = progress.get("workers", {}) if state in ("pending", "running") else {}
    return _Seen(
        uid=uid,
        run=status.get("runId", ""),
        state=state,
        workers_wanted=workers.get("wanted", 0),
        workers_ready=workers.get("ready", 0),
        counts=tuple(progress.get(what, {}).get(outcome, 0) for what, outcome in _COUNTED),
        category=status.get("firstError", {}).get("category", ""),
    )


def _state(status: Mapping[str, Any]) -> str:
    succeeded = next((each["status"] for each in status.get("conditions", []) if each["type"] == "Succeeded"), "")
    if succeeded in ("True", "False"):
        return "succeeded" if succeeded == "True" else "failed"
    return "running" if status.get("startTime") else "pending"


class MeteredKube:
    """A cluster whose steps are counted as they are read and written."""

    def __init__(self, kube: Kube, metrics: Metrics) -> None:
        self._kube, self._metrics = kube, metrics

    def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        found = self._kube.read(kind, namespace, name)
        if kind == names.STEP_KIND:
            if found is None:
                self._metrics.gone(namespace, name)
            else:
                self._metrics.step(found)
        elif kind in _KINDS:
            if found is None:
                self._metrics.other_gone(kind, namespace, name)
            else:
                self._metrics.other(found)
        elif kind == names.COMPUTE_KIND:
            if found is None:
                self._metrics.cluster_gone(namespace, name)
            else:
                self._metrics.cluster(found)
        return found

    def list(self, kind: str, namespace: str, selector: str = "") -> Sequence[Manifest]:
        return self._kube.list(kind, namespace, selector)

    def having(self, kind: str, namespace: str, field: str, value: str = "") -> Sequence[Manifest]:
        return self._kube.having(kind, namespace, field, value)

    def pool(self, namespace: str, compute: str, *, asking: tuple[Holder, int] | None = None) -> Pool:
        return self._kube.pool(namespace, compute, asking=asking)

    def fetch(self, kind: str, namespace: str, name: str, *, max_age: float = 0.0) -> Manifest | None:
        return self._kube.fetch(kind, namespace, name, max_age=max_age)

    def create(self, manifest: Manifest) -> None:
        self._kube.create(manifest)

    def write_status(self, manifest: Manifest) -> None:
        self._kube.write_status(manifest)
        if manifest["kind"] == names.STEP_KIND:
            self._metrics.step(manifest)
            self._metrics.status_age(manifest["status"])
        elif manifest["kind"] in _KINDS:
            self._metrics.other(manifest)
        elif manifest["kind"] == names.COMPUTE_KIND:
            self._metrics.cluster(manifest)

    def change(self, kind: str, namespace: str, name: str, uid: str, spec: Mapping[str, Any]) -> None:
        self._kube.change(kind, namespace, name, uid, spec)

    def delete(self, kind: str, namespace: str, name: str, uid: str, *, at_once: bool = False) -> None:
        self._kube.delete(kind, namespace, name, uid, at_once=at_once)
