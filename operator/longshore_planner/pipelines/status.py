"""Conversion between the records of a run's steps and the status of a PipelineRun."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from longshore_api import pipeline_status as api
from longshore_api.errors import listed
from longshore_api.task_status import GitState, NamedOutput
from longshore_planner.pipelines.decide import Decision, Verdict
from longshore_planner.pipelines.fingerprint import digest
from longshore_planner.pipelines.frozen import FrozenPipeline
from longshore_planner.pipelines.history import EarlierStep
from longshore_planner.pipelines.records import ENDED, FAILED, RUNNING, SUCCEEDED, SUSPENDED, Origin, Record
from longshore_planner.status import Truth, conditions
from longshore_protocol.snapshot import SUCCEEDED_WITH_FAILURES
from longshore_storage.redaction import recorded


def pipeline_status(
    frozen: FrozenPipeline,
    decision: Decision,
    *,
    started: datetime,
    now: datetime,
    previous: api.PipelineRunStatus | None,
    generation: int = 1,
    details: Mapping[str, Detail] = MappingProxyType({}),
    spec: dict[str, Any] | None = None,
) -> api.PipelineRunStatus:
    """Compute the complete status of a PipelineRun.

    Args:
        frozen: The run.
        decision: The latest decision.
        started: Start of the run, with time zone.
        now: Current time, with time zone.
        previous: Last status; unchanged conditions keep its transition time, finished runs their completion time.
        generation: Generation of the spec that the run was created from.
        details: Details of steps that resources run, by name of the step.
        spec: Spec of the pipeline at the start of the run.
    """
    records = [decision.records[each.name] for each in frozen.steps]
    verdict = decision.verdict
    reason, message = _reason(decision), progress_sentence(records, verdict) + _waiting(records, details)
    succeeded: Truth = "Unknown" if verdict is None else "True" if verdict.succeeded else "False"
    ended = previous.completion_time if previous is not None and previous.completion_time is not None else now
    return api.PipelineRunStatus(
        observed_generation=generation,
        conditions=conditions(
            succeeded,
            reason=reason,
            message=message,
            previous=previous,
            generation=generation,
            now=now,
            stalled="StepStalled" if verdict is None and _is_stalled(records, details) else "",
        ),
        pipeline=frozen.name,
        parameters={
            name: recorded(each) if isinstance(each, str) else each for name, each in frozen.parameters.items()
        },
        steps=[_step(each, details.get(each.name, _NO_DETAIL)) for each in records],
        columns=api.StepColumns(
            steps=f"{sum(each.state == SUCCEEDED for each in records)}/{len(records)}",
            current=", ".join(_current(each.name, details) for each in records if each.state == RUNNING),
        ),
        start_time=started,
        completion_time=None if verdict is None else ended,
        run_id=frozen.run_id,
        run_uri=frozen.run_uri,
        pipeline_spec=spec,
    )


def not_begun(
    pipeline: str,
    *,
    reason: str,
    message: str,
    final: bool,
    previous: api.PipelineRunStatus | None,
    generation: int,
    now: datetime,
) -> api.PipelineRunStatus:
    """Return the status of a PipelineRun that has started no step; with `final`, of one that never will."""
    return api.PipelineRunStatus(
        observed_generation=generation,
        conditions=conditions(
            "False" if final else "Unknown",
            reason=reason,
            message=message,
            previous=previous,
            generation=generation,
            now=now,
        ),
        pipeline=pipeline,
        steps=[],
        columns=api.StepColumns(steps=""),
        completion_time=now if final else None,
    )


@dataclass(frozen=True)
class Detail:
    """Details of a step from its resource."""

    resource: str  # "ScriptStep/nightly-train"
    progress: str = ""  # "120/400": mini-batches
    waits: str = ""  # why the step is waiting, in one sentence
    is_stalled: bool = False  # whether it waits for a change by the user


_NO_DETAIL = Detail("")


def _is_stalled(records: Sequence[Record], details: Mapping[str, Detail]) -> bool:
    """Return whether every running step waits for a change by the user."""
    running = [each.name for each in records if each.state == RUNNING]
    return bool(running) and all(details.get(name, _NO_DETAIL).is_stalled for name in running)


def _waiting(records: Sequence[Record], details: Mapping[str, Detail]) -> str:
    """Return the reason of the first running step that is waiting, as a sentence to append, or ""."""
    running = (each.name for each in records if each.state == RUNNING)
    reasons = (f". {name}: {details[name].waits}" for name in running if name in details and details[name].waits)
    return next(reasons, "")


def _current(name: str, details: Mapping[str, Detail]) -> str:
    progress = details.get(name, _NO_DETAIL).progress
    return f"{name} ({progress})" if progress else name


def progress_sentence(records: Sequence[Record], verdict: Verdict | None) -> str:
    """Return "Steps completed: 3 (failed 1, reused 2), running: train and test", and the verdict's message."""
    ran = [each for each in records if each.state in (SUCCEEDED, FAILED)]
    counts = {
        "failed": sum(each.state == FAILED for each in ran),
        "reused": sum(each.reused_from is not None for each in ran),
    }
    parts = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    sentence = f"Steps completed: {len(ran)}" + (f" ({parts})" if parts else "")
    running = [each.name for each in records if each.state == RUNNING]
    if running:
        sentence += f", running: {listed(running)}"
    return f"{sentence}. {verdict.message}" if verdict is not None and verdict.message else sentence


def records_of(status: api.PipelineRunStatus) -> dict[str, Record]:
    """Return the records that a status was computed from; times are in whole seconds."""
    return {each.name: record_of(each) for each in status.steps}


def earlier_steps(status: api.PipelineRunStatus) -> Iterable[EarlierStep]:
    """Yield the steps of an earlier run that succeeded without reuse."""
    for each in status.steps:
        if each.state != SUCCEEDED or each.reused_from is not None or each.fingerprint is None:
            continue
        yield EarlierStep(
            origin=Origin(status.run_id or "", each.name, status.run_uri or ""),
            pipeline=status.pipeline,
            parts=each.fingerprint.parts,
            outputs={output.name: output.uri for output in each.outputs},
            ended=_seconds(each.completion_time) or 0.0,
            metrics=each.metrics,
            git=None if each.git is None else each.git.model_dump(),
            registered=tuple(each.registered or ()),
            failures=each.message if each.reason == SUCCEEDED_WITH_FAILURES else "",
        )


def _reason(decision: Decision) -> str:
    if decision.verdict is not None:
        return decision.verdict.reason
    if decision.is_suspended:
        return SUSPENDED
    states = {each.state for each in decision.records.values()}
    return "Running" if RUNNING in states or states & ENDED else "Pending"


def _step(record: Record, detail: Detail) -> api.PipelineStepStatus:
    origin, parts = record.reused_from, record.parts
    return api.PipelineStepStatus(
        name=record.name,
        state=record.state,
        reason=record.reason,
        message=detail.waits if record.state == RUNNING else record.message,
        resource=detail.resource,
        reused_from=None
        if origin is None
        else api.ReusedFrom(run_id=origin.run_id, step=origin.step, run_uri=origin.run_uri),
        outputs=[NamedOutput(name=name, uri=uri) for name, uri in record.outputs.items()],
        metrics=dict(record.metrics),
        git=None if record.git is None else GitState(**record.git),
        registered=list(record.registered) or None,
        start_time=_instant(record.started),
        completion_time=_instant(record.ended),
        attempts=record.attempts,
        not_reused=record.not_reused,
        fingerprint=None if parts is None else api.Fingerprint(digest=digest(parts), parts=dict(parts)),
    )


def record_of(step: api.PipelineStepStatus) -> Record:
    """Return the record that the status of a step was computed from."""
    origin = step.reused_from
    return Record(
        name=step.name,
        state=step.state,
        reason=step.reason,
        message=step.message,
        attempts=step.attempts,
        started=_seconds(step.start_time),
        ended=_seconds(step.completion_time),
        outputs={each.name: each.uri for each in step.outputs},
        metrics=step.metrics,
        git=None if step.git is None else step.git.model_dump(),
        registered=tuple(step.registered or ()),
        reused_from=None if origin is None else Origin(origin.run_id, origin.step, origin.run_uri),
        not_reused=step.not_reused,
        parts=None if step.fingerprint is None else step.fingerprint.parts,
    )


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)


def _seconds(instant: datetime | None) -> float | None:
    return None if instant is None else instant.timestamp()
