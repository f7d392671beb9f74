"""What a run leaves behind: progress lines, verdict, grouped errors, tables and the list of what was lost."""

import csv
import dataclasses
import io
import itertools
import json

import pytest

from longshore_coordinator.reports import (
    Attempts,
    Done,
    Outcome,
    Progress,
    ProgressOverview,
    Tried,
    error_summary,
    error_text,
    failed_jsonl,
    node_summary,
    process_summary,
    processed_mini_batches,
    progress_line,
    readme_txt,
    result_text,
    write_reports,
)
from longshore_protocol import errors
from longshore_protocol.wire import Completion, Failure
from longshore_storage.store import LocalStore

START = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


def describe(mini_batch):
    return {"input": "images", "items": [f"/data/{mini_batch}.png"]}


def names(mini_batch):
    return [f"/data/{mini_batch}.png"]


def done(mini_batch, *, worker="node-0", attempt=1, tries=1, succeeded=5, items=5, process=0, at=0.0):
    completion = Completion(
        mini_batch,
        attempt,
        offset=0,
        length=10,
        succeeded=succeeded,
        items=items,
        header=-1,
        process=process,
        started_us=int((START + at) * 1e6),
        elapsed_us=2_000_000,
        run_us=1_500_000,
        cpu_us=500_000,
    )
    return Done(worker, completion, tries)


def tried(
    mini_batch,
    *,
    worker="node-0",
    attempt=1,
    terminal=False,
    category=errors.USER_ERROR,
    message="ValueError: no digit",
    process=0,
    items=5,
    traceback="",
):
    log = "logs/user/error/node-0/process000.txt"
    failure = Failure(mini_batch, attempt, items, process, category, message, traceback, START, 1.0, log)
    return Tried(worker, failure, terminal)


def records(committed=(), failed=()):
    """The ledger's records of these attempts."""
    for worker, completion, _ in committed:
        yield {"done": {"worker": worker, "mini_batches": [list(completion)]}}
    for worker, failure, terminal, *_ in failed:
        yield {"tried": {"worker": worker, "terminal": terminal, "failure": list(failure)}}


opened = []


@pytest.fixture(autouse=True)
def _closed():
    """Close the attempts that a test made, which hold a temporary file."""
    yield
    while opened:
        opened.pop().__exit__(None, None, None)


def attempts(committed=(), failed=(), **options):
    opened.append(Attempts.of(records(committed, failed), **options))
    return opened[-1]


def summary_of(failed, committed=()):
    kinds = attempts(committed, failed).count_kinds()
    return error_summary(kinds.ranked(), names=names, others=kinds.others)


OUTCOME = Outcome(
    name="digits",
    run_id="20270115-1",
    succeeded=True,
    message="all 3 mini-batches were processed",
    started=START,
    finished=START + 3723.9,
    mini_batches=3,
    mini_batches_succeeded=3,
    mini_batches_failed=0,
    mini_batches_retried=1,
    items=15,
    items_succeeded=14,
    items_failed=1,
    output="/out/mnist_outputs.txt",
    rows=14,
    bytes=140,
)
FAILED = dataclasses.replace(
    OUTCOME,
    succeeded=False,
    message="errorThreshold is 10 and 15 items failed",
    mini_batches=None,
    output="",
    first_error=tried(1, traceback="Traceback (most recent call last):\n  ...\nValueError: no digit"),
)


def table(parts):
    return list(csv.DictReader(io.StringIO("".join(parts))))


LINES = {
    "while the inputs are listed": (
        Progress(120, scheduling_finished=False, scheduling_seconds=2.6, items=1200, processed=0, elapsed=3.0),
        (
            "120 mini batches scheduled so far, with 1200 items in 3 seconds; "
            "no task has been processed yet, after 0:00:03"
        ),
    ),
    "while the inputs are listed and work has begun": (
        Progress(120, scheduling_finished=False, scheduling_seconds=2.0, items=1200, processed=7, elapsed=61.0),
        "120 mini batches scheduled so far, with 1200 items in 2 seconds; processed 7 of 120 mini batches in 0:01:01",
    ),
    "when all is known": (
        Progress(
            200,
            scheduling_finished=True,
            scheduling_seconds=4.0,
            items=2000,
            processed=50,
            elapsed=3600,
            remaining=90061,
        ),
        (
            "scheduling finished: 200 mini batches with 2000 items in 4 seconds; "
            "processed 50 of 200 mini batches in 1:00:00, estimated remaining 25:01:01"
        ),
    ),
}


@pytest.mark.parametrize(("progress", "expected"), LINES.values(), ids=LINES.keys())
def test_a_progress_line_says_how_far_the_run_is(progress, expected):
    assert progress_line(progress) == expected


def test_the_overview_keeps_an_hours_lines_in_one_object_and_begins_another_with_the_next_hour(tmp_path):
    store = LocalStore(str(tmp_path))
    times = iter([START + 10, START + 20, START + 3600])
    overview = ProgressOverview(store, lambda: next(times))
    for line in ("first", "second", "third"):
        overview.write(line)
    assert store.get("logs/job_progress_overview.2027011508.txt").decode() == (
        "2027-01-15 08:00:10 UTC  first\n2027-01-15 08:00:20 UTC  second\n"
    )
    assert store.get("logs/job_progress_overview.2027011509.txt").decode() == "2027-01-15 09:00:00 UTC  third\n"


def test_the_overview_of_a_resumed_run_keeps_what_the_same_hour_held_before(tmp_path):
    store = LocalStore(str(tmp_path))
    for line in ("before", "after"):
        ProgressOverview(store, lambda: START).write(line)
    assert [line.split()[-1] for line in store.get(store.names()[0]).decode().splitlines()] == ["before", "after"]


def test_the_overview_of_an_hour_stays_bounded(tmp_path):
    store = LocalStore(str(tmp_path))
    store.put("logs/job_progress_overview.2027011508.txt", b"old\n" * 5000)
    ProgressOverview(store, lambda: START).write("new")
    lines = store.get(store.names()[0]).decode().splitlines()
    assert (len(lines), lines[-1].split()[-1]) == (2000, "new")


def test_the_attempts_stand_by_mini_batch_and_attempt_with_their_status():
    rows = table(
        processed_mini_batches(
            attempts(
                [done(1, attempt=3, succeeded=4, process=1), done(0)],
                [tried(2, terminal=True, process=-1, items=-1, category=errors.DATA_ERROR, message="gone"), tried(1)],
            ),
            describe,
        )
    )
    assert [(row["Mini-batch ID"], row["Picked Count"], row["Status"]) for row in rows] == [
        ("0", "1", "RUN_DONE"),
        ("1", "1", "RUN_EXCEPTION"),
        ("1", "2", "RUN_DONE"),
        ("2", "1", "LOAD_FAILED"),
    ]
    assert rows[2] == {
        "Mini-batch ID": "1",
        "Picked Count": "2",
        "Node": "node-0",
        "Process": "process001",
        "Start Time (UTC)": "2027-01-15 08:00:00",
        "Total": "5",
        "Succeeded": "4",
        "Failed": "1",
        "Elapsed Seconds": "2.000000",
        "Process Seconds": "0.500000",
        "Run Method Seconds": "1.500000",
        "Status": "RUN_DONE",
        "Error Category": "",
        "Error Message": "",
        "Mini-batch Detail": '{"input":"images","items":["/data/1.png"]}',
    }
    assert [rows[3][name] for name in ("Process", "Total", "Failed", "Error Category", "Error Message")] == [
        *("", "", "", "DataError", "gone"),
    ]


def test_more_results_than_items_are_no_failure():
    assert table(processed_mini_batches(attempts([done(0, succeeded=9)]), describe))[0]["Failed"] == "0"


@pytest.mark.parametrize("category", errors.CATEGORIES)
def test_every_category_has_a_status(category):
    rows = table(processed_mini_batches(attempts([], [tried(0, category=category)]), describe))
    assert rows[0]["Error Category"] == category
    assert rows[0]["Status"] not in ("", "RUN_DONE")


def test_a_process_has_one_row_with_the_sums_of_what_it_did():
    rows = table(process_summary(attempts([done(0), done(1, at=10, succeeded=3), done(2, process=1)], [tried(3)])))
    assert [(row["Node"], row["Process"]) for row in rows] == [("node-0", "process000"), ("node-0", "process001")]
    assert list(rows[0].values())[2:] == [
        *("2", "1", "10", "8", "5.000", "1.000", "3.000", "2027-01-15 08:00:00", "2027-01-15 08:00:12")
    ]


def test_a_node_has_one_row_with_its_number_of_processes():
    rows = table(
        node_summary(
            attempts(
                [done(0), done(1, process=1), done(2, worker="node-1")],
                [tried(3, process=2), tried(4, worker="node-2", process=-1)],
            )
        )
    )
    assert [(row["Node"], row["Processes"], row["Mini-batches"], row["Failed Attempts"]) for row in rows] == [
        ("node-0", "3", "2", "1"),
        ("node-1", "1", "1", "0"),
        ("node-2", "0", "0", "1"),
    ]


def lost(failed, committed=(), **options):
    return [json.loads(line) for line in failed_jsonl(attempts(committed, failed, **options), describe)]


def test_the_list_of_the_lost_has_a_line_per_mini_batch_that_failed_for_good():
    found = lost(
        [tried(7, attempt=4, terminal=True, message="again"), tried(7), tried(2), tried(5, terminal=True, items=-1)]
    )
    assert [(record["miniBatch"], record["itemsFailed"]) for record in found] == [(5, None), (7, 5)]
    assert found[1] == {
        "miniBatch": 7,
        "input": "images",
        "items": ["/data/7.png"],
        "itemsFailed": 5,
        "attempts": 2,
        "category": "UserError",
        "message": "again",
        "worker": "node-0",
        "log": "logs/user/error/node-0/process000.txt",
    }


def test_a_mini_batch_with_fewer_results_than_items_is_listed_with_its_items():
    found = lost([tried(1)], [done(0), done(1, attempt=2, succeeded=2), done(2, succeeded=0), done(3, succeeded=9)])
    assert [(each["miniBatch"], each["category"], each["message"], each["itemsFailed"]) for each in found] == [
        (1, "WrongReturn", "run() returned 2 results for 5 items", 3),
        (2, "WrongReturn", "run() returned 0 results for 5 items", 5),
    ]
    assert [each["attempts"] for each in found] == [2, 1]
    assert found[0]["items"] == ["/data/1.png"]


@pytest.mark.parametrize(("counts", "numbers"), [([0, 0], []), ([0, 5], [0]), ([5, 0], [1]), ([0, 3], [0, 1])])
def test_where_a_script_may_return_nothing_it_has_no_failed_items_until_it_has_results(counts, numbers):
    committed = [done(number, succeeded=succeeded) for number, succeeded in enumerate(counts)]
    assert [each["miniBatch"] for each in lost([], committed, counts_empty=False)] == numbers
    rows = table(processed_mini_batches(attempts(committed, counts_empty=False), describe))
    assert [row["Failed"] for row in rows] == (["", ""] if not any(counts) else [str(5 - each) for each in counts])


def test_a_mini_batch_that_failed_for_good_in_two_runs_of_a_resumed_step_is_lost_once():
    found = lost([tried(7, terminal=True), tried(7, attempt=2, terminal=True, message="again")])
    assert [each["message"] for each in found] == ["again"]


@pytest.mark.parametrize(
    ("failed", "committed", "count"),
    [
        ([tried(1, terminal=True)], [], 1),
        ([tried(1, terminal=True)], [done(1, attempt=2)], 0),
        ([tried(1, terminal=True), tried(1, attempt=2, terminal=True)], [], 1),
        ([tried(1, terminal=True), tried(1, attempt=2)], [], 0),
        ([tried(1, terminal=True), tried(2, terminal=True)], [done(1, attempt=2)], 1),
    ],
    ids=["failed", "done since", "failed again", "retried when the run ended", "one of two done since"],
)
def test_what_was_retried_since_did_not_fail_for_good(failed, committed, count):
    assert f"; failed permanently: {count}\n" in summary_of(failed, committed)


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
def test_errors_of_one_type_and_line_are_one_kind_whatever_they_say(several):
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


def test_the_summary_of_errors_is_bounded_and_says_what_it_leaves_out():
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


def test_a_resumed_run_that_succeeds_takes_back_what_the_failed_one_said(tmp_path):
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


@pytest.mark.parametrize("message", ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x")'])
def test_no_cell_is_a_formula(message):
    failure = Failure(1, 1, 1, 0, errors.USER_ERROR, message, "", START, 0.1, "log")
    table = "".join(processed_mini_batches(attempts([], [Tried("=node", failure, terminal=True)]), describe))
    (row,) = csv.DictReader(io.StringIO(table))
    assert (row["Error Message"], row["Node"]) == (f"'{message}", "'=node")
    assert lost([Tried("w", failure, terminal=True)])[0]["message"] == message
