"""The decision function of pipeline runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from longshore_api.errors import listed
from longshore_planner.pipelines.fingerprint import why_not
from longshore_planner.pipelines.frozen import NONE, PARALLEL_RUN, SCRIPT, FrozenPipeline, FrozenStep, Options
from longshore_planner.pipelines.history import History
from longshore_planner.pipelines.records import (
    CANCELLED,
    ENDED,
    ENVIRONMENT_FAILED,
    FAILED,
    PENDING,
    REUSED,
    REUSED_WITH_FAILURES,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    SUSPENDED,
    TIMEOUT,
    WITH_FAILURES,
    Origin,
    Outcome,
    Record,
    Records,
)
from longshore_protocol.snapshot import SUCCEEDED_WITH_FAILURES

STEP_FAILED = "StepFailed"


@dataclass(frozen=True)
class Stop:
    """Reason to stop a running step: CANCELLED, TIMEOUT, or SUSPENDED (to continue later)."""

    reason: str
    message: str


@dataclass(frozen=True)
class Verdict:
    """Result of a run: SUCCEEDED, SUCCEEDED_WITH_FAILURES (of items in a step), STEP_FAILED or CANCELLED."""

    reason: str
    message: str

    @property
    def succeeded(self) -> bool:
        """Whether all steps succeeded."""
        return self.reason in (SUCCEEDED, SUCCEEDED_WITH_FAILURES)


@dataclass(frozen=True)
class Decision:
    """Steps to start and to stop, and the records after that."""

    records: dict[str, Record]
    start: tuple[str, ...] = ()  # steps to start, already RUNNING in `records`
    stop: Mapping[str, Stop] = field(default_factory=dict)  # steps to stop, RUNNING until their end is recorded
    verdict: Verdict | None = None  # set once the run has finished
    is_suspended: bool = False  # nothing runs until the run is resumed
    next_deadline: float | None = None  # seconds since 1970 of the next timeout, which changes the decision


def decide(frozen: FrozenPipeline, records: Records, *, history: History, options: Options, now: float) -> Decision:
    """Decide which steps of a run start and stop; return the decision. Idempotent for the records that it returns.

    A step starts once all its dependencies have succeeded. After a permanent failure, running steps finish; no further
    step starts, except independent ones with `continue_on_step_failure`.

    Args:
        frozen: The run.
        records: What is known of each step, by name.
        history: Earlier runs of steps, for reuse.
        options: Current options of the run.
        now: Seconds since 1970.
    """
    decider = _Decider(frozen, dict(records), history, options, now)
    for step in frozen.steps:  # in order, because a reused step lets its dependents start immediately
        decider.look_at(step)
    return decider.decision()


def predict(frozen: FrozenPipeline, records: Records, *, history: History, options: Options, now: float) -> Decision:
    """Return the last decision of a run if every started step succeeds."""
    decision = decide(frozen, records, history=history, options=options, now=now)
    while decision.start:
        done = {name: replace(decision.records[name], state=SUCCEEDED, ended=now) for name in decision.start}
        decision = decide(frozen, {**decision.records, **done}, history=history, options=options, now=now)
    return decision


def after_stop(stop: Stop | None, outcome: Outcome) -> Outcome:
    """Return the outcome of a step after a stop; a step that finished before the stop keeps its own outcome."""
    if stop is None or outcome.state != PENDING:
        return outcome
    match stop.reason:
        case "Timeout":
            return Outcome(FAILED, TIMEOUT, stop.message)
        case "Cancelled":
            return Outcome(CANCELLED, CANCELLED, stop.message)
        case _:
            return replace(outcome, reason=SUSPENDED, message="suspended; committed results are kept")


class _Decider:
    def __init__(
        self, frozen: FrozenPipeline, records: dict[str, Record], history: History, options: Options, now: float
    ) -> None:
        self.frozen, self.history, self.options, self.now = frozen, history, options, now
        self.records = {each.name: records.get(each.name, Record(each.name)) for each in frozen.steps}
        self.start: list[str] = []
        self.stop: dict[str, Stop] = {}
        self.deadlines: list[float] = []
        # Steps that failed and have no attempt left.
        self.failed = [each.name for each in frozen.steps if self._has_failed(each)]

    def _has_failed(self, step: FrozenStep) -> bool:
        record = self.records[step.name]
        is_retried = record.reason != ENVIRONMENT_FAILED and record.attempts <= step.retries
        return record.state == FAILED and not is_retried

    def look_at(self, step: FrozenStep) -> None:
        record = self.records[step.name]
        match record.state:
            case "Running":
                self._watch(step, record)
            case "Pending":
                self._begin(step, record)
            case "Failed" if step.name not in self.failed:
                self._retry(step, record)

    def _watch(self, step: FrozenStep, record: Record) -> None:
        if self.options.cancel:
            self.stop[step.name] = Stop(CANCELLED, "the run was cancelled")
        elif self.options.suspend and step.kind == PARALLEL_RUN:  # other kinds cannot continue later, so they finish
            self.stop[step.name] = Stop(SUSPENDED, "the run is suspended")
        elif step.timeout is not None and step.kind != SCRIPT:  # the agent enforces the time limit of scripts
            deadline = (record.started or self.now) + step.timeout
            if self.now >= deadline:
                message = f"the attempt exceeded timeoutSeconds ({step.timeout:g} s)"
                self.stop[step.name] = Stop(TIMEOUT, message)
            else:
                self.deadlines.append(deadline)

    def _begin(self, step: FrozenStep, record: Record) -> None:
        if self.options.cancel:
            self.records[step.name] = replace(
                record, state=CANCELLED, reason=CANCELLED, message="the run was cancelled"
            )
            return
        blocking = self._blocking(step)
        if blocking is not None:
            self.records[step.name] = replace(record, state=SKIPPED, reason="NotStarted", message=blocking)
            return
        if self.options.suspend or any(self.records[name].state != SUCCEEDED for name in step.after):
            return
        parts = self._parts(step)
        contents = self.frozen.options.content_fingerprint != NONE
        earlier = self.history.equal(parts, step=step.name, contents=contents) if self._may_reuse(step) else None
        if earlier is not None:
            origin = earlier.origin
            self.records[step.name] = replace(
                record,
                state=SUCCEEDED,
                reason=REUSED_WITH_FAILURES if earlier.failures else REUSED,
                message=f'outputs of step "{origin.step}" in run "{origin.run_id}" are reused'
                + (f", where {earlier.failures}" if earlier.failures else ""),
                outputs=dict(earlier.outputs),
                metrics=earlier.metrics,
                git=earlier.git,
                registered=tuple(earlier.registered),
                reused_from=origin,
                parts=parts,
                started=self.now,
                ended=self.now,
            )
        else:
            self._start(step, replace(record, parts=parts, not_reused=self._why_not(step, parts)))

    def _retry(self, step: FrozenStep, record: Record) -> None:
        """Start the next attempt of a failed step, unless the run cannot succeed."""
        if self.options.cancel or self._blocking(step) is not None:
            self.failed.append(step.name)
        elif not self.options.suspend:
            self._start(step, record)

    def _start(self, step: FrozenStep, record: Record) -> None:
        attempt = record.attempts + 1
        begun = replace(record, state=RUNNING, attempts=attempt, started=self.now, ended=None)
        self.records[step.name] = replace(begun, reason="Started" if attempt == 1 else "Retried", message="")
        self.start.append(step.name)
        if step.timeout is not None and step.kind != SCRIPT:
            self.deadlines.append(self.now + step.timeout)

    def _blocking(self, step: FrozenStep) -> str | None:
        """Return the reason why a step will never start; None if it may start."""
        needed = [name for name in step.after if self._is_lost(name)]
        if needed:
            return f"depends on {listed(needed)}, which did not succeed"
        if self.failed and not self.options.continue_on_step_failure:
            return f"{listed(self.failed)} failed"
        return None

    def _is_lost(self, name: str) -> bool:
        return name in self.failed or self.records[name].state in (SKIPPED, CANCELLED)

    def _may_reuse(self, step: FrozenStep) -> bool:
        return step.allow_reuse and not self.options.regenerate_outputs

    def _parts(self, step: FrozenStep) -> dict[str, Any]:
        return {**step.parts, "steps": {name: self._identity(name) for name in step.reads}}

    def _identity(self, name: str) -> str:
        """Return the identity of a step's outputs: the run that produced them."""
        return (self.records[name].reused_from or Origin(self.frozen.run_id, name)).identity

    def _why_not(self, step: FrozenStep, parts: dict[str, Any]) -> str:
        if self.options.regenerate_outputs:
            return "regenerateOutputs is true"
        if not step.allow_reuse:
            return "allowReuse is false"
        nearest = self.history.nearest(parts, step=step.name, pipeline=self.frozen.name)
        return "no earlier run of this step exists" if nearest is None else why_not(parts, nearest.parts)

    def decision(self) -> Decision:
        is_finished = all(each.state in ENDED for each in self.records.values()) and not self.start
        is_waiting = not any(each.state == RUNNING for each in self.records.values())
        return Decision(
            records=self.records,
            start=tuple(self.start),
            stop=self.stop,
            verdict=self._verdict() if is_finished and self._nothing_to_retry() else None,
            is_suspended=self.options.suspend and is_waiting and not (is_finished and self._nothing_to_retry()),
            next_deadline=min(self.deadlines, default=None),
        )

    def _nothing_to_retry(self) -> bool:
        return all(each.state != FAILED or each.name in self.failed for each in self.records.values())

    def _verdict(self) -> Verdict:
        states = {each.state for each in self.records.values()}
        if CANCELLED in states:
            return Verdict(CANCELLED, "the run was cancelled")
        if self.failed:
            first = min((self.records[name] for name in self.failed), key=lambda each: each.ended or 0.0)
            return Verdict(
                STEP_FAILED, f"{first.name} failed: {first.message}" if first.message else f"{first.name} failed"
            )
        failures = [each for each in self.records.values() if each.reason in WITH_FAILURES]
        if failures:
            more = f"; so did {listed([each.name for each in failures[1:]])}" if failures[1:] else ""
            first = failures[0]
            return Verdict(
                SUCCEEDED_WITH_FAILURES, f"{first.name} succeeded with too many failed items: {first.message}{more}"
            )
        return Verdict(SUCCEEDED, "")
