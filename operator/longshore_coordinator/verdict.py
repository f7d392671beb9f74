"""When a step ends, and why: the thresholds and time limits, as pure functions.

Thresholds count terminal failures, after the last try; Azure ML's, which counts every failed try, is not reproduced.
"""

from __future__ import annotations

from dataclasses import dataclass

from longshore_protocol.job import APPEND_ROW, Job, Timeouts
from longshore_storage.redaction import redacted

SUCCEEDED = "Succeeded"
INTERRUPTED = "Interrupted"
ERROR_THRESHOLD = "ErrorThresholdExceeded"
ALLOWED_FAILED_COUNT = "AllowedFailedCountExceeded"
ALLOWED_FAILED_PERCENT = "AllowedFailedPercentExceeded"
INIT_FAILED = "InitFailed"
NO_PROGRESS = "NoProgress"
FIRST_TASK_TIMEOUT = "FirstTaskCreationTimeout"
NO_RESULT = "NoResultToAppend"
INPUT_ERROR = "InputError"
EMPTY_INPUT = "EmptyInput"
PLAN_CHANGED = "PlanChanged"
OUTPUT_ERROR = "OutputError"
STORAGE_ERROR = "StorageError"
INTERNAL_ERROR = "InternalError"
SUPERSEDED = "Superseded"


_STARTING = 60.0  # seconds that processes may need to start at all, before import and init()


@dataclass(frozen=True)
class Verdict:
    """How a step ended: a CamelCase reason and one sentence."""

    reason: str
    message: str

    def __post_init__(self) -> None:
        """Hide secrets of URLs, which a store's error may quote."""
        object.__setattr__(self, "message", redacted(self.message))

    @property
    def succeeded(self) -> bool:
        """Tell whether the step reached its end."""
        return self.reason == SUCCEEDED


@dataclass(frozen=True)
class Tally:
    """What has been counted so far; `total` mini-batches, final once `listed`."""

    total: int = 0
    listed: bool = False
    done: int = 0
    failed: int = 0
    items_succeeded: int = 0
    items_failed: int = 0


def threshold_crossed(job: Job, tally: Tally) -> Verdict | None:
    """Return the verdict of the first threshold that is crossed, if one is."""
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
    """Tell whether fewer results than items fail the mini-batch: where failed mini-batches and items both count."""
    limits = job.thresholds
    counts_mini_batches = limits.allowed_failed_count != -1 or limits.allowed_failed_percent is not None
    return counts_mini_batches and limits.error_threshold != -1


def all_processed(job: Job, tally: Tally) -> Verdict | None:
    """Return the verdict when every mini-batch is done or failed; None before."""
    if not tally.listed or tally.done + tally.failed < tally.total:
        return None
    if job.output.action == APPEND_ROW and tally.items_succeeded == 0:
        return Verdict(
            NO_RESULT,
            "no succeeded mini-batch item was returned from run(): "
            f"{tally.done} mini-batches returned nothing, {tally.failed} failed, and append_row needs a row",
        )
    message = f"{tally.done} of {tally.total} mini-batches succeeded"
    return Verdict(SUCCEEDED, message + (f", {tally.failed} failed within the thresholds" if tally.failed else ""))


def init_limit(job: Job) -> int:
    """Return how many processes may fail before run() while none ever came that far."""
    return max(3, 2 * job.processes_per_worker)


def progress_timeout(timeouts: Timeouts) -> float:
    """Return the seconds without a finished mini-batch after which the step fails."""
    if timeouts.progress_update is not None:
        return timeouts.progress_update
    return 3 * (timeouts.run_invocation + timeouts.task_overhead)


def stalled(
    job: Job, *, waited_for_first: float | None, since_progress: float | None, since_connected: float | None
) -> Verdict | None:
    """Return the verdict of a time limit that has passed.

    `waited_for_first`: seconds since the start while no mini-batch is cut yet. `since_progress`: seconds since a
    mini-batch finished, or since the first process was ready; None while no process is ready. `since_connected`:
    seconds that workers are connected and none of their processes is ready; None while one is, or nobody is there.
    """
    if since_connected is not None and since_connected > job.timeouts.init + _STARTING:
        return Verdict(
            NO_PROGRESS,
            f"workers are connected, and for {since_connected:.0f} s none of their processes came through init() "
            f"(initTimeoutSeconds is {job.timeouts.init:g})",
        )
    if waited_for_first is not None and waited_for_first > job.timeouts.first_task_creation:
        return Verdict(
            FIRST_TASK_TIMEOUT,
            f"no mini-batch was cut within firstTaskCreationTimeoutSeconds ({job.timeouts.first_task_creation:g} s)",
        )
    limit = progress_timeout(job.timeouts)
    if since_progress is not None and since_progress > limit:
        return Verdict(NO_PROGRESS, f"no mini-batch finished within progressUpdateTimeoutSeconds ({limit:g} s)")
    return None
