"""A run that another coordinator continues from the ledger."""

import pytest
from run_bench import Bench, failure

from longshore_coordinator.agents import UnknownAgentError
from longshore_coordinator.committed import Committed
from longshore_protocol import errors
from longshore_protocol.wire import Failure


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


def test_a_run_whose_ledger_has_all_mini_batches_succeeds_at_once(store):
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
