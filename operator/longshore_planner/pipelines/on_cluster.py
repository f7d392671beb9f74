"""A PipelineRun of a cluster as it is frozen when it begins, and the runs of its steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from longshore_api.pipeline_status import PipelineStepStatus
from longshore_planner.cluster.pod_requirements import PodRequirements, pod_location, user_location
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.cluster.task_runs import TaskRun
from longshore_planner.pipelines.frozen import PARALLEL_RUN, SCRIPT, Code, FrozenPipeline, FrozenStep
from longshore_planner.pipelines.records import FAILED, SUCCEEDED, Record
from longshore_planner.pipelines.status import record_of
from longshore_protocol.job import Job
from longshore_protocol.reading import read, read_text

KINDS = {PARALLEL_RUN: "ParallelRunStep", SCRIPT: "ScriptStep"}  # of resources that run steps; else a TransferStep

_CONFIG_MAP, _SOURCE_URI = "config_map", "source_uri"  # fields of PodRequirements


@dataclass(frozen=True)
class ClusterPipeline:
    """All that a PipelineRun is made from."""

    pipeline: FrozenPipeline
    spec: dict[str, Any]  # the Pipeline's, as it was written
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)  # statuses of steps that the run retried succeeded at

    @property
    def records(self) -> dict[str, Record]:
        """The records of the steps when the run begins."""
        return {name: record_of(PipelineStepStatus.model_validate(each)) for name, each in self.kept.items()}

    @property
    def was_surveyed(self) -> bool:
        """Whether something was looked at where the stores are before the run began."""
        steps = self.pipeline.steps
        return any((each.provision or {}).get("source_uri") or "contents" in each.parts for each in steps)

    def to_json(self) -> str:
        """Return the run as JSON that `from_json` reads back."""
        return json.dumps({"pipeline": asdict(self.pipeline), "spec": self.spec, "kept": self.kept})

    @staticmethod
    def from_json(text: str) -> ClusterPipeline:
        """Read what `to_json` wrote, in this version or an adjacent one. Raises ValueError."""
        return read_text(ClusterPipeline, text)


def resource_kind(step: FrozenStep) -> str:
    """Return the kind of the resource that runs a step."""
    return KINDS.get(step.kind, "TransferStep")


def run_of_step(
    step: FrozenStep,
    *,
    run_id: str,
    namespace: str,
    name: str,
    outputs: Mapping[tuple[str, str], str],
    accept_changed_code: bool = False,
) -> ClusterRun | TaskRun:
    """Return the run of a step, for the resource `name` that is to run it.

    `run_id` is the pipeline's; `outputs` are the places of the outputs there are, as users know them. The resource's
    uid is not known before it is there: who reads the run puts it in.
    """
    job = step.job_with({key: pod_location(uri) for key, uri in outputs.items()})
    provision = PodRequirements.from_dict(step.provision or {})
    if step.kind == PARALLEL_RUN:
        # The coordinator tells another attempt from a restart by this name.
        own = {"name": name, "code": step.parts.get("code", {}), "runtime": provision.image}
        run_job = {**job, **own, "accept_changed_code": accept_changed_code}
        return ClusterRun(namespace, name, "", 0, read(Job, run_job), provision)
    return TaskRun(
        kind=resource_kind(step),
        namespace=namespace,
        step=name,
        uid="",
        generation=0,
        run_id=job.get("run_id", f"{run_id}-{step.name}"),
        run_uri=job.get("run_uri", ""),
        outputs={output: pod_location(uri) for output, uri in step.outputs.items()},
        job=job,
        provision=provision,
    )


def with_source(
    step: FrozenStep, files: Mapping[str, str], *, copy: str | None = None, git: dict[str, Any] | None = None
) -> FrozenStep:
    """Return a step with the digests of its source's files, and what git says of it.

    Where a `copy` was made, they lie there: in the ConfigMap of that name, or at that place in the pods. What it was
    made from is the step's `source` from then on.
    """
    frozen = step.with_code(Code(step.job["source_uri"], files, git))
    if copy is None:
        return frozen
    provision, kind = step.provision or {}, _kind_of_source(step)
    return replace(
        frozen,
        source=frozen.source if is_copied(step) else provision[kind],
        provision={**provision, kind: copy},
        spec={**step.spec, "source": {"configMap": copy} if kind == _CONFIG_MAP else {"uri": user_location(copy)}},
    )


def with_original(step: FrozenStep) -> FrozenStep:
    """Return a step whose source was copied with that which it was copied from."""
    if not is_copied(step):
        return step
    return replace(step, provision={**(step.provision or {}), _kind_of_source(step): step.source})


def is_copied(step: FrozenStep) -> bool:
    """Tell whether the source is a copy that was made when a run began: of a ConfigMap, or of what lay in a store."""
    return "code" in step.parts and (step.provision or {}).get(_kind_of_source(step)) is not None


def _kind_of_source(step: FrozenStep) -> str:
    """Return which field of the provision has the source, if it is one that is copied."""
    return _SOURCE_URI if (step.provision or {}).get(_SOURCE_URI) is not None else _CONFIG_MAP


def retried(earlier: ClusterPipeline, statuses: Mapping[str, PipelineStepStatus]) -> tuple[ClusterPipeline, set[str]]:
    """Return the run that goes on with an earlier one, and the names of its steps whose code is to be taken anew.

    What has succeeded is kept. The code of a step that failed is taken anew; that of one that was never run, as it was
    frozen then.
    """
    kept = {name: each.to_dict() for name, each in statuses.items() if each.state == SUCCEEDED}
    again = {name for name, each in statuses.items() if each.state == FAILED}
    return replace(earlier, kept=kept), again
