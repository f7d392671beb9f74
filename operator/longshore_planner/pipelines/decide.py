"""What a run does next."""

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
    """Why a running step is to be stopped: CANCELLED, TIMEOUT, or SUSPENDED (it goes on later)."""

    reason: str
    message: str


@dataclass(frozen=True)
class Verdict:
    """How a run ended: SUCCEEDED, SUCCEEDED_WITH_FAILURES (of items, in some step), STEP_FAILED or CANCELLED."""

    reason: str
    message: str

    @property
    def succeeded(self) -> bool:
        """Whether all steps have succeeded."""
        return self.reason in (SUCCEEDED, SUCCEEDED_WITH_FAILURES)


@dataclass(frozen=True)
class Decision:
    """What is to be done, and the records once it is done."""

    records: dict[str, Record]
    start: tuple[str, ...] = ()  # RUNNING in `records` already
    stop: Mapping[str, Stop] = field(default_factory=dict)  # still RUNNING, until their end is told
    verdict: Verdict | None = None  # nothing runs, and nothing will
    is_suspended: bool = False  # nothing runs, and nothing will until it is resumed
    next_deadline: float | None = None  # seconds since 1970: when something changes by itself


def decide(frozen: FrozenPipeline, records: Records, *, history: History, options: Options, now: float) -> Decision:
    """Decide what a run does next, given what is known of each step. Called again, it decides the same and no more.

    `options` are those of this moment, `now` is in seconds since 1970. A step starts once all that it needs has
    succeeded. When one has failed permanently, nothing more starts but, with `continue_on_step_failure`, what does not
    need it; what runs may finish.
    """
    decider = _Decider(frozen, dict(records), history, options, now)
    for step in frozen.steps:  # in order: what is reused lets those behind it go on at once
        decider.look_at(step)
    return decider.decision()


def predict(frozen: FrozenPipeline, records: Records, *, history: History, options: Options, now: float) -> Decision:
    """Return how a run will end if each step that it starts succeeds."""
    decision = decide(frozen, records, history=history, options=options, now=now)
    while decision.start:
        done = {name: replace(decision.records[name], state=SUCCEEDED, ended=now) for name in decision.start}
        decision = decide(frozen, {**decision.records, **done}, history=history, options=options, now=now)
    return decision


def after_stop(stop: Stop | None, outcome: Outcome) -> Outcome:
    """Return what a step that was to be stopped has come to; one that ended by itself before has its own end."""
    if stop is None or outcome.state != PENDING:
        return outcome
    match stop.reason:
        case "Timeout":
            return Outcome(FAILED, TIMEOUT, stop.message)
        case "Cancelled":
            return Outcome(CANCELLED, CANCELLED, stop.message)
        case _:
            return replace(outcome, reason=SUSPENDED, message="what is committed is kept")


class _Decider:
    def __init__(
        self, frozen: FrozenPipeline, records: dict[str, Record], history: History, options: Options, now: float
    ) -> None:
        self.frozen, self.history, self.options, self.now = frozen, history, options, now
        self.records = {each.name: records.get(each.name, Record(each.name)) for each in frozen.steps}
        self.start: list[str] = []
        self.stop: dict[str, Stop] = {}
        self.deadlines: list[float] = []
        # Those that have no attempt left; while a run goes on, retries are part of the attempt to get through.
        self.failed = [each.name for each in frozen.steps if self._has_failed(each)]

    def _has_failed(self, step: FrozenStep) -> bool:
        record = self.records[step.name]
        return record.state == FAILED and record.attempts > step.retries

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
        elif self.options.suspend and step.kind == PARALLEL_RUN:  # others have nothing to go on with later: they finish
            self.stop[step.name] = Stop(SUSPENDED, "the run is suspended")
        elif step.timeout is not None and step.kind != SCRIPT:  # who runs a script keeps its time
            deadline = (record.started or self.now) + step.timeout
            if self.now >= deadline:
                message = f"an attempt ran longer than timeoutSeconds, which is {step.timeout:g}"
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
                message=f"the outputs of {origin.step} in {origin.run_id} are taken"
                + (f", where {earlier.failures}" if earlier.failures else ""),
                outputs=dict(earlier.outputs),
                metrics=earlier.metrics,
                git=earlier.git,
                reused_from=origin,
                parts=parts,
                started=self.now,
                ended=self.now,
            )
        else:
            self._start(step, replace(record, parts=parts, not_reused=self._why_not(step, parts)))

    def _retry(self, step: FrozenStep, record: Record) -> None:
        """Give a failed step its next attempt, unless the run ends anyway."""
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
        """Return why a step will never start; None while it may."""
        needed = [name for name in step.after if self._is_lost(name)]
        if needed:
            return f"it needs {listed(needed)}, which did not succeed"
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
        """Return what stands for the outputs of a step: the run that made them."""
        return (self.records[name].reused_from or Origin(self.frozen.run_id, name)).identity

    def _why_not(self, step: FrozenStep, parts: dict[str, Any]) -> str:
        if self.options.regenerate_outputs:
            return "regenerateOutputs asks every step to run"
        if not step.allow_reuse:
            return "its allowReuse is false"
        nearest = self.history.nearest(parts, step=step.name, pipeline=self.frozen.name)
        return "there is no earlier run of it" if nearest is None else why_not(parts, nearest.parts)

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
