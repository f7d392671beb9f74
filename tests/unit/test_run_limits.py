"""Time limits of a run: what counts as progress."""

from dataclasses import replace

import pytest
from run_bench import ITEMS, JOB, READY, STARTING, TERM, Bench, limited

from longshore_coordinator.enumerate import Slice
from longshore_protocol import wire
from longshore_protocol.job import Timeouts


def test_a_step_for_which_nothing_is_cut_in_time_is_ended(store):
    bench = limited(store, mini_batches=0, listed=False)
    bench.report(bench.agent())
    bench.tick(100)
    assert bench.run.verdict is None, "waiting for the first mini-batch is no lack of progress"
    bench.tick(1)
    assert bench.run.verdict.reason == "FirstTaskCreationTimeout"


def test_the_time_without_progress_begins_when_there_is_something_to_do_and_a_process_to_do_it(store):
    bench = limited(store, mini_batches=0, listed=False)
    agent = bench.agent()
    bench.report(agent)
    bench.tick(90)
    bench.run.add([Slice(0, 1, b'["/in/a"]')])
    bench.report(agent)
    bench.tick(20)
    assert bench.run.verdict is None
    bench.tick(1)
    assert bench.run.verdict.reason == "NoProgress"


def test_progress_is_counted_from_the_last_mini_batch_that_ended(store):
    bench = limited(store)
    agent = bench.agent()
    bench.report(agent)
    bench.tick(15)
    bench.complete(agent, *bench.grant(agent))
    bench.tick(15)
    (pair,) = bench.grant(agent)
    bench.fail(agent, pair)  # it waits again, and has one try less
    bench.tick(20)
    assert bench.run.verdict is None
    bench.tick(1)
    assert bench.run.verdict.reason == "NoProgress"


def test_workers_whose_processes_never_start_end_the_step_and_not_those_that_come_in_time(store):
    bench = limited(store)
    agent = bench.agent()
    bench.report(agent, processes=STARTING)
    bench.tick(Timeouts().init + 60)
    assert bench.run.verdict is None
    bench.report(agent, processes=READY)
    bench.tick(5)
    bench.report(agent, processes=STARTING)
    bench.tick(Timeouts().init + 60)
    assert bench.run.verdict is None, "the time begins anew whenever a process was ready"
    bench.tick(1)
    assert bench.run.verdict.reason == "NoProgress"


def test_while_no_process_is_ready_no_progress_is_expected(store):
    bench = limited(store)
    agent = bench.agent()
    bench.report(agent, processes=STARTING)
    bench.tick(500)
    bench.report(agent, processes=READY)
    bench.tick(20)
    assert bench.run.verdict is None
    bench.report(agent, processes=STARTING)
    bench.tick(500)
    assert bench.run.verdict is None


def test_a_run_that_is_drained_is_not_reported_to_stand_still(store):
    bench = limited(store)
    bench.report(bench.agent())
    bench.run.draining = True
    bench.tick(500)
    assert bench.run.verdict is None


def test_leases_of_dead_agents_expire_under_a_coordinator_that_is_always_late(bench):
    agent = bench.agent()
    bench.grant(agent, 2)
    for _ in range(10):
        bench.sleep(3)  # between two ticks
    assert bench.counts() == {"waiting": 4}


def test_a_resumed_run_that_is_still_listed_and_has_nothing_to_do_makes_no_progress_and_goes_on(store):
    bench = Bench(store)
    agent = bench.agent()
    bench.complete(agent, *bench.grant(agent, 4))
    bench.ledger.flush()
    again = limited(store, listed=False)
    again.report(again.agent())
    again.tick(500)
    assert again.run.verdict is None
    again.run.add([Slice(0, ITEMS, b'["/in/new"]')])
    again.tick(21)
    assert again.run.verdict.reason == "NoProgress", "now something waits"


def test_an_input_that_is_listed_or_read_for_long_ends_no_run_while_that_progresses(store):
    bench = Bench(store, mini_batches=0, listed=False)
    bench.report(bench.agent())
    for listed in range(1, 20):
        bench.tick(300, listed=listed)
        assert bench.run.verdict is None
    bench.tick(600, listed=19)
    assert bench.run.verdict.reason == "FirstTaskCreationTimeout"


def test_the_users_own_limit_for_the_first_mini_batch_holds_while_inputs_are_listed(store):
    bench = limited(store, mini_batches=0, listed=False)
    for listed in range(101):
        bench.tick(1, listed=listed)
    assert bench.run.verdict.reason == "FirstTaskCreationTimeout"


def test_mini_batches_of_many_tries_make_progress_with_each(store):
    bench = limited(store, max_tries=20)
    agent = bench.agent()
    bench.report(agent)
    for _ in range(19):
        bench.tick(9)
        bench.fail(agent, *bench.grant(agent))
    assert bench.run.verdict is None


def test_inputs_that_are_fetched_for_long_make_progress_while_bytes_come(store):
    bench = limited(store)
    agent = bench.agent()
    bench.report(agent)
    (pair,) = bench.grant(agent)
    for fetched in range(1, 20):
        for _ in range(3):
            bench.tick(5)
            bench.report(agent, held=[list(pair)], fetched=fetched)
        assert bench.run.verdict is None
    for _ in range(5):
        bench.tick(5)
        bench.report(agent, held=[list(pair)], fetched=19)
    assert bench.run.verdict.reason == "NoProgress"


STOPPED = [
    ("while a mini-batch runs", READY, 4, {}),
    ("while processes start", STARTING, 4, {}),
    ("before anything is cut", READY, 0, {"listed": False}),
    ("while listing halts", READY, 0, {"listed": False, "timeouts": Timeouts()}),
    ("while data is fetched", [{**READY[0], "state": wire.DOWNLOADING, "what": 'model "m"'}], 4, {}),
]


@pytest.mark.parametrize(
    ("processes", "count", "what"), [each[1:] for each in STOPPED], ids=[each[0] for each in STOPPED]
)
def test_a_coordinator_that_was_stopped_ends_no_run_when_it_wakes_up(store, processes, count, what):
    limits = {"timeouts": replace(JOB.timeouts, first_task_creation=100, progress_update=20, init=30), **what}
    bench = Bench(store, mini_batches=count, **limits)
    agent = bench.agent()
    bench.report(agent, processes=processes)
    pairs = bench.grant(agent, 2)
    for _ in range(3):
        bench.sleep(100_000)
    assert bench.run.verdict is None
    assert bench.run.leases.leased_to(agent) == len(pairs)
    assert bench.run.agents.downloads(bench.now) == (['model "m"'] if "what" in processes[0] else [])
    lost = bench.report(agent, processes=processes, held=[list(pair) for pair in pairs])
    assert lost == [], "agents have the time to renew their leases"
    bench.tick(TERM)
    assert bench.run.leases.leased_to(agent) == 0, "and no more than that"
