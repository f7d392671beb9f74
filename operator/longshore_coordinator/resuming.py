"""What a coordinator that has claimed a run may do in it: go on, retry what failed, or nothing. Blocking."""

from __future__ import annotations

from dataclasses import dataclass

from longshore_coordinator import verdict as verdicts
from longshore_coordinator.assembly import AssemblyError, require_packages
from longshore_coordinator.code import changes, code_of, refusal
from longshore_coordinator.ends import begin_retry, is_finished, latest_end
from longshore_coordinator.finish import keeps_rows
from longshore_coordinator.ledger import Ledger
from longshore_coordinator.restore import Restored
from longshore_coordinator.verdict import Verdict
from longshore_protocol.job import Job
from longshore_protocol.snapshot import Snapshot
from longshore_storage.store import Store

_NO_ROWS = (
    "the failed mini-batches cannot be retried: the output needs the rows of the others, too, and these are not in "
    "state/segments any more; start a new run"
)


@dataclass(frozen=True)
class Beginning:
    """How a coordinator begins."""

    verdict: Verdict | None = None  # of a run in which it has nothing to do
    earlier: Snapshot | None = None  # the last one of a run that has succeeded
    codes: int = 1  # different ones with which mini-batches were completed or may be, this epoch's included


def begin(job: Job, store: Store, ledger: Ledger, restored: Restored, *, resumed: bool) -> Beginning:
    """Record the code of this epoch, and begin a retry where one is asked for; return what there is to do.

    `resumed` says that a user asked for it, and not a restart. A run that succeeded is finished unless its failed
    mini-batches are to be retried. One that is resumed with other code or settings is refused, before anything of it
    changes, unless its user accepts that; so is one whose output could not be assembled here. Raises OSError.
    """
    end = latest_end(store)
    is_retry = False
    if end is not None and is_finished(store, end):
        is_retry = resumed and job.retry_failed and end.last.mini_batches.failed > 0
        if not is_retry:
            return Beginning(Verdict(end.last.reason or verdicts.SUCCEEDED, end.last.message), end.last)
        if not keeps_rows(job, store, end.last):
            return Beginning(Verdict(verdicts.NOT_RETRYABLE, _NO_ROWS))
    code = code_of(job)
    found = changes(restored.codes[-1], code) if restored.codes else []
    if found and resumed and not job.accept_changed_code:
        return Beginning(Verdict(verdicts.CODE_CHANGED, refusal(found)))
    try:
        require_packages(job)
    except AssemblyError as error:
        return Beginning(Verdict(verdicts.OUTPUT_ERROR, str(error)))
    if is_retry:
        begin_retry(store, ledger.epoch)
    ledger.append({"code": {"epoch": ledger.epoch, **code}})
    return Beginning(codes=len(restored.codes) + bool(found or not restored.codes))
