"""Verdicts: the thresholds and time limits that end a step, as pure functions.

Thresholds count permanent failures, after the last try; Azure ML's count of every failed try is not reproduced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from longshore_protocol import snapshot
from longshore_protocol.job import APPEND_ROW, ROWS, Job, Timeouts
from longshore_protocol.redaction import redacted

SUCCEEDED = "Succeeded"
SUCCEEDED_WITH_FAILURES = snapshot.SUCCEEDED_WITH_FAILURES
INTERRUPTED = "Interrupted"
ERROR_THRESHOLD = "ErrorThresholdExceeded"
ALLOWED_FAILED_COUNT = "AllowedFailedCountExceeded"
ALLOWED_FAILED_PERCENT = "AllowedFailedPercentExceeded"
INIT_FAILED = "InitFailed"
WORKER_FAILED = "WorkerFailed"
NO_PROGRESS = "NoProgress"
FIRST_TASK_TIMEOUT = "FirstTaskCreationTimeout"
NO_RESULT = "NoResultToAppend"
INPUT_ERROR = "InputError"
EMPTY_INPUT = "EmptyInput"
PLAN_CHANGED = "PlanChanged"
CODE_CHANGED = "CodeChanged"
NOT_RETRYABLE = "NotRetryable"
OUTPUT_ERROR = "OutputError"
REGISTRATION_FAILED = "RegistrationFailed"
STORAGE_ERROR = "StorageError"
INTERNAL_ERROR = "InternalError"
SUPERSEDED = "Superseded"
REFUSALS = (CODE_CHANGED, NOT_RETRYABLE)  # verdicts that refuse to resume a run before anything in it changes


NAMED_ITEMS = 5  # failed items in the message of a verdict
_STARTING = 60.0  # seconds for processes to start, before import and init()
_LISTING = 600.0  # seconds without progress of listing before the first mini-batch is cut
# A step counts as broken if the processes of so many workers fail (at least three, at least a tenth, at most all)...
_FAILING_WORKERS, _FAILING_SHARE = 3, 0.1
_ALONE = 120.0  # ...or those of all connected workers, after so many seconds without a ready one


@dataclass(frozen=True)
class Verdict:
    """The end of a step: a CamelCase reason and a message of one sentence."""

    reason: str
    message: str

    def __post_init__(self) -> None:
        """Redact secrets in URLs, which a store's error may quote."""
        object.__setattr__(self, "message", redacted(self.message))

    @property
    def succeeded(self) -> bool:
        """Whether the step processed all its mini-batches within the thresholds."""
        return self.reason in (SUCCEEDED, SUCCEEDED_WITH_FAILURES)


@dataclass(frozen=True)
class Tally:
    """Counts of a run; `total` is the number of mini-batches, final once `listed`."""

    total: int = 0
    listed: bool = False
    done: int = 0
    failed: int = 0
    items: int = 0  # of finished mini-batches
    items_succeeded: int = 0
    items_failed: int = 0
    counts_items: bool = True  # False while no mini-batch has returned results and the job does not require them


def threshold_crossed(job: Job, tally: Tally) -> Verdict | None:
    """Return the verdict of the first threshold that is exceeded, or None."""
    limits = job.thresholds
    if limits.error_threshold != -1 and tally.items_failed > limits.error_threshold:
        return Verdict(
            ERROR_THRESHOLD, f"{tally.items_failed} items failed, errorThreshold allows {limits.error_threshold}"
        )
    if limits.allowed_failed_count != -1 and tally.failed > limits.allowed_failed_count:
        return Verdict(
            ALLOWED_FAILED_COUNT,
            f"{tally.failed} mini-batches failed, allowedFailedCount allows {limits.allowed_failed_count}",
        )
    if limits.allowed_failed_percent is not None and tally.listed and tally.total:
        percent = 100.0 * tally.failed / tally.total
        if percent > limits.allowed_failed_percent:
            return Verdict(
                ALLOWED_FAILED_PERCENT,
                f"{tally.failed} of {tally.total} mini-batches failed ({percent:.3g} %), "
                f"allowedFailedPercent allows {limits.allowed_failed_percent:g}",
            )
    return None


def short_return_fails(job: Job) -> bool:
    """Return whether fewer results than items fail a mini-batch: if both mini-batches and items have thresholds."""
    limits = job.thresholds
    counts_mini_batches = limits.allowed_failed_count != -1 or limits.allowed_failed_percent is not None
    return counts_mini_batches and limits.error_threshold != -1


def counts_empty_returns(job: Job) -> bool:
    """Return whether a mini-batch without any result has failed items, even if no mini-batch has results.

    False for summary_only without an errorThreshold: such a script may write its own files and return nothing.
    """
    return job.output.action == APPEND_ROW or job.thresholds.error_threshold != -1


def all_processed(job: Job, tally: Tally, failed_items: Callable[[], list[str]]) -> Verdict | None:
    """Return the verdict if every mini-batch is done or failed, or None.

    `failed_items` returns the names of up to NAMED_ITEMS failed items for the message.
    """
    if not tally.listed or tally.done + tally.failed < tally.total:
        return None
    if job.output.action == APPEND_ROW and tally.items_succeeded == 0:
        if not (tally.items or tally.items_failed or tally.failed) and job.sample is None:
            names = " and ".join(f'"{each.name}"' for each in job.inputs)
            have = "Input {} has" if len(job.inputs) == 1 else "Inputs {} have"
            return Verdict(EMPTY_INPUT, f"{have.format(names)} no rows: every table is empty or has only a header")
        return Verdict(
            NO_RESULT,
            "no succeeded mini-batch item was returned from run(): "
            f"{tally.done} mini-batches returned nothing, {tally.failed} failed; append_row needs at least one row",
        )
    message = f"{tally.done} of {tally.total} mini-batches succeeded"
    limit = job.thresholds.failed_items_warning_percent
    percent = 100.0 * tally.items_failed / tally.items if tally.items else 0.0
    what = f"{tally.items_failed} of {tally.items} items"
    if percent <= limit and tally.total and _has_uncounted_rows(job):
        percent = 100.0 * tally.failed / tally.total
        what = f"{tally.failed} of {tally.total} mini-batches"
    if percent > limit:
        named = failed_items()
        more = [f"{tally.items_failed - len(named)} more"] if tally.items_failed > len(named) else []
        return Verdict(
            SUCCEEDED_WITH_FAILURES,
            f"{message}; {what} failed ({percent:.3g} %, "
            f"failedItemsWarningPercent is {limit:g}): {', '.join([*named, *more])}; "
            f"{job.run_uri}/failed.jsonl lists them",
        )
    if not tally.counts_items:
        message += "; run() returned no results, so items are not counted"
    return Verdict(SUCCEEDED, message + (f", {tally.failed} failed within the thresholds" if tally.failed else ""))


def _has_uncounted_rows(job: Job) -> bool:
    """Return whether the rows of a mini-batch are unknown before it is read, so that an unreadable one has one item."""
    is_counted = job.mini_batch.unit == ROWS and not job.partition_keys
    return not is_counted and any(each.tabular is not None for each in job.inputs)


def init_limit(job: Job) -> int:
    """Return the number of failures before run() that may end a step in which no process has reached run()."""
    return max(3, 2 * job.processes_per_worker)


def init_failed(
    job: Job, failures: Mapping[str, int], connected: Collection[str], *, unready: float, error: str
) -> Verdict | None:
    """Return the verdict on a step in which processes fail before run() and none has reached it; None to continue.

    The failures must be of several workers, because a single broken node does not make a broken step.

    Args:
        job: the job.
        failures: number of failed processes by worker.
        connected: the connected workers.
        unready: seconds for which no process has been ready.
        error: message of the last failure.
    """
    count, workers = sum(failures.values()), len(failures)
    if count < init_limit(job):
        return None
    enough = min(job.workers, max(_FAILING_WORKERS, math.ceil(job.workers * _FAILING_SHARE)))
    all_of_them = unready > _ALONE and failures.keys() >= set(connected)
    if workers < enough and not all_of_them:
        return None
    where = "" if job.workers == 1 else f" of {workers} worker{'s' * (workers != 1)}"
    return Verdict(INIT_FAILED, f"{count} processes{where} failed before run(), and none reached it: {error}")


def progress_timeout(timeouts: Timeouts) -> float:
    """Return the seconds without a finished mini-batch after which the step fails."""
    if timeouts.progress_update is not None:
        return timeouts.progress_update
    return 3 * (timeouts.run_invocation + timeouts.task_overhead)


@dataclass
class Clocks:
    """Seconds without progress, not counting time in which the run could not progress."""

    uncut: float = 0.0  # without a first mini-batch; if the step sets no limit, since listing last progressed
    progress: float = 0.0  # without a finished mini-batch, while a process is ready and mini-batches are unfinished
    unready: float = 0.0  # with connected workers, but without a process that has passed init()


def stalled(job: Job, clocks: Clocks) -> Verdict | None:
    """Return the verdict of a time limit that has passed, or None."""
    limits = job.timeouts
    if clocks.unready > limits.init + _STARTING:
        return Verdict(
            NO_PROGRESS,
            f"no process of the connected workers has passed init() for {clocks.unready:.0f} s "
            f"(initTimeoutSeconds is {limits.init:g})",
        )
    if limits.first_task_creation is not None and clocks.uncut > limits.first_task_creation:
        return Verdict(
            FIRST_TASK_TIMEOUT,
            f"no mini-batch was cut within firstTaskCreationTimeoutSeconds ({limits.first_task_creation:g} s)",
        )
    if limits.first_task_creation is None and clocks.uncut > _LISTING:
        return Verdict(
            FIRST_TASK_TIMEOUT,
            f"no mini-batch was cut, and listing the inputs made no progress for {_LISTING:g} s; "
            "set firstTaskCreationTimeoutSeconds if the store needs longer",
        )
    limit = progress_timeout(limits)
    if clocks.progress > limit:
        return Verdict(NO_PROGRESS, f"no mini-batch finished within progressUpdateTimeoutSeconds ({limit:g} s)")
    return None
