"""What agents' calls do to a run, with time passed in and no store behind the ledger."""

import pytest
from run_bench import ITEMS, READY, Bench, completion

from longshore_coordinator.reports import Attempts
from longshore_protocol import errors
from longshore_protocol.job import Output, Thresholds
from longshore_protocol.segments import decode_digests, digest_of, encode_digests
from longshore_protocol.snapshot import Device
from longshore_protocol.wire import Failure

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
    bench.run.finish_listing()
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
        (lost,) = attempts.failed_mini_batches()
    assert (lost.attempt.failure.message, lost.attempts) == ("last", 7)


def test_a_short_return_is_a_failed_try_where_failed_mini_batches_are_counted(store):
    bench = Bench(store, thresholds=Thresholds(error_threshold=100, allowed_failed_count=0))
    agent = bench.agent()
    full, short = bench.grant(agent, 2)
    bench.report(agent, segment="s", completed=[completion(*full), completion(*short, succeeded=1)])
    assert bench.counts() == {"waiting": 3, "done": 1}
    (tried,) = [Failure(*each["failure"]) for each in bench.records("tried")]
    assert (tried.mini_batch, tried.category) == (1, errors.WRONG_RETURN)
    assert tried.message == (
        "run() returned 1 results for 2 items; this fails the mini-batch because errorThreshold and a limit of failed "
        "mini-batches are both set"
    )
    assert [each[0] for each in bench.records("done")[0]["mini_batches"]] == [0]
    bench.complete(agent, *bench.grant(agent), succeeded=0)
    assert bench.run.verdict.reason == "AllowedFailedCountExceeded"


# --- devices ---------------------------------------------------------------------------------------------------------


def on(*devices):
    return [{**READY[0], "device": device} for device in devices]


def test_what_each_worker_computes_on_is_counted_and_kept_after_its_end(bench):
    first, second = bench.agent("w1"), bench.agent("w0")
    assert bench.run.agents.devices() == ()
    bench.report(first, processes=on("", ""))  # no process has said it yet
    assert bench.run.agents.devices() == ()
    bench.report(first, processes=on("gpu:0", ""))
    bench.report(second, processes=on("gpu:1", "gpu:0", "gpu:0"))
    known = (Device("w0", "gpu:0", 2), Device("w0", "gpu:1", 1), Device("w1", "gpu:0", 1))
    assert bench.run.agents.devices() == known
    bench.report(first, processes=on("gpu:0", "gpu:0"))
    bench.run.deregister(second)
    assert bench.run.agents.devices() == (*known[:2], Device("w1", "gpu:0", 2))


def test_at_most_twenty_devices_are_reported(bench):
    for number in range(30):
        bench.report(bench.agent(f"w{number:02}"), processes=on("cpu"))
    assert [each.worker for each in bench.run.agents.devices()] == [f"w{number:02}" for number in range(20)]
