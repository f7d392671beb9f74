"""Records of a run's steps: immutable values that are replaced on each change.

PENDING --> RUNNING --> SUCCEEDED
 |  |  ^      |  `----> FAILED (-> RUNNING while attempts are left)
 |  |  `------'  `----> CANCELLED
 |  |    suspended
 |  `-> SUCCEEDED, reused: outputs of an earlier run are reused
 `----> SKIPPED, CANCELLED
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from longshore_api.status import Registered
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
ENVIRONMENT_FAILED = "EnvironmentFailed"  # a reason: the packages cannot be installed, which no retry changes
REUSED_WITH_FAILURES = "ReusedWithFailures"  # a reason: the reused run is one WITH_FAILURES
WITH_FAILURES = frozenset((SUCCEEDED_WITH_FAILURES, REUSED_WITH_FAILURES))  # reasons of succeeded steps


@dataclass(frozen=True)
class Origin:
    """The run of a step that produced some outputs."""

    run_id: str
    step: str
    run_uri: str = ""

    @property
    def identity(self) -> str:
        """Identity of the run in the fingerprints of steps that read its outputs."""
        return f"{self.run_id}/{self.step}"


@dataclass(frozen=True)
class Record:
    """State and result of one step of a run. Times are seconds since 1970."""

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
    registered: Sequence[Registered] = ()  # Models and Datasets
    reused_from: Origin | None = None
    not_reused: str = ""  # reason why no outputs are reused, in one sentence
    parts: Mapping[str, Any] | None = None  # of its fingerprint, once its dependencies have succeeded


Records = Mapping[str, Record]


@dataclass(frozen=True)
class Outcome:
    """Result of an attempt: SUCCEEDED, FAILED, CANCELLED, or PENDING if it was stopped to continue later."""

    state: State
    reason: str
    message: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    git: Mapping[str, Any] | None = None
    registered: Sequence[Registered] = ()  # Models and Datasets, after a success


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
        registered=tuple(outcome.registered),
    )


def outputs_of(records: Records) -> dict[tuple[str, str], str]:
    """Return the URIs of all existing outputs by (step, output)."""
    return {(each.name, output): uri for each in records.values() for output, uri in each.outputs.items()}


def resumed(records: Records) -> dict[str, Record]:
    """Return the records of a resumed run: succeeded steps are kept, all others start again."""
    return {name: each if each.state == SUCCEEDED else Record(name) for name, each in records.items()}
