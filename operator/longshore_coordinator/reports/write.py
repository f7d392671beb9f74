"""Writes the reports of a finished run into its folder."""

from __future__ import annotations

from collections.abc import Iterable

from longshore_coordinator.reports.records import Describe, Done, Outcome, Tried, encoded
from longshore_coordinator.reports.tables import failed_jsonl, node_summary, process_summary, processed_mini_batches
from longshore_coordinator.reports.texts import error_summary, error_text, readme_txt, result_text
from longshore_coordinator.reports.work import work_logs
from longshore_protocol import errors
from longshore_storage.store import Store

_JOB_REPORT = "logs/sys/job_report/"


def write_reports(
    store: Store, outcome: Outcome, *, done: Iterable[Done], tried: Iterable[Tried], describe: Describe
) -> None:
    """Write every report into the store on the run folder; those of an earlier end of the same run are replaced.

    A mini-batch that a resumed run committed after all is not among the failed. Blocks; raises OSError.
    """
    done, tried = list(done), list(tried)
    committed = {each.completion.mini_batch for each in done}
    lost = [each for each in tried if each.failure.mini_batch not in committed]
    texts = {
        "failed.jsonl": failed_jsonl(lost, describe),
        "logs/readme.txt": readme_txt(),
        "logs/job_result.txt": result_text(outcome),
        _JOB_REPORT + "processed_mini-batches.csv": processed_mini_batches(done, tried, describe),
        _JOB_REPORT + "process_summary.csv": process_summary(done, tried),
        _JOB_REPORT + "node_summary.csv": node_summary(done, tried),
        **{"logs/sys/node/" + name: text for name, text in work_logs(done, tried).items()},
    }
    for name, text in texts.items():
        store.put(name, encoded(text))
    system = [each for each in tried if each.failure.category == errors.SYSTEM]
    others = [each for each in tried if each.failure.category != errors.SYSTEM]
    _put_or_delete(store, "logs/job_error.txt", "" if outcome.succeeded else error_text(outcome))
    _put_or_delete(store, "logs/user/error.txt", error_summary(others))
    _put_or_delete(store, "logs/sys/error.txt", error_summary(system))


def _put_or_delete(store: Store, name: str, text: str) -> None:
    if text:
        store.put(name, encoded(text))
    else:
        store.delete(name)
