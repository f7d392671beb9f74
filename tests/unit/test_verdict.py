"""When a step gives up, and when it has succeeded: tables of what is counted and what follows."""

from dataclasses import replace

import jobs
import pytest

from longshore_coordinator import verdict
from longshore_coordinator.verdict import Clocks, Tally, Verdict
from longshore_protocol.job import (
    APPEND_ROW,
    SUMMARY_ONLY,
    Input,
    MiniBatchSize,
    TabularFormat,
    Thresholds,
    Timeouts,
)


def job(*, action=APPEND_ROW, thresholds=None, timeouts=None, processes=1):
    return jobs.job(
        action=action,
        thresholds=thresholds or Thresholds(),
        timeouts=timeouts or Timeouts(),
        processes_per_worker=processes,
    )


LISTED = Tally(total=10, listed=True)

CROSSED = [
    ("no threshold is set, so nothing is too much", Thresholds(), replace(LISTED, failed=10, items_failed=99), None),
    ("as many failed items as allowed", Thresholds(error_threshold=3), replace(LISTED, items_failed=3), None),
    (
        "one failed item more than allowed",
        Thresholds(error_threshold=3),
        replace(LISTED, items_failed=4),
        Verdict("ErrorThresholdExceeded", "4 items failed, errorThreshold allows 3"),
    ),
    (
        "with none allowed, the first failed item is one too many",
        Thresholds(error_threshold=0),
        Tally(total=1, items_failed=1),
        Verdict("ErrorThresholdExceeded", "1 items failed, errorThreshold allows 0"),
    ),
    ("none allowed and none failed", Thresholds(error_threshold=0), LISTED, None),
    ("failed mini-batches do not count as items", Thresholds(error_threshold=0), replace(LISTED, failed=5), None),
    ("as many failed mini-batches as allowed", Thresholds(allowed_failed_count=2), replace(LISTED, failed=2), None),
    (
        "one failed mini-batch more than allowed, though the listing goes on",
        Thresholds(allowed_failed_count=2),
        Tally(total=10, failed=3),
        Verdict("AllowedFailedCountExceeded", "3 mini-batches failed, allowedFailedCount allows 2"),
    ),
    (
        "failed items do not count as mini-batches",
        Thresholds(allowed_failed_count=0),
        replace(LISTED, items_failed=5),
        None,
    ),
    ("exactly the allowed percentage", Thresholds(allowed_failed_percent=20.0), replace(LISTED, failed=2), None),
    (
        "above the allowed percentage",
        Thresholds(allowed_failed_percent=20.0),
        replace(LISTED, failed=3),
        Verdict("AllowedFailedPercentExceeded", "3 of 10 mini-batches failed (30 %), allowedFailedPercent allows 20"),
    ),
    (
        "a percentage is nothing before all mini-batches are known",
        Thresholds(allowed_failed_percent=0.0),
        Tally(total=10, failed=10),
        None,
    ),
    (
        "zero percent allows none",
        Thresholds(allowed_failed_percent=0.0),
        replace(LISTED, failed=1),
        Verdict("AllowedFailedPercentExceeded", "1 of 10 mini-batches failed (10 %), allowedFailedPercent allows 0"),
    ),
    ("a hundred percent allows all", Thresholds(allowed_failed_percent=100.0), replace(LISTED, failed=10), None),
    ("a percentage of no mini-batches", Thresholds(allowed_failed_percent=0.0), Tally(listed=True), None),
    (
        "of several crossed thresholds the items speak first",
        Thresholds(error_threshold=0, allowed_failed_count=0, allowed_failed_percent=0.0),
        replace(LISTED, failed=1, items_failed=1),
        Verdict("ErrorThresholdExceeded", "1 items failed, errorThreshold allows 0"),
    ),
    (
        "each threshold counts by itself: items are ignored, mini-batches are not",
        Thresholds(error_threshold=-1, allowed_failed_count=0),
        replace(LISTED, failed=1, items_failed=10),
        Verdict("AllowedFailedCountExceeded", "1 mini-batches failed, allowedFailedCount allows 0"),
    ),
]


@pytest.mark.parametrize(
    ("thresholds", "tally", "expected"), [case[1:] for case in CROSSED], ids=[c[0] for c in CROSSED]
)
def test_a_threshold_is_crossed_strictly_above_it(thresholds, tally, expected):
    assert verdict.threshold_crossed(job(thresholds=thresholds), tally) == expected


@pytest.mark.parametrize(
    ("thresholds", "fails"),
    [
        (Thresholds(), False),
        (Thresholds(error_threshold=10), False),
        (Thresholds(allowed_failed_count=0), False),
        (Thresholds(allowed_failed_percent=0.0), False),
        (Thresholds(error_threshold=0, allowed_failed_count=0), True),
        (Thresholds(error_threshold=10, allowed_failed_percent=0.0), True),
    ],
    ids=[
        "nothing is counted",
        "items alone are counted",
        "mini-batches are counted, items are ignored",
        "a percentage is counted, items are ignored",
        "both are counted",
        "items and a percentage are counted",
    ],
)
def test_a_short_return_fails_the_mini_batch_where_mini_batches_and_items_are_counted(thresholds, fails):
    assert verdict.short_return_fails(job(thresholds=thresholds)) is fails


ALL_PROCESSED = [
    ("some are still running", Tally(total=3, listed=True, done=1, failed=1, items_succeeded=1), APPEND_ROW, None),
    ("more may come: the listing goes on", Tally(total=3, done=3, items_succeeded=3), APPEND_ROW, None),
    (
        "all are done",
        Tally(total=3, listed=True, done=3, items_succeeded=3),
        APPEND_ROW,
        Verdict("Succeeded", "3 of 3 mini-batches succeeded"),
    ),
    (
        "some have failed, and no threshold minded",
        Tally(total=3, listed=True, done=2, failed=1, items=20, items_succeeded=18, items_failed=2),
        APPEND_ROW,
        Verdict("Succeeded", "2 of 3 mini-batches succeeded, 1 failed within the thresholds"),
    ),
    (
        "nothing was returned, and append_row needs a row",
        Tally(total=3, listed=True, done=2, failed=1, items_failed=3),
        APPEND_ROW,
        Verdict(
            "NoResultToAppend",
            "no succeeded mini-batch item was returned from run(): "
            "2 mini-batches returned nothing, 1 failed; append_row needs at least one row",
        ),
    ),
    (
        "nothing was returned for rows that are not counted as failed, either",
        Tally(total=3, listed=True, done=3, items=7),
        APPEND_ROW,
        Verdict(
            "NoResultToAppend",
            "no succeeded mini-batch item was returned from run(): "
            "3 mini-batches returned nothing, 0 failed; append_row needs at least one row",
        ),
    ),
    (
        "there is no table with rows",
        Tally(listed=True),
        APPEND_ROW,
        Verdict("EmptyInput", 'Input "in" has no rows: every table is empty or has only a header'),
    ),
    (
        "every mini-batch is a header only",
        Tally(total=3, listed=True, done=3),
        APPEND_ROW,
        Verdict("EmptyInput", 'Input "in" has no rows: every table is empty or has only a header'),
    ),
    (
        "a mini-batch without rows failed",
        Tally(total=3, listed=True, done=2, failed=1),
        APPEND_ROW,
        Verdict(
            "NoResultToAppend",
            "no succeeded mini-batch item was returned from run(): "
            "2 mini-batches returned nothing, 1 failed; append_row needs at least one row",
        ),
    ),
    (
        "there is no table with rows, and summary_only needs none",
        Tally(listed=True),
        SUMMARY_ONLY,
        Verdict("Succeeded", "0 of 0 mini-batches succeeded"),
    ),
    (
        "nothing was returned, and summary_only needs none",
        Tally(total=3, listed=True, done=3, items=3, counts_items=False),
        SUMMARY_ONLY,
        Verdict("Succeeded", "3 of 3 mini-batches succeeded; run() returned no results, so items are not counted"),
    ),
    (
        "even all failed mini-batches are within thresholds that are off",
        Tally(total=3, listed=True, failed=3, items=3, items_failed=3),
        SUMMARY_ONLY,
        Verdict(
            "SucceededWithFailures",
            "0 of 3 mini-batches succeeded; 3 of 3 items failed (100 %, failedItemsWarningPercent is 10): "
            "a, b, 1 more; /run/failed.jsonl lists them",
        ),
    ),
    (
        "more items failed than the warning allows",
        Tally(total=3, listed=True, done=3, items=19, items_succeeded=17, items_failed=2),
        APPEND_ROW,
        Verdict(
            "SucceededWithFailures",
            "3 of 3 mini-batches succeeded; 2 of 19 items failed (10.5 %, failedItemsWarningPercent is 10): a, b; "
            "/run/failed.jsonl lists them",
        ),
    ),
]


@pytest.mark.parametrize(
    ("tally", "action", "expected"), [case[1:] for case in ALL_PROCESSED], ids=[c[0] for c in ALL_PROCESSED]
)
def test_a_step_ends_when_every_mini_batch_has_ended(tally, action, expected):
    found = verdict.all_processed(job(action=action), tally, lambda: ["a", "b"])
    assert found == expected
    assert found is None or found.succeeded == expected.reason.startswith("Succeeded")


SHARES = [(0.0, 1, True), (0.0, 0, False), (10.0, 10, False), (10.0, 11, True), (99.5, 100, True), (100.0, 100, False)]


@pytest.mark.parametrize(("percent", "failed", "warns"), SHARES)
def test_a_success_is_one_with_failures_strictly_above_the_share_of_failed_items(percent, failed, warns):
    thresholds = Thresholds(failed_items_warning_percent=percent)
    tally = Tally(total=5, listed=True, done=5, items=100, items_failed=failed, items_succeeded=100 - failed)
    found = verdict.all_processed(job(action=SUMMARY_ONLY, thresholds=thresholds), tally, list)
    assert found.reason == ("SucceededWithFailures" if warns else "Succeeded")


UNCOUNTED = [(10, 1, False), (10, 2, True), (85, 9, True), (100, 9, False)]


@pytest.mark.parametrize(("percent", "failed", "warns"), UNCOUNTED)
@pytest.mark.parametrize("cut", ["by bytes", "by keys", "by rows", "files"])
def test_failed_tables_of_unknown_length_count_as_mini_batches(cut, percent, failed, warns):
    step = job(action=SUMMARY_ONLY, thresholds=Thresholds(failed_items_warning_percent=percent))
    if cut != "files":
        table = (Input("in", ("/in",), tabular=TabularFormat("csv")),)
        size = MiniBatchSize("bytes" if cut == "by bytes" else "rows", 1)
        step = replace(step, inputs=table, mini_batch=size, partition_keys=("k",) if cut == "by keys" else ())
    rows = 1000 * (10 - failed)
    tally = Tally(total=10, listed=True, done=10 - failed, failed=failed, items=rows + failed, items_failed=failed)
    found = verdict.all_processed(step, tally, list)
    warns = warns and cut in ("by bytes", "by keys")
    assert found.reason == ("SucceededWithFailures" if warns else "Succeeded")
    assert (f"; {failed} of 10 mini-batches failed ({10 * failed} %, " in found.message) is warns


@pytest.mark.parametrize(
    ("action", "threshold", "counts"),
    [(APPEND_ROW, -1, True), (APPEND_ROW, 0, True), (SUMMARY_ONLY, 0, True), (SUMMARY_ONLY, -1, False)],
)
def test_a_script_may_return_nothing_where_neither_rows_nor_items_are_asked_for(action, threshold, counts):
    thresholds = Thresholds(error_threshold=threshold)
    assert verdict.counts_empty_returns(job(action=action, thresholds=thresholds)) is counts


def test_several_inputs_without_rows_are_named_and_a_sample_without_rows_is_none():
    two = replace(job(), inputs=(Input("a", ("/a",)), Input("b", ("/b",))))
    found = verdict.all_processed(two, Tally(listed=True), list)
    assert found == Verdict("EmptyInput", 'Inputs "a" and "b" have no rows: every table is empty or has only a header')
    sampled = verdict.all_processed(replace(two, sample=1), Tally(total=1, listed=True, done=1), list)
    assert sampled is not None
    assert sampled.reason == "NoResultToAppend"


@pytest.mark.parametrize(("processes", "limit"), [(1, 3), (2, 4), (8, 16)])
def test_init_may_fail_twice_in_each_process_of_a_worker_and_at_least_three_times(processes, limit):
    assert verdict.init_limit(job(processes=processes)) == limit


NO_MINI_BATCH = "no mini-batch was cut within firstTaskCreationTimeoutSeconds (50 s)"
NO_LISTING = (
    "no mini-batch was cut, and listing the inputs made no progress for 600 s; "
    "set firstTaskCreationTimeoutSeconds if the store needs longer"
)
STALLED = [
    ("nothing waits for anything", None, Clocks(), None),
    ("the first mini-batch is due, and not overdue", 50.0, Clocks(uncut=50.0), None),
    ("the first mini-batch is overdue", 50.0, Clocks(uncut=50.1), Verdict("FirstTaskCreationTimeout", NO_MINI_BATCH)),
    ("listing halts", None, Clocks(uncut=600.0), None),
    ("listing has halted for too long", None, Clocks(uncut=600.1), Verdict("FirstTaskCreationTimeout", NO_LISTING)),
    ("the next end is due, and not overdue", None, Clocks(progress=270.0), None),
    (
        "the next end is overdue",
        None,
        Clocks(progress=270.1),
        Verdict("NoProgress", "no mini-batch finished within progressUpdateTimeoutSeconds (270 s)"),
    ),
]


@pytest.mark.parametrize(("first", "clocks", "expected"), [case[1:] for case in STALLED], ids=[c[0] for c in STALLED])
def test_a_step_that_stands_still_is_ended(first, clocks, expected):
    assert verdict.stalled(job(timeouts=Timeouts(first_task_creation=first)), clocks) == expected


def test_the_time_without_progress_follows_the_time_of_a_mini_batch_unless_it_is_set():
    assert verdict.progress_timeout(Timeouts(run_invocation=100, task_overhead=20)) == 360
    assert verdict.progress_timeout(Timeouts(run_invocation=100, task_overhead=20, progress_update=7)) == 7


def test_workers_that_are_connected_must_have_a_process_past_init_within_the_time_for_init_and_a_minute():
    def judge(seconds):
        return verdict.stalled(job(), Clocks(unready=seconds))

    limit = job().timeouts.init + 60.0
    assert judge(limit) is None
    found = judge(limit + 1)
    assert found.reason == verdict.NO_PROGRESS
    assert "no process of the connected workers has passed init()" in found.message


ONE, THREE, HUNDRED = {"workers": 1}, {"workers": 3}, {"workers": 100}
INIT = [
    ("the one worker's processes fail", ONE, {"w0": 3}, {"w0"}, 0.0, True),
    ("and may fail twice", ONE, {"w0": 2}, {"w0"}, 0.0, False),
    ("one node of a hundred is broken", HUNDRED, {"w0": 50}, {"w0", "w1"}, 600.0, False),
    (
        "three nodes of a hundred are broken",
        HUNDRED,
        {"w0": 9, "w1": 9, "w2": 9},
        {"w0", "w1", "w2", "w3"},
        600.0,
        False,
    ),
    ("a tenth of a hundred workers fails", HUNDRED, {f"w{number}": 1 for number in range(10)}, set(), 0.0, True),
    ("one worker of three fails", THREE, {"w0": 9}, {"w0"}, 119.0, False),
    ("and no other comes", THREE, {"w0": 9}, {"w0"}, 121.0, True),
    ("two of three fail, and the third starts", THREE, {"w0": 9, "w1": 1}, {"w0", "w1", "w2"}, 600.0, False),
    ("all three fail", THREE, {"w0": 1, "w1": 1, "w2": 1}, {"w0", "w1", "w2"}, 0.0, True),
]


@pytest.mark.parametrize(
    ("workers", "failures", "connected", "unready", "ends"), [case[1:] for case in INIT], ids=[c[0] for c in INIT]
)
def test_a_step_is_broken_where_several_workers_are(workers, failures, connected, unready, ends):
    found = verdict.init_failed(replace(job(), **workers), failures, connected, unready=unready, error="no")
    assert (found is not None) == ends
    assert found is None or found.reason == "InitFailed"
    assert found is None or found.message.endswith(" failed before run(), and none reached it: no")
