"""Start of a coordinator in a claimed run: continue it, retry failed mini-batches, or refuse. Functions block."""

from __future__ import annotations

from dataclasses import dataclass

from longshore_coordinator import verdict as verdicts
from longshore_coordinator.assembly import AssemblyError, require_packages
from longshore_coordinator.code import SOURCE_CONTENT, changes, code_of, refusal
from longshore_coordinator.ends import begin_retry, is_finished, latest_end
from longshore_coordinator.finish import keeps_rows
from longshore_coordinator.ledger import Ledger
from longshore_coordinator.restore import Restored
from longshore_coordinator.verdict import Verdict
from longshore_protocol.job import Job
from longshore_protocol.snapshot import Snapshot
from longshore_storage.code_files import combined_digest
from longshore_storage.store import Store

_NO_ROWS = (
    "the failed mini-batches cannot be retried: the output also needs the rows of the other mini-batches, which are no "
    "longer in state/segments; start a new run"
)


@dataclass(frozen=True)
class Start:
    """How a coordinator starts."""

    verdict: Verdict | None = None  # of a run that needs no work, or must not be resumed
    earlier: Snapshot | None = None  # the last snapshot of a run that has succeeded
    code: str = ""  # digest of the source, "" if unknown
    codes: int = 1  # number of versions of the code that may have completed mini-batches, including this epoch's


def begin(job: Job, store: Store, ledger: Ledger, restored: Restored, *, resumed: bool) -> Start:
    """Record the code of this epoch and the start of a requested retry; return how the coordinator starts.

    A succeeded run is finished, unless its failed mini-batches are retried. A resume with other code or settings that
    the user has not accepted is refused before anything changes, as is one whose output cannot be assembled here.

    Args:
        job: the job.
        store: store of the run folder.
        ledger: ledger of this epoch.
        restored: state of the earlier epochs.
        resumed: whether a user resumed the run, rather than a restart of the coordinator.

    Raises:
        OSError: the run folder cannot be read or written.
    """
    end = latest_end(store)
    is_retry = False
    if end is not None and is_finished(store, end):
        is_retry = resumed and job.retry_failed and end.last.mini_batches.failed > 0
        if not is_retry:
            return Start(Verdict(end.last.reason or verdicts.SUCCEEDED, end.last.message), end.last)
        if not keeps_rows(job, store, end.last):
            return Start(Verdict(verdicts.NOT_RETRYABLE, _NO_ROWS))
    code = code_of(job)
    found = changes(restored.codes[-1], code) if restored.codes else []
    if found and resumed and not job.accept_changed_code:
        return Start(Verdict(verdicts.CODE_CHANGED, refusal(found)))
    try:
        require_packages(job)
    except AssemblyError as error:
        return Start(Verdict(verdicts.OUTPUT_ERROR, str(error)))
    if is_retry:
        begin_retry(store, ledger.epoch)
    ledger.append({"code": {"epoch": ledger.epoch, **code}})
    digest = combined_digest(job.code) or code["digests"].get(SOURCE_CONTENT, "")
    return Start(code=digest, codes=len(restored.codes) + bool(found or not restored.codes))
