"""When a step ends, and why: the thresholds and time limits, as pure functions.

Thresholds count terminal failures, after the last try; Azure ML's, which counts every failed try, is not reproduced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from longshore_protocol import snapshot
from longshore_protocol.job import APPEND_ROW, ROWS, Job, Timeouts
from longshore_storage.redaction import redacted

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
STORAGE_ERROR = "StorageError"
INTERNAL_ERROR = "InternalError"
SUPERSEDED = "Superseded"
REFUSALS = (CODE_CHANGED, NOT_RETRYABLE)  # to resume a run, before anything of it changes


NAMED_ITEMS = 5  # failed items that a verdict names
_STARTING = 60.0  # seconds that processes may need to start at all, before import and init()
_LISTING = 600.0  # seconds for which listing may stand still before the first mini-batch is cut
# Workers whose processes must all fail before a step counts as broken: three and a tenth, or all that it has...
_FAILING_WORKERS, _FAILING_SHARE = 3, 0.1
_ALONE = 120.0  # ...or all that are connected, once no other has come for so many seconds


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
        return self.reason in (SUCCEEDED, SUCCEEDED_WITH_FAILURES)


@dataclass(frozen=True)
class Tally:
    """What has been counted so far; `total` mini-batches, final once `listed`."""

    total: int = 0
    listed: bool = False
    done: int = 0
    failed: int = 0
    items: int = 0  # of the mini-batches that ended
    items_succeeded: int = 0
    items_failed: int = 0
    counts_items: bool = True  # False: every mini-batch returned nothing, and nothing asks for results


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


def counts_empty_returns(job: Job) -> bool:
    """Tell whether a mini-batch that returns no result at all has failed items, even where no mini-batch has results.

    Not under summary_only without an errorThreshold: such a script may write its own files and return nothing.
    """
    return job.output.action == APPEND_ROW or job.thresholds.error_threshold != -1


def all_processed(job: Job, tally: Tally, failed_items: Callable[[], list[str]]) -> Verdict | None:
    """Return the verdict when every mini-batch is done or failed; None before.

    `failed_items` returns the names of up to NAMED_ITEMS failed items, for a verdict that names them.
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
            f"{tally.done} mini-batches returned nothing, {tally.failed} failed, and append_row needs a row",
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
    """Tell whether a mini-batch that cannot be read is one failed item, however many rows it has."""
    is_counted = job.mini_batch.unit == ROWS and not job.partition_keys
    return not is_counted and any(each.tabular is not None for each in job.inputs)


def init_limit(job: Job) -> int:
    """Return how many processes may fail before run() while none ever came that far."""
    return max(3, 2 * job.processes_per_worker)


def init_failed(
    job: Job, failures: Mapping[str, int], connected: Collection[str], *, unready: float, error: str
) -> Verdict | None:
    """Return the verdict on processes that failed before run() while none ever came that far; None to go on.

    One broken node is not a broken step: the failures must be of several workers. `failures` are the failed processes
    by worker, `connected` the workers that are there, `unready` the seconds for which they have been without a process
    that is ready, `error` the last failure's message.
    """
    count, workers = sum(failures.values()), len(failures)
    if count < init_limit(job):
        return None
    enough = min(job.workers, max(_FAILING_WORKERS, math.ceil(job.workers * _FAILING_SHARE)))
    all_of_them = unready > _ALONE and failures.keys() >= set(connected)
    if workers < enough and not all_of_them:
        return None
    where = "" if job.workers == 1 else f" of {workers} worker{'s' * (workers != 1)}"
    return Verdict(INIT_FAILED, f"{count} processes{where} failed before run(), none came through: {error}")


def progress_timeout(timeouts: Timeouts) -> float:
    """Return the seconds without a finished mini-batch after which the step fails."""
    if timeouts.progress_update is not None:
        return timeouts.progress_update
    return 3 * (timeouts.run_invocation + timeouts.task_overhead)


@dataclass
class Clocks:
    """Seconds for which a run has stood still. Time in which it could not go on is not in them."""

    uncut: float = 0.0  # no mini-batch is cut; where the step sets no limit for that, since listing last progressed
    progress: float = 0.0  # a process is ready, a mini-batch waits or is leased, and none ended
    unready: float = 0.0  # workers are connected, and none of their processes is past init()


def stalled(job: Job, clocks: Clocks) -> Verdict | None:
    """Return the verdict of a time limit that has passed."""
    limits = job.timeouts
    if clocks.unready > limits.init + _STARTING:
        return Verdict(
            NO_PROGRESS,
            f"workers are connected, and for {clocks.unready:.0f} s none of their processes came through init() "
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
