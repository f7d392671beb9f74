"""A run whose processes fail in init(), or never start."""

import pytest
from run_bench import READY, STARTING, Bench

from longshore_coordinator.agents import UnknownAgentError
from longshore_coordinator.verdict import Verdict
from longshore_protocol import errors
from longshore_protocol.wire import Failure


def init_failure(process, message="ImportError: no module"):
    return Failure(-1, 0, 0, process, errors.USER_ERROR, message, "Traceback", 1.0, 0.0, "log")


def test_a_step_whose_processes_never_come_to_run_is_stopped(store):
    bench = Bench(store, processes_per_worker=2)
    agent = bench.agent()
    for process in range(3):
        for _ in range(2):  # a report whose answer was lost comes again, and counts once
            bench.report(agent, processes=STARTING, init_failed=[init_failure(process)])
        assert bench.run.verdict is None
    bench.report(agent, processes=STARTING, init_failed=[init_failure(3, "ImportError: again")])
    assert bench.run.verdict.reason == "InitFailed"
    assert bench.run.verdict.message == "4 processes failed before run(), and none reached it: ImportError: again"
    error = bench.run.accounts.errors.first
    assert (error.message, error.mini_batch) == ("ImportError: no module", None)


def test_a_failure_of_init_that_is_reported_twice_counts_once(bench):
    agent = bench.agent()
    for _ in range(10):
        bench.report(agent, processes=STARTING, init_failed=[init_failure(0)])
    assert bench.run.verdict is None
    assert len(bench.records("tried")) == bench.run.accounts.init_failures == 1


def test_once_a_process_came_to_run_failures_of_init_stop_nothing(bench):
    agent = bench.agent()
    bench.report(agent, processes=READY)
    for process in range(10):
        bench.report(agent, processes=STARTING, init_failed=[init_failure(process)])
    assert bench.run.verdict is None


def test_one_broken_worker_of_many_ends_no_step_and_is_replaced_while_others_come_through(store):
    bench = Bench(store, workers=100, mini_batches=100)
    broken = bench.agent("w0")
    for process in range(40):
        bench.report(broken, processes=STARTING, init_failed=[init_failure(process)])
    assert bench.run.verdict is None
    assert not bench.run.agents.is_draining(broken)
    sound = bench.agent("w1")
    bench.report(sound)
    bench.tick(1)
    assert bench.run.agents.is_draining(broken)
    assert not bench.run.agents.is_draining(sound)
    bench.complete(sound, *bench.grant(sound))
    assert bench.run.verdict is None


def test_a_worker_that_fails_in_its_new_place_too_is_replaced_ever_more_seldom(store):
    bench = Bench(store, workers=2)
    bench.report(bench.agent("w1"))
    failures = []
    for boot in range(4):
        agent = bench.agent("w0", boot=str(boot))
        count = 0
        while not bench.run.agents.is_draining(agent):
            bench.report(agent, processes=STARTING, init_failed=[init_failure(1000 * boot + count)])
            count += 1
        failures.append(count)
        bench.run.deregister(agent)
    assert failures == [3, 6, 12, 24]
    assert bench.run.verdict is None


def test_failures_before_a_process_came_through_are_forgiven(store):
    bench = Bench(store, workers=2)
    bench.report(bench.agent("w1"))
    agent = bench.agent("w0")
    for process in range(10):
        bench.report(agent, processes=STARTING, init_failed=[init_failure(2 * process), init_failure(2 * process + 1)])
        bench.report(agent)
    assert not bench.run.agents.is_draining(agent)


def test_a_step_ends_when_the_processes_of_every_worker_fail(store):
    bench = Bench(store, workers=2)
    for number, ends in ((0, False), (1, True)):
        agent = bench.agent(f"w{number}")
        for process in range(3):
            if bench.run.verdict is None:
                bench.report(agent, processes=STARTING, init_failed=[init_failure(process)])
        assert (bench.run.verdict is not None) == ends
    assert bench.run.verdict.message == (
        "4 processes of 2 workers failed before run(), and none reached it: ImportError: no module"
    )


def test_a_step_whose_only_workers_to_come_fail_does_not_wait_for_others_for_ever(store):
    bench = Bench(store, workers=4)
    agent = bench.agent("w0")
    for process in range(9):
        bench.tick(10)
        bench.report(agent, processes=STARTING, init_failed=[init_failure(process)])
    assert bench.run.verdict is None
    bench.tick(60)
    assert bench.run.verdict.reason == "InitFailed"


def test_workers_that_cannot_be_kept_running_end_the_step_once_none_is_left(store):
    bench = Bench(store, workers=2)
    agent = bench.agent("w0")
    pairs = bench.grant(agent, 2)
    bench.run.worker_failed("w0", "its host exited 4 times in a row: no python")
    assert bench.run.verdict is None
    assert bench.counts() == {"waiting": 4}, "others run what it held"
    with pytest.raises(UnknownAgentError):
        bench.complete(agent, *pairs)
    bench.run.worker_failed("w1", "its agent exited 4 times in a row: no room")
    assert bench.run.verdict == Verdict("WorkerFailed", "w1: its agent exited 4 times in a row: no room")
