"""Who continues whose run: a step with resumeFrom, a PipelineRun with retryOf.

Two of them in one run folder would displace each other for ever, so one continues a run at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.common.pool import is_finished, part
from longshore_operator.manifests import names
from longshore_operator.manifests.objects import RUN_KEY
from longshore_operator.manifests.pipeline_runs import RUN_ID_KEY
from longshore_planner.cluster.step_runs import ClusterRun

_FIELDS = {names.STEP_KIND: "resumeFrom", names.RUN_KIND: "retryOf"}


@dataclass(frozen=True)
class Continuation:
    """A step or PipelineRun that continues another one's run, or wants to."""

    name: str
    created: datetime
    earlier: str  # name of the resource whose run it continues
    earlier_run_id: str = ""  # of that resource's run
    is_finished: bool = False
    run_id: str = ""  # of its own run, which is the same; "" while it has not begun

    @property
    def age(self) -> tuple[datetime, str]:
        """What orders them, the oldest first."""
        return self.created, self.name


def continuations(kube: Kube, kind: str, namespace: str) -> tuple[Continuation, ...]:
    """Return all resources of a kind that continue a run. Raises ApiError."""
    return tuple(_continuation(kube, kind, namespace, raw) for raw in kube.having(kind, namespace, _FIELDS[kind]))


def _continuation(kube: Kube, kind: str, namespace: str, raw: Manifest) -> Continuation:
    metadata, has_finished = raw["metadata"], is_finished(raw)
    earlier = str(raw["spec"][_FIELDS[kind]])
    # A run is frozen before the status has its id.
    run_id = "" if has_finished else _frozen_run_id(kube, kind, namespace, metadata["name"])
    return Continuation(
        name=metadata["name"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        earlier=earlier,
        earlier_run_id=_reported_run_id(kube.read(kind, namespace, earlier)),
        is_finished=has_finished,
        run_id=run_id or _reported_run_id(raw),
    )


def _reported_run_id(raw: Manifest | None) -> str:
    return str(part(raw or {}, "status").get("runId") or "")


def _frozen_run_id(kube: Kube, kind: str, namespace: str, name: str) -> str:
    frozen = kube.read("ConfigMap", namespace, _frozen_name(kind, name))
    data = frozen.get("data", {}) if frozen else {}
    if kind == names.RUN_KIND:
        return str(data.get(RUN_ID_KEY, ""))
    return ClusterRun.from_json(data[RUN_KEY]).job.run_id if RUN_KEY in data else ""  # absent: it has another owner


def _frozen_name(kind: str, name: str) -> str:
    return names.pipeline_run(name) if kind == names.RUN_KIND else names.run_objects(name)


def holder(everyone: Iterable[Continuation], run_id: str, *, but: str) -> str:
    """Return the unfinished resource, other than `but`, that continues a run; "" if there is none."""
    begun = (each for each in everyone if each.run_id == run_id and not each.is_finished)
    return next((each.name for each in begun if each.name != but), "")


def rival(everyone: Collection[Continuation], earlier: str, run_id: str, *, asking: str) -> str:
    """Return the resource that may continue a run before `asking`; "" if there is none.

    That is the one that has started to; otherwise the oldest that names `earlier`, or another resource with this run.
    """
    me = next((each for each in everyone if each.name == asking), None)
    for each in sorted(everyone, key=lambda one: one.age):
        if each.name == asking or each.is_finished:
            continue
        wants_it = each.earlier == earlier or each.earlier_run_id == run_id
        if each.run_id == run_id or (wants_it and (me is None or each.age < me.age)):
            return each.name
    return ""


def follower(everyone: Iterable[Continuation], earlier: str, *, but: str) -> str:
    """Return the finished resource, other than `but`, that has continued the run of `earlier`; "" if there is none."""
    ended = (each for each in everyone if each.earlier == earlier and each.is_finished and each.run_id)
    return next((each.name for each in ended if each.name != but), "")
