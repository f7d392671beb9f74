"""What a run leaves behind of its errors: grouped errors, the verdict, and which files there are."""

import dataclasses
import itertools
import json

import pytest
from reported import FAILED, OUTCOME, attempts, describe, done, names, opened, summary_of, tried

from longshore_coordinator.reports import (
    error_text,
    readme_txt,
    result_text,
    write_reports,
)
from longshore_protocol import errors
from longshore_storage.store import LocalStore


@pytest.fixture(autouse=True)
def _closed():
    """Close the attempts that a test made, which hold a temporary file."""
    yield
    while opened:
        opened.pop().__exit__(None, None, None)


def test_the_errors_are_grouped_and_the_most_frequent_come_first():
    failed = [tried(number, terminal=number == 1) for number in range(9, 0, -1)]
    failed += [tried(3, attempt=2), tried(4, category=errors.TIMEOUT, message="run() took longer than 60 s")]
    assert summary_of(failed) == (
        "UserError: ValueError: no digit\n"
        "  failed attempts: 10; mini-batches: 9 (1, 2, 3, 4, 5, ...); failed permanently: 1\n"
        "  items of mini-batch 1: /data/1.png\n"
        "  log: logs/user/error/node-0/process000.txt\n"
        "\n"
        "Timeout: run() took longer than 60 s\n"
        "  failed attempts: 1; mini-batches: 1 (4); failed permanently: 0\n"
        "  items of mini-batch 4: /data/4.png\n"
        "  log: logs/user/error/node-0/process000.txt\n"
    )


TRACEBACK = 'Traceback (most recent call last):\n  File "score.py", line 7, in run\n    return model(x)\n{}'
ONE_KIND = {
    "of one line, with another value": [
        {"message": f"ValueError: cannot score {name}", "traceback": TRACEBACK.format(f"ValueError: {name}")}
        for name in ("/in/a", "/in/b")
    ],
    "without a traceback, of another number": [
        {"message": f"run() returned {number} results for 5 items", "category": errors.WRONG_RETURN}
        for number in (1, 3)
    ],
    "without a traceback, of another file": [
        {"message": f"/in/{name}.csv has no header", "category": errors.DATA_ERROR} for name in ("a", "b")
    ],
    "without a traceback, of another name": [
        {"message": f"column {name!r} is missing", "category": errors.DATA_ERROR} for name in ("x", "two words")
    ],
    "of one text": [{"message": "KeyError: 'x'"}, {"message": "KeyError: 'x'"}],
}
TWO_KINDS = {
    "another line": [{"traceback": TRACEBACK.format("")}, {"traceback": TRACEBACK.replace("7", "8").format("")}],
    "another type": [{"message": "ValueError: a"}, {"message": "KeyError: a"}],
    "another type in one line": [
        {"message": f"{kind}: a", "traceback": TRACEBACK.format("")} for kind in ("ValueError", "KeyError")
    ],
    "another category": [{"category": errors.TIMEOUT}, {"category": errors.PROCESS_DIED}],
    "another text": [{"message": "the file is empty"}, {"message": "the file is absent"}],
    "another way to one line": [
        {"traceback": TRACEBACK.format('  File "lib.py", line 1, in f')},
        {"traceback": TRACEBACK.replace("7", "8").format('  File "lib.py", line 1, in f')},
    ],
}


@pytest.mark.parametrize("several", ONE_KIND.values(), ids=ONE_KIND.keys())
def test_errors_of_one_type_and_line_are_one_kind_whatever_they_state(several):
    text = summary_of([tried(number, **each) for number, each in enumerate(several)])
    assert text.count("failed attempts: 2") == 1
    differ = len({each["message"] for each in several}) > 1
    assert text.splitlines()[0].endswith(" (and other texts of this kind)") == differ
    assert several[0]["message"] in text.splitlines()[0]


@pytest.mark.parametrize("several", TWO_KINDS.values(), ids=TWO_KINDS.keys())
def test_errors_of_another_type_or_line_are_of_another_kind(several):
    text = summary_of([tried(number, **each) for number, each in enumerate(several)])
    assert text.count("failed attempts: 1;") == 2


def test_short_returns_are_among_the_errors():
    text = summary_of([], [done(3, succeeded=4), done(4, succeeded=2), done(5)])
    assert text.startswith("WrongReturn: run() returned 4 results for 5 items (and other texts of this kind)\n")
    assert "failed attempts: 2; mini-batches: 2 (3, 4); failed permanently: 0" in text


def test_the_summary_of_errors_does_not_depend_on_the_order_of_the_attempts():
    failed = [tried(number, message=f"row {'ab'[number % 2]}", traceback=f"at {number}") for number in range(4)]
    summaries = {summary_of(order) for order in itertools.permutations(failed)}
    assert len(summaries) == 1
    assert "  | at 0\n" in summaries.pop()


def letters(number):
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def test_the_summary_of_errors_is_bounded_and_states_what_it_leaves_out():
    text = summary_of(tried(number, message=f"row {letters(number)}") for number in range(1203))
    assert text.count("UserError: ") == 100
    assert text.endswith("1103 failed attempts of rarer kinds are left out here.\n")


def test_the_verdict_names_reason_counts_duration_and_output():
    assert result_text(OUTCOME) == (
        "Verdict:      Succeeded\n"
        "Reason:       all 3 mini-batches were processed\n"
        "Step:         digits, run 20270115-1\n"
        "Started:      2027-01-15 08:00:00 UTC\n"
        "Duration:     1:02:03\n"
        "Mini-batches: 3 in all, 3 succeeded, 0 failed, 1 retried\n"
        "Items:        15 processed, 14 succeeded, 1 failed\n"
        "Output:       /out/mnist_outputs.txt, 14 rows, 140 bytes\n"
    )


def test_the_verdict_warns_of_failed_items_and_of_more_results_than_items():
    text = result_text(dataclasses.replace(OUTCOME, with_failures=True, warning="run() returned 6 results for 5 items"))
    assert text.startswith("Verdict:      Succeeded with failures\n")
    assert text.endswith("Warning:      run() returned 6 results for 5 items\n")


def test_the_first_error_names_its_items():
    outcome = dataclasses.replace(FAILED, first_items=("/data/1.png", "/data/2.png"))
    assert result_text(outcome).endswith("ValueError: no digit\nIts items:    /data/1.png, /data/2.png\n")
    assert "ValueError: no digit\nIts items: /data/1.png, /data/2.png\n" in error_text(outcome)


def test_the_verdict_of_a_failed_run_names_the_first_error():
    text = result_text(FAILED)
    assert text.startswith("Verdict:      Failed\nReason:       errorThreshold is 10 and 15 items failed\n")
    assert "Mini-batches: not all cut, " in text
    assert "Output:" not in text
    assert text.endswith(
        "First error:  UserError in mini-batch 1, attempt 1, process000 of node-0: ValueError: no digit\n"
    )


def test_an_error_of_init_belongs_to_no_mini_batch():
    text = result_text(dataclasses.replace(FAILED, first_error=tried(-1, message="no model", process=-1)))
    assert text.endswith("First error:  UserError while starting, node-0: no model\n")


def write(store, outcome, committed, failed):
    with attempts(committed, failed) as found:
        write_reports(store, outcome, found, describe=describe, names=names)


ALWAYS = {
    "failed.jsonl",
    "logs/job_result.txt",
    "logs/readme.txt",
    "logs/sys/job_report/node_summary.csv",
    "logs/sys/job_report/process_summary.csv",
    "logs/sys/job_report/processed_mini-batches.csv",
}
WORK = "logs/sys/node/node-0/process000.txt"  # of the one process that did something
ON_ERRORS = {"logs/job_error.txt", "logs/user/error.txt", "logs/sys/error.txt"}


def test_a_failed_run_leaves_every_report_with_user_and_system_errors_apart(tmp_path):
    store = LocalStore(str(tmp_path))
    failed = [tried(1, terminal=True), tried(2, category=errors.SYSTEM, message="the bucket did not answer")]
    write(store, FAILED, [done(2)], failed)
    assert set(store.names()) == ALWAYS | ON_ERRORS | {WORK}
    assert store.get("logs/user/error.txt").startswith(b"UserError: ValueError: no digit\n")
    assert store.get("logs/sys/error.txt").startswith(b"System: the bucket did not answer\n")
    assert b"\n" in store.get("failed.jsonl")
    assert store.get("logs/job_error.txt").decode() == (
        "errorThreshold is 10 and 15 items failed\n\n"
        "First error: UserError in mini-batch 1, attempt 1, process000 of node-0: ValueError: no digit\n\n"
        "Traceback (most recent call last):\n  ...\nValueError: no digit\n\n"
        "Log: logs/user/error/node-0/process000.txt\n"
    )


def test_a_resumed_run_that_succeeds_takes_back_what_the_failed_one_stated(tmp_path):
    store = LocalStore(str(tmp_path))
    write(store, FAILED, [], [tried(1, terminal=True)])
    write(store, OUTCOME, [done(1, attempt=2)], [tried(1, terminal=True)])
    assert store.get("failed.jsonl") == b""
    assert set(store.names()) == ALWAYS | {"logs/user/error.txt", WORK}
    write(store, OUTCOME, [done(1)], [])
    assert set(store.names()) == ALWAYS | {WORK}


def test_a_file_name_that_is_no_utf8_can_be_reported(tmp_path):
    store = LocalStore(str(tmp_path))
    with attempts(failed=[tried(1, terminal=True, message="\udce9 is no digit")]) as found:
        write_reports(
            store, FAILED, found, describe=lambda _: {"input": "in", "items": ["\udce9"]}, names=lambda _: ["\udce9"]
        )
    assert json.loads(store.get("failed.jsonl"))["items"] == ["\udce9"]


def test_the_readme_names_every_report_of_the_logs():
    named = {name for name in ALWAYS | ON_ERRORS if name.removeprefix("logs/") in readme_txt()}
    assert named == (ALWAYS | ON_ERRORS) - {"logs/readme.txt"}
