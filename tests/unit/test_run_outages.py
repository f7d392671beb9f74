"""A run while infrastructure fails: mini-batches wait, and its limit ends it."""

import pytest
from run_bench import FULL, STARTING, Bench, defer, limited

from longshore_coordinator.verdict import Verdict
from longshore_protocol import errors, wire
from longshore_protocol.job import Thresholds, Timeouts
from longshore_storage.store import LocalStore


def test_what_infrastructure_ended_waits_again_with_all_its_tries_however_often(bench):
    agent = bench.agent()
    bench.report(agent)
    for attempt in range(1, 20):
        assert bench.grant(agent) == [(0, attempt)]
        defer(bench, agent, (0, attempt))
        assert bench.counts() == {"waiting": 4}
        bench.tick(31)  # above the longest pause
    assert bench.run.verdict is None
    assert bench.run.leases.tries(0) == bench.run.leases.losses(0) == 0
    assert bench.records("tried") == []
    assert (bench.run.accounts.items_failed, bench.run.accounts.errors.first) == (0, None)


def test_a_run_never_succeeds_while_infrastructure_keeps_a_mini_batch_from_ending(bench):
    agent = bench.agent()
    pairs = bench.grant(agent, 4)
    bench.complete(agent, *pairs[:3])
    defer(bench, agent, pairs[3])
    bench.tick(1)
    assert bench.run.verdict is None
    assert bench.counts() == {"waiting": 1, "done": 3}
    bench.complete(agent, *bench.grant(agent))
    assert bench.run.verdict.succeeded


def test_a_failure_of_category_system_costs_no_try_whichever_process_reports_it(store):
    bench = Bench(store, max_tries=1, thresholds=Thresholds(error_threshold=0))
    agent = bench.agent()
    bench.fail(agent, *bench.grant(agent), category=errors.SYSTEM, message="the disk is full")
    assert bench.run.verdict is None
    assert bench.counts() == {"waiting": 4}
    assert bench.run.waiting(bench.now) == ("WaitingForStorage", "waiting for the store: the disk is full")


def test_an_agent_whose_store_fails_is_granted_one_mini_batch_at_a_time_after_growing_pauses(store):
    bench = Bench(store, mini_batches=100)
    agent, other = bench.agent("w0"), bench.agent("w1")
    for each in (agent, other):
        bench.report(each)
    pairs = bench.grant(agent, 8)
    defer(bench, agent, *pairs[:4])
    defer(bench, agent, *pairs[4:])  # granted before the first failure: no reason for a longer pause
    pauses = []
    for _ in range(7):
        began = bench.now
        assert bench.grant(agent, 8) == []
        while not (probe := bench.grant(agent, 8)):
            bench.tick(1)
        pauses.append(bench.now - began)
        assert len(probe) == 1
        assert bench.grant(agent, 8) == [], "one at a time"
        defer(bench, agent, *probe)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert len(bench.grant(other, 8)) == 8, "the others go on"
    bench.tick(30)
    bench.complete(agent, *bench.grant(agent))
    assert len(bench.grant(agent, 8)) == 8, "what completed has shown that the store works"


def test_a_mini_batch_whose_input_cannot_be_fetched_lets_others_go_first(store):
    bench = Bench(store, mini_batches=3)
    first, second = bench.agent("w0"), bench.agent("w1")
    defer(bench, first, *bench.grant(first), origin=wire.INPUT, message="The file cannot be fetched.")
    assert bench.grant(second, 3) == [(1, 1)], "half of an even share"
    bench.complete(second, (1, 1))
    bench.complete(second, *bench.grant(second))
    assert bench.grant(second) == []
    bench.tick(2)
    assert bench.grant(second) == [(0, 2)]
    defer(bench, second, (0, 2), origin=wire.INPUT)
    bench.tick(3)
    assert bench.grant(second) == [], "each pause is longer"
    bench.tick(1)
    assert bench.grant(second) == [(0, 3)]
    bench.complete(second, (0, 3))
    assert bench.run.verdict.succeeded


ORIGINS = [
    (wire.STORE, "WaitingForStorage", "StorageError"),
    (wire.INPUT, "WaitingForInput", "InputError"),
]


@pytest.mark.parametrize(("origin", "waiting", "end"), ORIGINS, ids=["own store", "an input's store"])
def test_a_run_in_which_nothing_completes_any_more_ends_after_its_limit_and_states_why(store, origin, waiting, end):
    bench = Bench(store, timeouts=Timeouts(storage=100, progress_update=50))
    agent = bench.agent()
    bench.report(agent)
    bench.complete(agent, *bench.grant(agent))
    failures = 0
    while bench.run.verdict is None:
        bench.tick(1)
        for pair in bench.grant(agent):
            defer(bench, agent, pair, origin=origin)
            failures += 1
        assert bench.run.waiting(bench.now) in [(waiting, f"waiting for the store: {FULL}"), ("", "")]
    assert bench.run.verdict == Verdict(
        end, f"nothing succeeded within storageTimeoutSeconds (100 s): {FULL}; the run can be resumed"
    )
    assert failures < 12, "and it is tried seldom"
    assert bench.counts() == {"waiting": 3, "done": 1}


def test_what_completes_in_time_ends_the_waiting(store):
    bench = Bench(store, mini_batches=9, timeouts=Timeouts(storage=100, progress_update=50))
    agent, other = bench.agent("w0"), bench.agent("w1")
    for each in (agent, other):
        bench.report(each)
    for _ in range(8):
        bench.tick(31)
        for pair in bench.grant(agent):
            defer(bench, agent, pair)
        assert bench.run.waiting(bench.now)[0] == "WaitingForStorage"
        bench.complete(other, *bench.grant(other))
        assert bench.run.waiting(bench.now) == ("", "")
    assert bench.run.verdict is None


def test_a_try_that_is_under_way_when_the_limit_passes_may_still_succeed(store):
    bench = Bench(store, timeouts=Timeouts(storage=100, progress_update=1000))
    agent = bench.agent()
    bench.report(agent)
    defer(bench, agent, *bench.grant(agent))
    bench.tick(1)
    (probe,) = bench.grant(agent)
    for _ in range(40):
        bench.tick(5)
        bench.report(agent, held=[list(probe)])
    assert bench.run.verdict is None
    bench.complete(agent, probe)
    assert bench.run.waiting(bench.now) == ("", "")


def test_without_a_worker_to_try_it_the_limit_does_not_pass(store):
    bench = Bench(store, timeouts=Timeouts(storage=100))
    agent = bench.agent()
    bench.report(agent)
    defer(bench, agent, *bench.grant(agent))
    bench.run.worker_gone("w0")
    bench.tick(1000)
    agent = bench.agent(boot="2")
    bench.report(agent)
    defer(bench, agent, *bench.grant(agent))
    assert bench.run.verdict is None


def test_a_worker_that_cannot_fetch_what_its_processes_need_is_why_a_run_waits(store):
    bench = Bench(store, timeouts=Timeouts(storage=100, init=10))
    agent = bench.agent()
    fetching = [{"process": "", "state": wire.DOWNLOADING, "mini_batch": None, "seconds": 1.0, "what": 'model "m"'}]
    why = 'model "m" cannot be downloaded: 503'
    for _ in range(9):
        bench.tick(10)
        defer(bench, agent, (-1, 0), origin=wire.INPUT, message=why, processes=fetching)
        assert bench.run.waiting(bench.now) == ("WaitingForInput", f"waiting for the store: {why}")
    bench.report(agent, processes=STARTING)
    assert bench.run.waiting(bench.now)[0] == "Initializing"
    assert bench.run.verdict is None
    for _ in range(12):
        defer(bench, agent, (-1, 0), origin=wire.INPUT, message=why, processes=fetching)
        bench.tick(10)
    assert bench.run.verdict.reason == "InputError"


OUTAGES = [
    ("a store", wire.STORE, FULL, "StorageError"),
    ("a network", wire.STORE, "the object store cannot be reached", "StorageError"),
    ("an input", wire.INPUT, "The file a cannot be fetched. 503.", "InputError"),
    ("a table", wire.INPUT, "The rows of a mini-batch cannot be read.", "InputError"),
    ("a volume", wire.INPUT, "[Errno 5] Input/output error: '/in/0-a'", "InputError"),
]


@pytest.mark.parametrize(
    ("origin", "message", "reason"), [each[1:] for each in OUTAGES], ids=[each[0] for each in OUTAGES]
)
def test_pauses_between_tries_of_what_fails_are_no_lack_of_progress(store, origin, message, reason):
    bench = Bench(store, mini_batches=1, timeouts=Timeouts(progress_update=5, storage=600))
    agent = bench.agent()
    bench.report(agent)
    defer(bench, agent, *bench.grant(agent), origin=origin, message=message)
    while bench.now < 600:
        while not (probe := bench.grant(agent)):
            bench.tick(1)
            assert bench.run.verdict is None
        defer(bench, agent, *probe, origin=origin, message=message)
    assert bench.run.verdict.reason == reason


def test_a_pause_of_a_mini_batch_is_no_lack_of_progress_once_others_complete(store):
    bench = Bench(store, mini_batches=2, timeouts=Timeouts(progress_update=5, storage=600))
    first, second = bench.agent("w0"), bench.agent("w1")
    bench.report(first)
    bench.report(second)
    for _ in range(5):  # the next pause is one of 30 s
        (pair,) = bench.grant(first)
        defer(bench, first, pair, origin=wire.INPUT, message="503")
        bench.tick(31)
    defer(bench, first, *bench.grant(first), origin=wire.INPUT, message="503")
    bench.complete(second, *bench.grant(second))
    bench.tick(29)
    assert bench.run.verdict is None
    bench.tick(7)
    assert bench.run.verdict.reason == "NoProgress", "it could be granted, and nobody asks"


def test_a_process_that_hangs_while_a_store_fails_ends_the_run_in_the_end(store):
    bench = limited(store)
    agent = bench.agent()
    bench.report(agent)
    defer(bench, agent, bench.grant(agent)[0])
    bench.tick(620)
    assert bench.run.verdict is None
    bench.tick(1)
    assert bench.run.verdict.reason == "NoProgress"


def test_inputs_that_cannot_be_listed_for_now_are_why_a_run_waits(store):
    bench = Bench(store, mini_batches=0, listed=False)
    bench.run.set_listing_error("Input x cannot be listed. 503.")
    said = ("WaitingForInput", "waiting for the store: Input x cannot be listed. 503")
    assert bench.run.waiting(bench.now) == said
    bench.run.set_listing_error("")
    assert bench.run.waiting(bench.now)[0] == "WaitingForWorkers"


def test_nothing_is_granted_while_the_ledger_cannot_be_written(bench):
    agent = bench.agent()
    bench.report(agent)
    bench.run.ledger_outage.record_failure(wire.STORE, "cannot write the ledger: Input/output error")
    assert bench.grant(agent) == []
    bench.tick(100)
    assert bench.run.verdict is None, "nor is that a lack of progress"
    said = ("WaitingForStorage", "waiting for the store: cannot write the ledger: Input/output error")
    assert bench.run.waiting(bench.now) == said
    bench.run.ledger_outage.record_success()
    assert bench.grant(agent) == [(0, 1)]


def test_downloading_data_counts_against_no_limit_and_is_why_the_run_waits(tmp_path):
    bench = Bench(LocalStore(str(tmp_path)), timeouts=Timeouts(init=10.0))
    agent = bench.agent()
    state = {"process": "", "state": wire.DOWNLOADING, "mini_batch": None, "seconds": 1.0, "what": 'side input "x"'}
    said = ("BringingData", '1 of 1 workers are downloading side input "x" before init()')
    for _ in range(20):
        bench.report(agent, processes=[state])
        assert bench.run.agents.waiting(bench.now) == said
        bench.tick(30)
    assert bench.run.verdict is None
    bench.tick(60)  # it is not heard any more
    assert bench.run.agents.waiting(bench.now)[0] == "Initializing"
    bench.tick(71)
    assert bench.run.verdict.reason == "NoProgress"
