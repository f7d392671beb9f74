"""The work logs: what each process picked and finished."""

from longshore_coordinator.reports import Attempts, Done, Tried, work_logs
from longshore_protocol import errors
from longshore_protocol.wire import Completion, Failure

START = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


def done(mini_batch, *, worker="node-0", process=0, at=0.0, succeeded=5):
    completion = Completion(
        mini_batch, 1, 0, 10, succeeded, 5, -1, process, int((START + at) * 1e6), 2_250_000, 1_500_000, 500_000
    )
    return Done(worker, completion, 1)


def tried(mini_batch, *, worker="node-0", process=0, at=0.0, attempt=1, terminal=False, category=errors.USER_ERROR):
    failure = Failure(mini_batch, attempt, 5, process, category, "ValueError: no digit", "", START + at, 0.5, "")
    return Tried(worker, failure, terminal)


def logs_of(committed, failed):
    records = [{"done": {"worker": each.worker, "mini_batches": [list(each.completion)]}} for each in committed]
    records += [
        {"tried": {"worker": each.worker, "terminal": each.terminal, "failure": list(each.failure)}} for each in failed
    ]
    with Attempts.of(records) as attempts:
        return {name: "".join(lines) for name, lines in work_logs(attempts)}


def test_every_process_of_every_worker_has_a_log_of_its_own():
    logs = logs_of([done(0), done(1, process=1), done(2, worker="node-1")], [tried(3, worker="node-1", process=12)])
    assert list(logs) == [
        "node-0/process000.txt",
        "node-0/process001.txt",
        "node-1/process000.txt",
        "node-1/process012.txt",
    ]


def test_a_log_has_a_line_per_attempt_in_the_order_of_time():
    logs = logs_of(
        [done(7, at=10.5, succeeded=4), done(3, at=4.0)],
        [tried(7, at=0.0), tried(9, at=20.0, attempt=3, terminal=True, category=errors.TIMEOUT)],
    )
    day = "2027-01-15"
    assert logs["node-0/process000.txt"].splitlines() == [
        (
            f"picked {day} 08:00:00.000, finished {day} 08:00:00.500 UTC: "
            "mini-batch 7, attempt 1, RUN_EXCEPTION, 0.5000 s: ValueError: no digit"
        ),
        (
            f"picked {day} 08:00:04.000, finished {day} 08:00:06.250 UTC: "
            "mini-batch 3, attempt 1, RUN_DONE, 2.2500 s with 1.5000 s in run(), 5 of 5 items succeeded"
        ),
        (
            f"picked {day} 08:00:10.500, finished {day} 08:00:12.750 UTC: "
            "mini-batch 7, attempt 1, RUN_DONE, 2.2500 s with 1.5000 s in run(), 4 of 5 items succeeded"
        ),
        (
            f"picked {day} 08:00:20.000, finished {day} 08:00:20.500 UTC: "
            "mini-batch 9, attempt 3, RUN_TIMEOUT, 0.5000 s, the last try: ValueError: no digit"
        ),
    ]


def test_a_process_that_never_came_to_run_reports_it():
    logs = logs_of([], [tried(-1, attempt=0)])
    assert logs == {
        "node-0/process000.txt": "ended 2027-01-15 08:00:00.000 UTC before run(): RUN_EXCEPTION: ValueError: no digit\n"
    }


def test_what_was_lost_with_its_worker_was_in_no_process():
    assert logs_of([], [tried(5, process=-1, category=errors.SYSTEM)]) == {}
