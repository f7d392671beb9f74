"""Write the reports of a finished run to its folder."""

from __future__ import annotations

from collections.abc import Iterable

from longshore_coordinator.reports.attempts import Attempts
from longshore_coordinator.reports.records import Describe, Names, Outcome, encoded
from longshore_coordinator.reports.tables import failed_jsonl, node_summary, process_summary, processed_mini_batches
from longshore_coordinator.reports.texts import error_summary, error_text, readme_txt, result_text
from longshore_coordinator.reports.work import work_logs
from longshore_protocol import errors
from longshore_storage.store import Store

_JOB_REPORT = "logs/sys/job_report/"


def write_reports(store: Store, outcome: Outcome, attempts: Attempts, *, describe: Describe, names: Names) -> None:
    """Write all reports to the store of the run folder, replacing those of an earlier end of the same run.

    Streams each report, so that none is in memory as a whole. Blocks; raises OSError.
    """
    _write(store, "failed.jsonl", failed_jsonl(attempts, describe))
    _write(store, "logs/readme.txt", [readme_txt()])
    _write(store, "logs/job_result.txt", [result_text(outcome)])
    _write(store, _JOB_REPORT + "processed_mini-batches.csv", processed_mini_batches(attempts, describe))
    _write(store, _JOB_REPORT + "process_summary.csv", process_summary(attempts))
    _write(store, _JOB_REPORT + "node_summary.csv", node_summary(attempts))
    for name, lines in work_logs(attempts):
        _write(store, "logs/sys/node/" + name, lines)
    kinds = attempts.count_kinds()
    system = [each for each in kinds.ranked() if each.category == errors.SYSTEM]
    others = [each for each in kinds.ranked() if each.category != errors.SYSTEM]
    _put_or_delete(store, "logs/job_error.txt", "" if outcome.succeeded else error_text(outcome))
    _put_or_delete(store, "logs/user/error.txt", error_summary(others, names=names, others=kinds.others))
    _put_or_delete(store, "logs/sys/error.txt", error_summary(system, names=names))


def _write(store: Store, name: str, parts: Iterable[str]) -> None:
    with store.writer(name) as file:
        for each in parts:
            file.write(encoded(each))


def _put_or_delete(store: Store, name: str, text: str) -> None:
    if text:
        store.put(name, encoded(text))
    else:
        store.delete(name)
