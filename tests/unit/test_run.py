"""What agents' calls do to a run, with time passed in and no store behind the ledger."""

import json
from dataclasses import replace

import pytest

from longshore_coordinator.agents import UnknownAgentError
from longshore_coordinator.committed import Committed
from longshore_coordinator.enumerate import Slice
from longshore_coordinator.leases import LOSSES_FOR_FREE, State
from longshore_coordinator.ledger import Ledger
from longshore_coordinator.reports import Attempts
from longshore_coordinator.restore import restore
from longshore_coordinator.run import Run
from longshore_coordinator.verdict import Verdict, counts_empty_returns
from longshore_protocol import errors, wire
from longshore_protocol.job import APPEND_ROW, Input, Job, MiniBatchSize, Output, Thresholds, Timeouts
from longshore_protocol.segments import decode_digests, digest_of, encode_digests
from longshore_protocol.snapshot import Device
from longshore_protocol.wire import Completion, Failure
from longshore_storage.store import LocalStore

JOB = Job(
    name="score",
    run_id="1",
    run_uri="/run",
    inputs=(Input("in", ("/in",)),),
    mini_batch=MiniBatchSize("files", 2),
    output=Output(APPEND_ROW, "/out"),
    source_uri="/code",
    entry_script="score.py",
    max_tries=2,
    timeouts=Timeouts(run_invocation=6, task_overhead=4, progress_update=1000),
)
TERM = 10.0
ITEMS = 2
READY = [{"process": "process000", "state": "ready", "mini_batch": None, "seconds": 0.0}]
STARTING = [{"process": "process000", "state": "starting", "mini_batch": None, "seconds": 0.0}]


class Bench:
    """A run of some mini-batches of two files, and its clock."""

    def __init__(self, store, *, mini_batches=4, listed=True, resumed_by_user=None, **changes):
        self.now = 0.0
        self.ledger = Ledger.claim(store, {})
        job = replace(JOB, **changes)
        counts_empty = counts_empty_returns(job)
        restored = restore(self.ledger, resumed_by_user=bool(resumed_by_user), counts_empty=counts_empty)
        self.run = Run(job, ledger=self.ledger, restored=restored, now=self.now)
        for number in range(mini_batches):  # in lots of one: what is restored is laid over each lot
            self.run.add([Slice(0, ITEMS, b'["/in/%d-a","/in/%d-b"]' % (number, number))])
        if listed:
            self.run.listed()

    def agent(self, worker="w0", boot="1"):
        return self.run.register(worker, boot, self.now)

    def grant(self, agent, want=1):
        return self.run.grant(agent, want, self.now)

    def report(self, agent, *, processes=READY, **what):
        body = json.loads(json.dumps(wire.report(agent, self.ledger.epoch, processes=processes, **what)))
        return self.run.report(body, self.now)

    def complete(self, agent, *pairs, succeeded=ITEMS):
        return self.report(agent, segment="s", completed=[completion(*pair, succeeded=succeeded) for pair in pairs])

    def fail(self, agent, *pairs, **what):
        return self.report(agent, failed=[failure(*pair, **what) for pair in pairs])

    def tick(self, seconds, **what):
        """Let time pass, with ticks as often as a coordinator has them or nearly so."""
        for _ in range(int(seconds)):
            self.now += 1.0
            self.run.tick(self.now, **what)

    def sleep(self, seconds):
        """Let time pass in which this process is stopped."""
        self.now += seconds
        self.run.tick(self.now)

    def records(self, kind):
        self.ledger.flush()
        return [each[kind] for each in self.ledger.records() if kind in each]

    def counts(self):
        return {state.name.lower(): self.run.leases.counts[state] for state in State if self.run.leases.counts[state]}


@pytest.fixture
def store(tmp_path):
    return LocalStore(str(tmp_path / "run"))


@pytest.fixture
def bench(store):
    return Bench(store)


def completion(mini_batch, attempt, *, succeeded=ITEMS):
    return Completion(mini_batch, attempt, 0, 10, succeeded, ITEMS, -1, 0, 1_000_000, 2_000, 1_000, 500)


def failure(mini_batch, attempt, *, items=ITEMS, category=errors.USER_ERROR, message="ValueError: no"):
    return Failure(mini_batch, attempt, items, 0, category, message, "Traceback", 1.0, 0.5, "log")


# --- success ---------------------------------------------------------------------------------------------------------


def test_a_run_succeeds_when_every_mini_batch_is_done(bench):
    agent = bench.agent()
    bench.complete(agent, *bench.grant(agent, 3))
    assert bench.run.verdict is None
    bench.complete(agent, *bench.grant(agent, 3))
    assert bench.run.verdict.reason == "Succeeded"
    accounts = bench.run.accounts
    assert (accounts.items_ended, accounts.items_succeeded, accounts.items_failed) == (8, 8, 0)


def test_a_run_does_not_end_before_its_inputs_are_listed(store):
    bench = Bench(store, listed=False)
    agent = bench.agent()
    bench.complete(agent, *bench.grant(agent, 4))
    assert bench.run.verdict is None
    bench.run.listed()
    assert bench.run.verdict.succeeded


def test_what_is_accepted_is_in_the_ledger_once_however_often_it_is_reported(bench):
    agent = bench.agent()
    pairs = bench.grant(agent, 2)
    for _ in range(3):
        assert bench.complete(agent, *pairs) == []
    (done,) = bench.records("done")
    assert (done["worker"], done["segment"]) == ("w0", "s")
    assert [each[:2] for each in done["mini_batches"]] == [[0, 1], [1, 1]]
    assert bench.run.accounts.items_succeeded == 4


def test_of_a_report_that_is_accepted_in_part_the_ledger_has_the_digests_of_that_part(bench):
    agent = bench.agent()
    pairs = bench.grant(agent, 3)
    bench.report(agent, returned=[pairs[0]])
    digests = [digest_of(bytes([number])) for number in range(3)]
    bench.report(agent, completed=[completion(*pair) for pair in pairs], digests=encode_digests(digests))
    (done,) = bench.records("done")
    assert [each[0] for each in done["mini_batches"]] == [1, 2]
    assert decode_digests(done["digests"], count=2) == digests[1:]


def test_the_first_verdict_stands_and_later_reports_change_nothing(store):
    bench = Bench(store, thresholds=Thresholds(error_threshold=0), max_tries=1)
    agent = bench.agent()
    first, second = bench.grant(agent, 2)
    bench.fail(agent, first)
    assert bench.run.verdict.reason == "ErrorThresholdExceeded"
    assert bench.complete(agent, second) == []
    assert bench.counts() == {"leased": 1, "waiting": 2, "failed": 1}
    assert bench.records("done") == []


# --- failures and tries ----------------------------------------------------------------------------------------------


def test_a_failed_mini_batch_is_tried_again_until_its_tries_are_used_up(bench):
    agent = bench.agent()
    (pair,) = bench.grant(agent)
    bench.fail(agent, pair)
    assert bench.counts() == {"waiting": 4}
    (again,) = bench.grant(agent)
    assert again == (0, 2)
    assert bench.run.accounts.items_failed == 0, "only terminal failures are counted"
    bench.fail(agent, again)
    assert bench.counts() == {"waiting": 3, "failed": 1}
    assert bench.run.accounts.items_failed == ITEMS
    assert [each["terminal"] for each in bench.records("tried")] == [False, True]


def test_a_failure_that_is_reported_twice_costs_one_try(bench):
    agent = bench.agent()
    (pair,) = bench.grant(agent)
    bench.fail(agent, pair)
    bench.fail(agent, pair)
    assert bench.run.leases.tries(0) == 1
    assert len(bench.records("tried")) == 1


def test_a_mini_batch_that_could_not_be_loaded_fails_with_the_items_of_the_plan(store):
    bench = Bench(store, max_tries=1)
    agent = bench.agent()
    bench.fail(agent, *bench.grant(agent), items=-1)
    assert bench.run.accounts.items_failed == ITEMS
    assert Failure(*bench.records("tried")[0]["failure"]).items == ITEMS


def test_the_first_error_is_kept(bench):
    agent = bench.agent()
    first, second = bench.grant(agent, 2)
    bench.fail(agent, second, message="KeyError: 'first'")
    bench.fail(agent, first, message="KeyError: 'second'")
    error = bench.run.accounts.errors.first
    assert (error.category, error.message, error.worker) == ("UserError", "KeyError: 'first'", "w0")
    assert (error.mini_batch, error.traceback) == (1, "Traceback")


def test_a_short_return_succeeds_and_its_missing_items_fail(bench):
    agent = bench.agent()
    bench.complete(agent, *bench.grant(agent), succeeded=1)
    assert bench.counts() == {"waiting": 3, "done": 1}
    assert (bench.run.accounts.items_succeeded, bench.run.accounts.items_failed) == (1, 1)


def test_a_short_return_is_the_first_error_when_nothing_failed_before(bench):
    agent = bench.agent()
    bench.complete(agent, *bench.grant(agent))
    bench.complete(agent, *bench.grant(agent), succeeded=1)
    bench.fail(agent, *bench.grant(agent))
    error = bench.run.accounts.errors.first
    assert (error.category, error.message) == ("WrongReturn", "run() returned 1 results for 2 items")
    assert (error.mini_batch, error.worker) == (1, "w0")


def test_more_results_than_items_are_no_error_and_are_noted(bench):
    agent = bench.agent()
    bench.complete(agent, *bench.grant(agent, 2), succeeded=5)
    assert (bench.run.accounts.items_succeeded, bench.run.accounts.items_failed) == (10, 0)
    assert bench.run.accounts.errors.first is None
    surplus = bench.run.accounts.errors.surplus
    assert (surplus.mini_batches, surplus.example) == (2, (0, 5, 2))


def test_a_success_with_too_many_failed_items_names_a_few_and_where_all_are_listed(store):
    bench = Bench(store, mini_batches=4, max_tries=1)
    agent = bench.agent()
    good, short, *bad = bench.grant(agent, 4)
    bench.fail(agent, *bad)
    bench.complete(agent, good)
    bench.complete(agent, short, succeeded=1)
    assert bench.run.verdict.reason == "SucceededWithFailures"
    assert bench.run.verdict.succeeded
    assert bench.run.verdict.message == (
        "2 of 4 mini-batches succeeded; 5 of 8 items failed (62.5 %, failedItemsWarningPercent is 10): "
        f"/in/2-a, /in/2-b, /in/3-a, /in/3-b, /in/1-a; {bench.run.job.run_uri}/failed.jsonl lists them"
    )


SUMMARY = Output("summary_only", "/out")


def test_a_script_that_returns_nothing_at_all_has_no_failed_items_under_summary_only(store):
    bench = Bench(store, output=SUMMARY)
    agent = bench.agent()
    bench.complete(agent, *bench.grant(agent, 4), succeeded=0)
    assert bench.run.accounts.items_failed == 0
    assert bench.run.accounts.errors.first is None
    assert bench.run.verdict.reason == "Succeeded"
    assert "items are not counted" in bench.run.verdict.message


@pytest.mark.parametrize("restarts", [False, True], ids=["in one epoch", "over a restart"])
@pytest.mark.parametrize("counts", [[0, 0, 0, ITEMS], [ITEMS, 0, 0, 0], [0, 1, 0, ITEMS]])
def test_once_a_mini_batch_has_results_those_without_any_have_failed_items(store, counts, restarts):
    bench = Bench(store, output=SUMMARY)
    agent = bench.agent()
    for succeeded in counts:
        bench.complete(agent, *bench.grant(agent), succeeded=succeeded)
    if restarts:
        bench.ledger.flush()
        bench = Bench(store, output=SUMMARY)
    assert bench.run.accounts.items_failed == 4 * ITEMS - sum(counts)
    first = next(number for number, succeeded in enumerate(counts) if succeeded < ITEMS)
    error = bench.run.accounts.errors.first
    assert (error.mini_batch, error.message) == (first, f"run() returned {counts[first]} results for 2 items")
    assert bench.run.verdict.reason == "SucceededWithFailures"


def test_failed_mini_batches_of_a_script_that_returns_nothing_are_counted(store):
    bench = Bench(store, output=SUMMARY, max_tries=1)
    agent = bench.agent()
    failing, *rest = bench.grant(agent, 4)
    bench.complete(agent, *rest, succeeded=0)
    bench.fail(agent, failing)
    assert bench.run.accounts.items_failed == ITEMS
    assert bench.run.verdict.reason == "SucceededWithFailures"
    assert "2 of 8 items failed" in bench.run.verdict.message


def test_a_resumed_run_forgets_the_errors_of_attempts_and_keeps_those_of_short_returns(store):
    bench = Bench(store, max_tries=1)
    agent = bench.agent()
    failing, short, *_ = bench.grant(agent, 4)
    bench.fail(agent, failing)
    bench.complete(agent, short, succeeded=1)
    bench.ledger.flush()
    restarted = Bench(store, max_tries=1)
    assert restarted.run.accounts.errors.first.category == "UserError"
    assert restarted.run.accounts.errors.examples() == [0, 1]
    resumed = Bench(store, max_tries=1, resumed_by_user=True)
    assert resumed.run.accounts.errors.first.category == "WrongReturn"
    assert resumed.run.accounts.errors.examples() == [1]


def test_attempts_are_counted_on_when_failed_mini_batches_are_retried(store):
    bench = Bench(store, mini_batches=1, max_tries=3)
    agent = bench.agent()
    for _ in range(3):
        bench.report(agent, returned=[*bench.grant(agent)])
        bench.fail(agent, *bench.grant(agent), message="old")
    assert bench.counts() == {"failed": 1}
    for number in range(2):
        bench.ledger.flush()
        bench = Bench(store, mini_batches=1, max_tries=3, resumed_by_user=True)
        agent = bench.agent()
        assert bench.run.leases.tries(0) == 0
        assert bench.grant(agent) == [(0, 7 + number)]
        bench.fail(agent, (0, 7 + number), message="new")
    bench.ledger.flush()
    restarted = Bench(store, mini_batches=1, max_tries=3)
    assert restarted.run.leases.tries(0) == 1
    restarted.fail(agent := restarted.agent(), *restarted.grant(agent))
    restarted.fail(agent, *restarted.grant(agent), message="last")
    restarted.ledger.flush()
    with Attempts.of(restarted.ledger.records()) as attempts:
        (lost,) = attempts.lost()
    assert (lost.attempt.failure.message, lost.attempts) == ("last", 7)


def test_a_short_return_is_a_failed_try_where_failed_mini_batches_are_counted(store):
    bench = Bench(store, thresholds=Thresholds(error_threshold=100, allowed_failed_count=0))
    agent = bench.agent()
    full, short = bench.grant(agent, 2)
    bench.report(agent, segment="s", completed=[completion(*full), completion(*short, succeeded=1)])
    assert bench.counts() == {"waiting": 3, "done": 1}
    (tried,) = [Failure(*each["failure"]) for each in bench.records("tried")]
    assert (tried.mini_batch, tried.category) == (1, errors.WRONG_RETURN)
    assert tried.message == "run() returned 1 results for 2 items, and failed mini-batches are counted"
    assert [each[0] for each in bench.records("done")[0]["mini_batches"]] == [0]
    bench.complete(agent, *bench.grant(agent), succeeded=0)
    assert bench.run.verdict.reason == "AllowedFailedCountExceeded"


# --- what costs no try -----------------------------------------------------------------------------------------------


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
        bench.run.bye(agent)
    assert bench.counts() == {"waiting": 4}
    assert bench.run.leases.tries(0) == 0
    with pytest.raises(UnknownAgentError, match="is not registered here, or was replaced"):
        bench.complete(agent, *pairs)
    assert bench.records("tried") == bench.records("done") == []


def test_an_agent_that_takes_its_leave_loses_nothing_not_even_time_and_again(bench):
    for number in range(LOSSES_FOR_FREE + JOB.max_tries):
        agent = bench.agent(boot=str(number))
        assert bench.grant(agent) == [(0, number + 1)]
        bench.run.bye(agent)
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
    assert lost.message == "lost with its worker 12 times: it may be what ends workers"


# --- infrastructure that fails ---------------------------------------------------------------------------------------


FULL = "cannot write /run/state/segments/w0: No space left on device"


def defer(bench, agent, *pairs, origin=wire.STORE, message=FULL, **what):
    deferred = [wire.Deferral(*pair, origin, message) for pair in pairs]
    return bench.report(agent, deferred=deferred, **what)


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


def test_a_failure_of_category_system_costs_no_try_whoever_reports_it(store):
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
def test_a_run_in_which_nothing_completes_any_more_ends_after_its_limit_and_says_why(store, origin, waiting, end):
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
    fetching = [{"process": "", "state": wire.BRINGING, "mini_batch": None, "seconds": 1.0, "what": "the model m"}]
    why = "the model m cannot be fetched: 503"
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
    bench.run.listing_waits("Input x cannot be listed. 503.")
    said = ("WaitingForInput", "waiting for the store: Input x cannot be listed. 503")
    assert bench.run.waiting(bench.now) == said
    bench.run.listing_waits("")
    assert bench.run.waiting(bench.now)[0] == "WaitingForWorkers"


def test_nothing_is_granted_while_the_ledger_cannot_be_written(bench):
    agent = bench.agent()
    bench.report(agent)
    bench.run.ledger_outage.failed(wire.STORE, "cannot write the ledger: Input/output error")
    assert bench.grant(agent) == []
    bench.tick(100)
    assert bench.run.verdict is None, "nor is that a lack of progress"
    said = ("WaitingForStorage", "waiting for the store: cannot write the ledger: Input/output error")
    assert bench.run.waiting(bench.now) == said
    bench.run.ledger_outage.ended()
    assert bench.grant(agent) == [(0, 1)]


# --- fair shares -----------------------------------------------------------------------------------------------------


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


# --- idle workers ----------------------------------------------------------------------------------------------------


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
    bench.run.listed()
    assert bench.run.idle_workers() == ["w1"]
    bench.complete(agent, *pairs)
    assert bench.run.verdict.succeeded
    assert bench.run.idle_workers() == []


# --- init ------------------------------------------------------------------------------------------------------------


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
    assert bench.run.verdict.message == "4 processes failed before run(), none came through: ImportError: again"
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
        bench.run.bye(agent)
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
        "4 processes of 2 workers failed before run(), none came through: ImportError: no module"
    )


def test_a_step_whose_only_workers_to_come_fail_does_not_wait_for_others_for_good(store):
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
    bench.run.worker_failed("w0", "its host ended 4 times in a row: no python")
    assert bench.run.verdict is None
    assert bench.counts() == {"waiting": 4}, "others run what it held"
    with pytest.raises(UnknownAgentError):
        bench.complete(agent, *pairs)
    bench.run.worker_failed("w1", "its agent ended 4 times in a row: no room")
    assert bench.run.verdict == Verdict("WorkerFailed", "w1: its agent ended 4 times in a row: no room")


# --- time limits -----------------------------------------------------------------------------------------------------


def limited(store, **what):
    return Bench(store, timeouts=Timeouts(first_task_creation=100, progress_update=20), **what)


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


def test_a_run_that_is_drained_is_not_said_to_stand_still(store):
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
    ("while data is fetched", [{**READY[0], "state": wire.BRINGING, "what": "the model m"}], 4, {}),
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
    assert bench.run.leases.held(agent) == len(pairs)
    assert bench.run.agents.brings(bench.now) == (["the model m"] if "what" in processes[0] else [])
    lost = bench.report(agent, processes=processes, held=[list(pair) for pair in pairs])
    assert lost == [], "agents have the time to renew their leases"
    bench.tick(TERM)
    assert bench.run.leases.held(agent) == 0, "and no more than that"


# --- a run that goes on ----------------------------------------------------------------------------------------------


def interrupted(store):
    """Run until 0 is done, 1 failed permanently, 2 failed once, 3 is leased; then the coordinator dies."""
    bench = Bench(store)
    agent = bench.agent()
    pairs = bench.grant(agent, 4)
    bench.complete(agent, pairs[0], succeeded=1)
    bench.fail(agent, pairs[1], message="ValueError: the very first")
    bench.fail(agent, bench.grant(agent)[0])
    bench.fail(agent, pairs[2])
    assert bench.counts() == {"done": 1, "failed": 1, "waiting": 1, "leased": 1}
    bench.ledger.flush()
    return agent


def test_a_new_coordinator_goes_on_where_the_ledger_ends(store):
    interrupted(store)
    bench = Bench(store)
    assert bench.counts() == {"done": 1, "failed": 1, "waiting": 2}
    accounts = bench.run.accounts
    assert (accounts.items_ended, accounts.items_succeeded, accounts.items_failed) == (4, 1, 3)
    assert accounts.errors.first.message == "run() returned 1 results for 2 items"
    agent = bench.agent()
    assert bench.grant(agent, 4) == [(2, 2), (3, 1)]
    bench.fail(agent, (2, 2))
    assert bench.counts() == {"done": 1, "failed": 2, "leased": 1}, "tries are counted on"


def test_when_the_user_resumes_a_run_what_failed_gets_all_its_tries_again(store):
    interrupted(store)
    bench = Bench(store, resumed_by_user=True)
    assert bench.counts() == {"done": 1, "waiting": 3}
    assert bench.run.accounts.items_failed == 1
    assert bench.run.accounts.errors.first.message == "run() returned 1 results for 2 items"
    agent = bench.agent()
    for attempt in (3, 4):
        assert bench.grant(agent)[0] == (1, attempt)
        bench.fail(agent, (1, attempt))
    assert bench.counts() == {"done": 1, "failed": 1, "waiting": 2}
    bench.ledger.flush()
    assert Bench(store).counts() == {"done": 1, "failed": 1, "waiting": 2}, "and only once"


@pytest.mark.parametrize("resumed_by_user", [False, True], ids=["restarted", "resumed"])
def test_a_ledger_of_an_earlier_version_has_no_mini_batch_that_infrastructure_failed(store, resumed_by_user):
    bench = Bench(store)
    agent = bench.agent()
    bench.complete(agent, *bench.grant(agent))
    for mini_batch, category in ((1, errors.SYSTEM), (2, errors.SYSTEM), (3, errors.USER_ERROR)):
        failed = failure(mini_batch, 1, category=category, message="results could not be written")
        bench.ledger.append({"tried": {"worker": "w0", "terminal": True, "failure": failed}})
    bench.ledger.flush()
    again = Bench(store, resumed_by_user=resumed_by_user)
    failed = {} if resumed_by_user else {"failed": 1}
    assert again.counts() == {"done": 1, "waiting": 3 - len(failed), **failed}


def test_an_agent_of_an_earlier_epoch_is_unknown(store):
    old = interrupted(store)
    bench = Bench(store)
    with pytest.raises(UnknownAgentError):
        bench.complete(old, (3, 1))
    bench.agent()
    with pytest.raises(UnknownAgentError):
        bench.complete(old, (3, 1))


def test_a_run_whose_ledger_says_that_all_is_done_succeeds_at_once(store):
    bench = Bench(store)
    agent = bench.agent()
    bench.complete(agent, *bench.grant(agent, 4))
    bench.ledger.flush()
    again = Bench(store)
    assert again.run.verdict.reason == "Succeeded"
    assert again.counts() == {"done": 4}


def test_a_mini_batch_has_one_completion_in_the_ledger_whichever_epochs_it_passed(store):
    interrupted(store)
    bench = Bench(store, resumed_by_user=True)
    agent = bench.agent()
    bench.complete(agent, *bench.grant(agent, 4))
    bench.ledger.flush()
    records = list(bench.ledger.records())
    assert [(piece.mini_batch, piece.segment) for piece in Committed.of(records)] == [(each, "s") for each in range(4)]
    tried = [each["tried"] for each in records if "tried" in each]
    assert [(Failure(*each["failure"]).mini_batch, each["terminal"]) for each in tried] == [
        (1, False),
        (1, True),
        (2, False),
    ]


# --- devices ---------------------------------------------------------------------------------------------------------


def on(*devices):
    return [{**READY[0], "device": device} for device in devices]


def test_what_each_worker_computes_on_is_counted_and_kept_when_it_is_gone(bench):
    first, second = bench.agent("w1"), bench.agent("w0")
    assert bench.run.agents.devices() == ()
    bench.report(first, processes=on("", ""))  # no process has said it yet
    assert bench.run.agents.devices() == ()
    bench.report(first, processes=on("gpu:0", ""))
    bench.report(second, processes=on("gpu:1", "gpu:0", "gpu:0"))
    known = (Device("w0", "gpu:0", 2), Device("w0", "gpu:1", 1), Device("w1", "gpu:0", 1))
    assert bench.run.agents.devices() == known
    bench.report(first, processes=on("gpu:0", "gpu:0"))
    bench.run.bye(second)
    assert bench.run.agents.devices() == (*known[:2], Device("w1", "gpu:0", 2))


def test_at_most_twenty_devices_are_told(bench):
    for number in range(30):
        bench.report(bench.agent(f"w{number:02}"), processes=on("cpu"))
    assert [each.worker for each in bench.run.agents.devices()] == [f"w{number:02}" for number in range(20)]


def test_bringing_data_counts_against_no_limit_and_is_why_the_run_waits(tmp_path):
    bench = Bench(LocalStore(str(tmp_path)), timeouts=Timeouts(init=10.0))
    agent = bench.agent()
    state = {"process": "", "state": wire.BRINGING, "mini_batch": None, "seconds": 1.0, "what": "the side input x"}
    said = ("BringingData", "1 of 1 workers bring the side input x before init()")
    for _ in range(20):
        bench.report(agent, processes=[state])
        assert bench.run.agents.waiting(bench.now) == said
        bench.tick(30)
    assert bench.run.verdict is None
    bench.tick(60)  # it is not heard any more
    assert bench.run.agents.waiting(bench.now)[0] == "Initializing"
    bench.tick(71)
    assert bench.run.verdict.reason == "NoProgress"
