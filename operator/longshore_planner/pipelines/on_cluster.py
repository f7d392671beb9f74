"""Frozen PipelineRuns of clusters, and the runs of their steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from longshore_api.pipeline_status import PipelineStepStatus
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.cluster.task_runs import TaskRun
from longshore_planner.pipelines.frozen import PARALLEL_RUN, SCRIPT, Code, FrozenPipeline, FrozenStep
from longshore_planner.pipelines.records import FAILED, SUCCEEDED, Record
from longshore_planner.pipelines.status import record_of
from longshore_planner.pod_locations import pod_location, user_location
from longshore_protocol.job import Job
from longshore_protocol.reading import read, read_text

KINDS = {PARALLEL_RUN: "ParallelRunStep", SCRIPT: "ScriptStep"}  # of resources that run steps; else a TransferStep

_CONFIG_MAP, _SOURCE_URI = "config_map", "source_uri"  # fields of PodRequirements


@dataclass(frozen=True)
class ClusterPipeline:
    """Everything that a PipelineRun consists of, frozen at its start."""

    pipeline: FrozenPipeline
    spec: dict[str, Any]  # spec of the Pipeline, as written
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)  # statuses of succeeded steps of the retried run

    @property
    def records(self) -> dict[str, Record]:
        """Records of the steps at the start of the run."""
        return {name: record_of(PipelineStepStatus.model_validate(each)) for name, each in self.kept.items()}

    @property
    def was_surveyed(self) -> bool:
        """Whether a survey pod inspected sources or inputs before the run began."""
        steps = self.pipeline.steps
        return any((each.provision or {}).get("source_uri") or "contents" in each.parts for each in steps)

    def to_json(self) -> str:
        """Return the run as JSON that `from_json` reads."""
        return json.dumps({"pipeline": asdict(self.pipeline), "spec": self.spec, "kept": self.kept})

    @staticmethod
    def from_json(text: str) -> ClusterPipeline:
        """Read the JSON of `to_json`, of this version or an adjacent one; raise ValueError for anything else."""
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
    catalogue: str = "",
    accept_changed_code: bool = False,
) -> ClusterRun | TaskRun:
    """Return the run of a step, without the UID of its resource, which the reader of the run sets.

    Args:
        step: The step.
        run_id: Id of the pipeline's run.
        namespace: Namespace of the run.
        name: Name of the resource that will run the step.
        outputs: Locations of all existing outputs in the user's form, by (step, output).
        catalogue: The pipeline's catalogue.
        accept_changed_code: Continue committed results although the code differs.
    """
    job = step.job_with({key: pod_location(uri) for key, uri in outputs.items()}, catalogue=catalogue)
    provision = PodRequirements.from_dict(step.provision or {})
    if step.kind == PARALLEL_RUN:
        # By this name, the coordinator distinguishes another attempt from its own restart.
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
    """Add the digests of the source's files and its Git state to a step; return the step.

    `copy` is the ConfigMap, or location in the pods, that the source was copied to; None if it was not copied. The
    step's `source` is then the original.
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
    """Return a step with a copied source replaced by the original."""
    if not is_copied(step):
        return step
    return replace(step, provision={**(step.provision or {}), _kind_of_source(step): step.source})


def is_copied(step: FrozenStep) -> bool:
    """Return whether the source is a copy, of a ConfigMap or of a store's folder, from the start of a run."""
    return "code" in step.parts and (step.provision or {}).get(_kind_of_source(step)) is not None


def _kind_of_source(step: FrozenStep) -> str:
    """Return the field of PodRequirements that holds the source, if it is one that is copied."""
    return _SOURCE_URI if (step.provision or {}).get(_SOURCE_URI) is not None else _CONFIG_MAP


def retried(earlier: ClusterPipeline, statuses: Mapping[str, PipelineStepStatus]) -> tuple[ClusterPipeline, set[str]]:
    """Return the run that continues an earlier one, and the names of the steps whose code is read again.

    Succeeded steps are kept. The code of failed steps is read again; steps that never ran keep their frozen code.
    """
    kept = {name: each.to_dict() for name, each in statuses.items() if each.state == SUCCEEDED}
    again = {name for name, each in statuses.items() if each.state == FAILED}
    return replace(earlier, kept=kept), again
