"""Leases of a run: what costs no try, fair shares, and workers that have nothing to do."""

import pytest
from run_bench import ITEMS, JOB, TERM, Bench

from longshore_coordinator.agents import UnknownAgentError
from longshore_coordinator.leases import LOSSES_FOR_FREE
from longshore_protocol import errors
from longshore_protocol.wire import Failure


def test_what_is_given_back_waits_again_and_costs_no_try(bench):
    agent = bench.agent()
    pairs = bench.grant(agent, 2)
    bench.report(agent, returned=[list(pair) for pair in pairs])
    assert bench.counts() == {"waiting": 4}
    assert bench.run.leases.tries(0) == bench.run.leases.losses(0) == 0


@pytest.mark.parametrize("how", ["gone", "registered anew", "farewell"])
def test_what_a_lost_agent_held_waits_again_at_once_and_costs_no_try(bench, how):
    agent = bench.agent()
    pairs = bench.grant(agent, 2)
    if how == "gone":
        bench.run.worker_gone("w0")
    elif how == "registered anew":
        bench.agent(boot="2")
    else:
        bench.run.deregister(agent)
    assert bench.counts() == {"waiting": 4}
    assert bench.run.leases.tries(0) == 0
    with pytest.raises(UnknownAgentError, match="is not registered here, or was replaced"):
        bench.complete(agent, *pairs)
    assert bench.records("tried") == bench.records("done") == []


def test_an_agent_that_takes_its_leave_loses_nothing_not_even_time_and_again(bench):
    for number in range(LOSSES_FOR_FREE + JOB.max_tries):
        agent = bench.agent(boot=str(number))
        assert bench.grant(agent) == [(0, number + 1)]
        bench.run.deregister(agent)
    assert bench.counts() == {"waiting": 4}
    assert bench.run.leases.losses(0) == 0


def test_a_silent_agent_loses_its_leases_and_what_it_renews_it_keeps(bench):
    silent, other = bench.agent("w0"), bench.agent("w1")
    lost, kept = bench.grant(silent), bench.grant(other)
    bench.tick(6)
    assert bench.report(other, held=[list(kept[0])]) == []
    bench.tick(6)
    assert bench.counts() == {"waiting": 3, "leased": 1}
    assert bench.report(silent, held=[list(lost[0])]) == [0]
    assert bench.complete(other, *kept) == []
    assert bench.counts() == {"waiting": 3, "done": 1}


def test_an_agent_that_slept_through_its_lease_cannot_commit_what_another_has_now(bench):
    asleep, awake = bench.agent("w0"), bench.agent("w1")
    (late,) = bench.grant(asleep)
    bench.tick(TERM)
    (pair,) = bench.grant(awake)
    assert pair == (0, 2)
    bench.complete(asleep, late)
    assert bench.records("done") == []
    bench.complete(awake, pair)
    assert [each["worker"] for each in bench.records("done")] == ["w1"]


def test_a_mini_batch_that_is_lost_with_worker_after_worker_fails_in_the_end(bench):
    for number in range(LOSSES_FOR_FREE + JOB.max_tries):
        assert bench.counts() == {"waiting": 4}
        agent = bench.agent(boot=str(number))
        assert bench.grant(agent)[0][0] == 0
        bench.run.worker_gone("w0")
    assert bench.counts() == {"waiting": 3, "failed": 1}
    assert bench.run.accounts.items_failed == ITEMS
    (tried,) = bench.records("tried")
    lost = Failure(*tried["failure"])
    assert (tried["terminal"], lost.category) == (True, errors.PROCESS_DIED)
    assert lost.message == "lost with its worker 12 times; it may be the cause of the losses"


def test_one_agent_alone_gets_what_it_asks_for(store):
    bench = Bench(store, mini_batches=100)
    assert len(bench.grant(bench.agent(), 1000)) == 100


def test_an_agent_gets_half_an_even_share_of_what_waits_and_at_least_one(store):
    bench = Bench(store, mini_batches=100, workers=2)
    agent = bench.agent()
    shares = []
    while share := bench.grant(agent, 1000):
        shares.append(len(share))
    assert shares[:4] == [25, 19, 14, 11]
    assert shares[-1] == 1
    assert sum(shares) == 100


def test_shares_are_for_the_workers_that_are_to_come_as_for_those_that_are_here(store):
    bench = Bench(store, mini_batches=80, workers=4)
    assert len(bench.grant(bench.agent("w0"), 1000)) == 10
    for number in range(1, 7):
        bench.agent(f"w{number}")
    assert len(bench.grant(bench.agent("w7"), 1000)) == 5


def test_the_time_of_the_first_lease_is_kept(bench):
    agent = bench.agent()
    bench.tick(5)
    bench.grant(agent)
    bench.tick(1)
    bench.grant(agent)
    assert bench.run.first_lease == 5


def test_workers_that_hold_nothing_are_idle_once_nothing_waits_for_them(bench):
    busy = bench.agent("w2")
    pairs = bench.grant(busy, 3)
    bench.agent("w1")
    other = bench.agent("w0")
    assert bench.run.idle_workers() == [], "one mini-batch waits"
    (last,) = bench.grant(other)
    assert bench.run.idle_workers() == ["w1"]
    bench.complete(other, last)
    assert bench.run.idle_workers() == ["w0", "w1"]
    bench.fail(busy, pairs[0])
    assert bench.run.idle_workers() == [], "what failed waits to be tried again"


def test_no_worker_is_idle_while_inputs_are_listed_nor_after_the_verdict(store):
    bench = Bench(store, mini_batches=1, listed=False)
    agent = bench.agent("w0")
    bench.agent("w1")
    pairs = bench.grant(agent)
    assert bench.run.idle_workers() == []
    bench.run.finish_listing()
    assert bench.run.idle_workers() == ["w1"]
    bench.complete(agent, *pairs)
    assert bench.run.verdict.succeeded
    assert bench.run.idle_workers() == []
