"""What is known of each step of a run: plain values that change by replacement.

PENDING --> RUNNING --> SUCCEEDED
 |  |  ^      |  `----> FAILED (-> RUNNING while attempts are left)
 |  |  `------'  `----> CANCELLED
 |  |    suspended
 |  `-> SUCCEEDED, reused: an earlier run's outputs are taken
 `----> SKIPPED, CANCELLED
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from longshore_protocol.snapshot import SUCCEEDED_WITH_FAILURES

State = Literal["Pending", "Running", "Succeeded", "Failed", "Skipped", "Cancelled"]

PENDING: State = "Pending"
RUNNING: State = "Running"
SUCCEEDED: State = "Succeeded"
FAILED: State = "Failed"
SKIPPED: State = "Skipped"
CANCELLED: State = "Cancelled"
ENDED = frozenset((SUCCEEDED, FAILED, SKIPPED, CANCELLED))

REUSED, TIMEOUT, SUSPENDED = "Reused", "Timeout", "Suspended"  # reasons
REUSED_WITH_FAILURES = "ReusedWithFailures"  # a reason: the run that is reused is one WITH_FAILURES
WITH_FAILURES = frozenset((SUCCEEDED_WITH_FAILURES, REUSED_WITH_FAILURES))  # reasons of steps that have succeeded


@dataclass(frozen=True)
class Origin:
    """The run of a step that made some outputs."""

    run_id: str
    step: str
    run_uri: str = ""

    @property
    def identity(self) -> str:
        """What stands for it in the fingerprints of the steps that read its outputs."""
        return f"{self.run_id}/{self.step}"


@dataclass(frozen=True)
class Record:
    """One step of a run. Times are seconds since 1970."""

    name: str
    state: State = PENDING
    reason: str = ""
    message: str = ""
    attempts: int = 0
    started: float | None = None
    ended: float | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)  # name -> URI, once it has succeeded
    metrics: Mapping[str, Any] = field(default_factory=dict)
    git: Mapping[str, Any] | None = None
    reused_from: Origin | None = None
    not_reused: str = ""  # why, in one sentence
    parts: Mapping[str, Any] | None = None  # of its fingerprint, once all that it reads is there


Records = Mapping[str, Record]


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: SUCCEEDED, FAILED, CANCELLED, or PENDING when it was stopped to go on later."""

    state: State
    reason: str
    message: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    git: Mapping[str, Any] | None = None


def ended(record: Record, outcome: Outcome, *, outputs: Mapping[str, str], now: float) -> Record:
    """Return the record of a step after an attempt."""
    if outcome.state == PENDING:
        return replace(
            record, state=PENDING, reason=outcome.reason, message=outcome.message, attempts=record.attempts - 1
        )
    return replace(
        record,
        state=outcome.state,
        reason=outcome.reason,
        message=outcome.message,
        ended=now,
        outputs=dict(outputs) if outcome.state == SUCCEEDED else {},
        metrics=outcome.metrics,
        git=outcome.git,
    )


def resumed(records: Records) -> dict[str, Record]:
    """Return the records for a run that goes on: what has succeeded is kept, all else begins anew."""
    return {name: each if each.state == SUCCEEDED else Record(name) for name, each in records.items()}
