"""What a run leaves behind: progress lines, tables and the list of what was lost."""

import csv
import io

import pytest
from reported import START, attempts, describe, done, lost, opened, summary_of, table, tried

from longshore_coordinator.reports import (
    Progress,
    ProgressOverview,
    Tried,
    node_summary,
    process_summary,
    processed_mini_batches,
    progress_line,
)
from longshore_protocol import errors
from longshore_protocol.wire import Failure
from longshore_storage.store import LocalStore


@pytest.fixture(autouse=True)
def _closed():
    """Close the attempts that a test made, which hold a temporary file."""
    yield
    while opened:
        opened.pop().__exit__(None, None, None)


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
def test_a_progress_line_states_how_far_the_run_is(progress, expected):
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


def test_the_list_of_the_lost_has_a_line_per_mini_batch_that_failed_permanently():
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


def test_a_mini_batch_that_failed_permanently_in_two_runs_of_a_resumed_step_is_lost_once():
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
def test_what_was_retried_since_did_not_fail_permanently(failed, committed, count):
    assert f"; failed permanently: {count}\n" in summary_of(failed, committed)


@pytest.mark.parametrize("message", ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x")'])
def test_no_cell_is_a_formula(message):
    failure = Failure(1, 1, 1, 0, errors.USER_ERROR, message, "", START, 0.1, "log")
    table = "".join(processed_mini_batches(attempts([], [Tried("=node", failure, terminal=True)]), describe))
    (row,) = csv.DictReader(io.StringIO(table))
    assert (row["Error Message"], row["Node"]) == (f"'{message}", "'=node")
    assert lost([Tried("w", failure, terminal=True)])[0]["message"] == message
