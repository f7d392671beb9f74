"""Decisions for a PipelineRun. Pure.

finished?      ->  delete it once its time to live has passed
not frozen?    ->  freeze it, after a survey where it needs one; an invalid run fails before anything starts
frozen         ->  record finished steps; decide as a local run does (longshore_planner.pipelines);
                   write the status, and then create the resource of each running step

The status of steps is written first and is authoritative: a step that is Running there and has no resource gets one.
So an operator that is killed between the two starts nothing twice and loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from longshore_api.errors import Problem
from longshore_api.pipeline_status import PipelineRunStatus
from longshore_operator.common import lifecycle
from longshore_operator.common.actions import Action, Begin, Continue, Create, Ensure, Event, Plan, Switch
from longshore_operator.common.conditions import blocked_by_object, is_stalled_by, with_blocked
from longshore_operator.common.lifecycle import LATE, REFUSED_AGAIN, SOON, after_end, unresolved
from longshore_operator.common.reasons import REFUSALS
from longshore_operator.common.values import Blocked, Observation, Pod
from longshore_operator.manifests import names
from longshore_operator.manifests import pipeline_runs as pipelines
from longshore_operator.pipeline_runs.children import Child, detail, outcome
from longshore_operator.pipeline_runs.freeze import ResolvedRun
from longshore_operator.pipeline_runs.surveys import cleared, surveying, waits_for
from longshore_operator.settings import Settings
from longshore_planner.pipelines.decide import Decision, Stop, after_stop, decide
from longshore_planner.pipelines.frozen import FrozenStep, Options
from longshore_planner.pipelines.history import History
from longshore_planner.pipelines.on_cluster import ClusterPipeline, resource_kind, run_of_step
from longshore_planner.pipelines.records import (
    CANCELLED,
    ENDED,
    FAILED,
    PENDING,
    RUNNING,
    SUSPENDED,
    Outcome,
    Record,
    ended,
)
from longshore_planner.pipelines.status import Detail, not_begun, pipeline_status, records_of
from longshore_planner.pipelines.survey import Survey

RunPlan = Plan[PipelineRunStatus]

_SURVEYING = 5.0  # seconds between reconciles while a survey runs


@dataclass(frozen=True)
class ObservedRun(Observation[PipelineRunStatus]):
    """All that one reconcile of a PipelineRun knows."""

    pipeline: str  # name of the Pipeline
    options: Options  # of this moment
    frozen: ClusterPipeline | None = None  # as it was when the run began
    resolved: ResolvedRun | tuple[Problem, ...] | Blocked | None = None  # as it would begin now; None when it has begun
    children: Mapping[str, Child] = field(default_factory=dict)  # the resources of its steps, by name
    surveys: tuple[Pod, ...] = ()  # that look at sources and inputs
    history: History = field(default_factory=History)
    foreign: str = ""  # an object that has the name of one of ours, and is not


def decide_run(seen: ObservedRun, settings: Settings, *, now: datetime) -> RunPlan:
    """Return what to do next."""
    if seen.is_finished:
        return after_end(seen, now=now)
    if seen.foreign and not seen.control.cancel:
        return _not_begun(seen, blocked_by_object(seen.foreign), final=False, now=now)
    return _begin(seen, settings, now=now) if seen.frozen is None else _go_on(seen, seen.frozen, now=now)


def _begin(seen: ObservedRun, settings: Settings, *, now: datetime) -> RunPlan:
    if seen.control.cancel:
        return _not_begun(seen, Blocked(CANCELLED, "cancelled: nothing was started"), final=True, now=now)
    if seen.control.suspend:
        plan = _not_begun(seen, Blocked(SUSPENDED, "suspended: nothing was started"), final=False, now=now)
        return replace(plan, requeue_after=None)
    match seen.resolved:
        case ResolvedRun(survey=Survey() as survey):
            waits = waits_for(survey, seen.name, seen.surveys)
            plan = _not_begun(seen, waits, final=False, now=now)
            actions = surveying(survey, seen.subject, seen.surveys, settings, now=now)
            return replace(plan, actions=tuple(actions), requeue_after=_SURVEYING)
        case ResolvedRun() as begins:
            return replace(_go_on(seen, begins.frozen, now=now), actions=tuple(_written_down(seen, begins)))
        case not_resolved:
            blocked, final, requeue_after = unresolved(seen, not_resolved, settings, now=now)
            return _not_begun(seen, blocked, final=final, now=now, requeue_after=requeue_after)


def wants_history(seen: ObservedRun, *, now: datetime) -> bool:
    """Return whether steps are about to start that could be reused: only then are other runs read."""
    begins = seen.resolved if isinstance(seen.resolved, ResolvedRun) else None
    frozen = seen.frozen or (begins.frozen if begins is not None and begins.survey is None else None)
    if seen.is_finished or frozen is None or frozen.pipeline.options.regenerate_outputs:
        return False
    _, decision = _decision(seen, frozen, now=now)
    return any(frozen.pipeline.step(name).allow_reuse for name in decision.start)


def refused(seen: ObservedRun, plan: RunPlan, refusal: Blocked, *, now: datetime) -> RunPlan:
    """Return the rest of a plan after the API server refused an action: a status with the refusal, and a retry.

    The status of a run that could not be frozen is not the plan's: the run may be frozen otherwise the next time.
    """
    if plan.actions and seen.frozen is None:
        plan = _not_begun(seen, refusal, final=False, now=now)
    if plan.status is None:
        return Plan(requeue_after=SOON)
    return Plan((), _with_blocked(seen, plan.status, refusal, now=now), requeue_after=REFUSED_AGAIN)


def _go_on(seen: ObservedRun, frozen: ClusterPipeline, *, now: datetime) -> RunPlan:
    before, decision = _decision(seen, frozen, now=now)
    started = seen.status.start_time if seen.status is not None else None
    status = pipeline_status(
        frozen.pipeline,
        decision,
        started=started or now,
        now=now,
        previous=seen.status,
        generation=seen.generation,
        details=_details(seen, frozen, decision),
        spec=frozen.spec,
    )
    events = tuple(_failures(before, decision))
    requeue_after: float | None = None if decision.is_suspended else LATE
    if decision.verdict is not None:
        requeue_after = 0.0  # what follows the end is due: the write of this status requeues nothing
    if decision.next_deadline is not None:
        requeue_after = max(0.0, min(decision.next_deadline - now.timestamp(), LATE))
    if any(each.leaving for each in seen.children.values()):
        requeue_after = SOON
    after = (*_resources(seen, frozen, decision), *cleared(seen.surveys, now=now))
    if (refusal := _kept_refusal(seen, after)) is not None:
        status, requeue_after = _with_blocked(seen, status, refusal, now=now), SOON
    return Plan(tuple(_given_up(seen, before, decision)), status, events, requeue_after, after=after)


def _kept_refusal(seen: ObservedRun, after: tuple[Action, ...]) -> Blocked | None:
    """Return the API server's refusal of steps' resources from the status, until the resources exist."""
    succeeded = seen.status.condition("Succeeded") if seen.status else None
    if seen.frozen is None or succeeded is None or succeeded.reason not in REFUSALS:
        return None
    creates = any(isinstance(each, Begin | Ensure) for each in after)
    return Blocked(succeeded.reason, succeeded.message) if creates else None


def _decision(seen: ObservedRun, frozen: ClusterPipeline, *, now: datetime) -> tuple[Mapping[str, Record], Decision]:
    """Return the records as they were, and what the run does next, with the ends of steps taken in."""
    begun = seen.status is not None and seen.status.run_id is not None
    before = records_of(seen.status) if begun and seen.status is not None else frozen.records
    options = replace(frozen.pipeline.options, cancel=seen.control.cancel, suspend=seen.control.suspend)
    at = now.timestamp()
    stops = decide(frozen.pipeline, before, history=seen.history, options=options, now=at).stop
    records = dict(before)
    for name, record in before.items():
        if record.state == RUNNING and (end := _end(seen, record, stops.get(name))) is not None:
            step = frozen.pipeline.step(name)
            end = replace(end, git=step.git or end.git)  # of where the code was copied from, rather than of the copy
            records[name] = ended(record, end, outputs=step.outputs, now=at)
    return before, decide(frozen.pipeline, records, history=seen.history, options=options, now=at)


def _end(seen: ObservedRun, record: Record, stop: Stop | None) -> Outcome | None:
    """Return how a running step ended; None while it goes on, or its resource is still to be made."""
    child = seen.children.get(names.child(seen.name, record.name, record.attempts))
    if child is not None:
        return outcome(child, stop)
    return None if stop is None else after_stop(stop, Outcome(PENDING, stop.reason))


def _resources(seen: ObservedRun, frozen: ClusterPipeline, decision: Decision) -> Iterator[Action]:
    """Yield what gives each running step its resource, and suspends or cancels the others."""
    outputs = {(each.name, key): uri for each in decision.records.values() for key, uri in each.outputs.items()}
    for step in frozen.pipeline.steps:
        record = decision.records[step.name]
        if not record.attempts and record.state != RUNNING and record.reason != SUSPENDED:
            continue  # it never had one
        attempt = record.attempts + (record.state == PENDING)
        name = names.child(seen.name, step.name, attempt)
        child, stop = seen.children.get(name), decision.stop.get(step.name)
        if child is None:
            if record.state == RUNNING and stop is None:
                yield _begun(seen, frozen, step, name, outputs)
        elif child.lacks_run and record.state == RUNNING:
            yield Ensure(_begun(seen, frozen, step, name, outputs).frozen)
        elif not child.is_finished and not child.leaving:
            yield from _steered(child, record, stop)


def _given_up(seen: ObservedRun, before: Mapping[str, Record], decision: Decision) -> Iterator[Switch]:
    """Yield the actions that end the resources of suspended steps that will not continue.

    They precede the status, because resources of finished steps and runs are not reconciled any more.
    """
    for name, record in before.items():
        child = seen.children.get(names.child(seen.name, name, record.attempts + (record.state == PENDING)))
        if child is None or decision.records[name].state not in ENDED:
            continue
        if not (child.is_finished or child.leaving or child.cancels):
            yield Switch(child.kind, child.name, child.uid, "cancel", value=True)


def _begun(
    seen: ObservedRun, frozen: ClusterPipeline, step: FrozenStep, name: str, outputs: Mapping[tuple[str, str], str]
) -> Begin:
    run = run_of_step(
        step,
        run_id=frozen.pipeline.run_id,
        namespace=seen.subject.namespace,
        name=name,
        outputs=outputs,
        catalogue=frozen.pipeline.catalogue,
        accept_changed_code=frozen.pipeline.options.accept_changed_code,
    )
    resource = pipelines.step_resource(seen.subject, resource_kind(step), name, step.spec_with(outputs))
    return Begin(pipelines.step_map(seen.subject, run), resource)


def _steered(child: Child, record: Record, stop: Stop | None) -> Iterator[Switch]:
    """Yield what makes a resource do what the run wants of it."""
    rests = record.state == PENDING and record.reason == SUSPENDED
    suspends = rests or (stop is not None and stop.reason == SUSPENDED)
    if child.suspends != suspends and record.state in (RUNNING, PENDING):
        yield Switch(child.kind, child.name, child.uid, "suspend", suspends)
    cancels = (record.state != RUNNING and not rests) or (stop is not None and stop.reason != SUSPENDED)
    if cancels and not child.cancels:
        yield Switch(child.kind, child.name, child.uid, "cancel", value=True)


def _written_down(seen: ObservedRun, begins: ResolvedRun) -> Iterator[Action]:
    yield from begins.copies
    manifest = pipelines.frozen_map(seen.subject, begins.frozen)
    run_id = begins.frozen.pipeline.run_id
    yield Continue(names.RUN_KIND, seen.name, run_id, manifest) if begins.is_retry else Create(manifest)


def _details(seen: ObservedRun, frozen: ClusterPipeline, decision: Decision) -> dict[str, Detail]:
    """Return what is known of the resource of each step's latest attempt."""
    found = {}
    for step in frozen.pipeline.steps:
        record = decision.records[step.name]
        if (kept := frozen.kept.get(step.name)) is not None:
            found[step.name] = Detail(kept.get("resource", ""))
        elif record.attempts:
            name = names.child(seen.name, step.name, record.attempts)
            resource = f"{resource_kind(step)}/{name}"
            found[step.name] = detail(seen.children.get(name), resource=resource)
    return found


def _failures(before: Mapping[str, Record], decision: Decision) -> Iterator[Event]:
    """Yield an event for each step that has failed since."""
    for name, record in decision.records.items():
        then = before.get(name)
        is_new = then is None or (then.state, then.attempts) != (FAILED, record.attempts)
        if record.state == FAILED and is_new:
            yield Event("Warning", "StepFailed", f"{name} failed: {record.message or record.reason}")


def _not_begun(
    seen: ObservedRun, blocked: Blocked, *, final: bool, now: datetime, requeue_after: float = SOON
) -> RunPlan:
    status = not_begun(
        seen.pipeline,
        reason=blocked.reason,
        message=blocked.message,
        final=final,
        previous=seen.status,
        generation=seen.generation,
        now=now,
    )
    if seen.status is not None and seen.status.run_id is not None:  # of a run that has begun, what is known stays
        kept = {"conditions": status.conditions, "observed_generation": status.observed_generation}
        status = seen.status.model_copy(update=kept)
    # Repeat the survey, because its errors may have been fixed since.
    return lifecycle.not_begun(status, final=final, requeue_after=requeue_after, actions=cleared(seen.surveys, now=now))


def _with_blocked(
    seen: ObservedRun, status: PipelineRunStatus, blocked: Blocked, *, now: datetime
) -> PipelineRunStatus:
    """Return the status with what keeps the run's next resources from being made."""
    finished = status.condition("Finished")
    if finished is not None and finished.status == "True":
        return status
    goes_on = any(not (each.is_finished or each.is_stalled) for each in seen.children.values())
    stalled = is_stalled_by(blocked) and not goes_on
    return with_blocked(status, blocked, stalled=stalled, before=seen.status, now=now)
