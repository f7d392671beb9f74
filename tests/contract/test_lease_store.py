"""The lease store against a model of itself: whatever agents say, in whatever order, its promises hold.

Never two live leases on a mini-batch; a stale attempt never succeeds; done is never undone; tries stay within the
limit; no mini-batch is ever lost: what is not leased, done or failed is granted to whoever asks.
"""

from collections import Counter
from dataclasses import dataclass, field
from unittest import mock

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from longshore_coordinator import leases
from longshore_coordinator.leases import LOSSES_FOR_FREE, LeaseStore, Outcome, State

TERM = 10.0
NAMES = ("a", "b")
FREE = 2  # losses that cost no try, in the machine


@dataclass
class Expected:
    """What the model says of one mini-batch."""

    state: State = State.WAITING
    attempt: int = 0
    tries: int = 0
    losses: int = 0
    holder: str = ""
    deadline: float = 0.0
    ledger: list[tuple[int, bool]] = field(default_factory=list)  # (attempt, terminal) of each failure written down


class LeaseStoreMachine(RuleBasedStateMachine):
    """Drives a store and a model of it with what agents, the clock and restarts may do."""

    def __init__(self):
        super().__init__()
        self.patch = mock.patch.object(leases, "LOSSES_FOR_FREE", FREE)  # so few that random walks get beyond them
        self.patch.start()

    def teardown(self):
        self.patch.stop()

    @initialize(max_tries=st.integers(1, 4), count=st.integers(1, 4))
    def start(self, max_tries, count):
        self.max_tries = max_tries
        self.epoch = 1
        self.now = 0.0
        self.store = LeaseStore(max_tries=max_tries, term=TERM)
        self.model = []
        self.spoken = []  # every (agent, mini-batch, attempt) that was ever granted, of all epochs
        self.add(count)

    # --- what happens ------------------------------------------------------------------------------------------------

    @rule(count=st.integers(0, 3))
    def add(self, count):
        self.store.add(count)
        self.model += [Expected() for _ in range(count)]

    @rule(name=st.sampled_from(NAMES), capacity=st.integers(0, 4))
    def grant(self, name, capacity):
        agent = self.agent(name)
        waiting = self.numbers(State.WAITING)
        granted = self.store.grant(agent, capacity, self.now)
        numbers = [number for number, _ in granted]
        assert len(set(numbers)) == len(numbers) == min(capacity, len(waiting))
        assert set(numbers) <= set(waiting)
        for number, attempt in granted:
            expected = self.model[number]
            assert attempt == expected.attempt + 1
            expected.state, expected.attempt = State.LEASED, attempt
            expected.holder, expected.deadline = agent, self.now + TERM
            self.spoken.append((agent, number, attempt))

    @rule(data=st.data(), call=st.sampled_from(["complete", "fail", "release", "defer"]))
    def report(self, data, call):
        agent, number, attempt = self.someone(data)
        expected = self.model[number]
        holds = self.holds(agent, number, attempt)
        repeats = call == "complete" and expected.state is State.DONE and attempt == expected.attempt
        outcome = getattr(self.store, call)(agent, number, attempt)
        if not holds:
            assert outcome is (Outcome.REPEATED if repeats else Outcome.REFUSED)
        elif call == "fail":
            assert outcome is (Outcome.EXHAUSTED if self.one_try_less(number, attempt) else Outcome.ACCEPTED)
        else:
            assert outcome is Outcome.ACCEPTED
            expected.state, expected.holder = State.DONE if call == "complete" else State.WAITING, ""

    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def renew(self, data, name):
        """As agents do: all that is held, and now and then what is not."""
        agent = self.agent(name)
        held = [(number, each.attempt) for number, each in enumerate(self.model) if each.holder == agent]
        held += [self.someone(data)[1:] for _ in range(data.draw(st.integers(0, 2)))]
        lost = self.store.renew(agent, held, self.now)
        assert lost == [number for number, attempt in held if not self.holds(agent, number, attempt)]
        for number, attempt in held:
            if self.holds(agent, number, attempt):
                self.model[number].deadline = self.now + TERM

    @rule(name=st.sampled_from(NAMES))
    def lose(self, name):
        agent = self.agent(name)
        taken = [number for number, expected in enumerate(self.model) if expected.holder == agent]
        assert self.store.expire_all(agent) == self.losses_of(taken)

    @rule(name=st.sampled_from(NAMES))
    def release(self, name):
        agent = self.agent(name)
        self.store.release_all(agent)
        for expected in self.model:
            if expected.holder == agent:
                expected.state, expected.holder = State.WAITING, ""

    @rule(seconds=st.sampled_from([TERM / 4, TERM / 2, TERM / 2, TERM]))
    def wait(self, seconds):
        self.now += seconds
        overdue = {number for number in self.numbers(State.LEASED) if self.model[number].deadline <= self.now}
        assert sorted(self.store.expire(self.now)) == self.losses_of(sorted(overdue))

    @rule(lot=st.integers(1, 4), resumed_by_user=st.booleans())
    def restart(self, lot, resumed_by_user):
        """A new coordinator replays the ledger over a plan that comes in lots. It knows of no lease."""
        self.epoch += 1
        self.store = LeaseStore(max_tries=self.max_tries, term=TERM)
        for first in range(0, len(self.model), lot):
            numbers = range(first, min(first + lot, len(self.model)))
            self.store.add(len(numbers))
            for number in numbers:
                self.restore(number, resumed_by_user=resumed_by_user)

    def restore(self, number, *, resumed_by_user):
        before = self.model[number]
        after = self.model[number] = Expected(ledger=[] if resumed_by_user else before.ledger)
        for attempt, terminal in after.ledger:
            self.store.restore_try(number, attempt, terminal=terminal)
            after.tries += 1
            after.attempt = max(after.attempt, attempt)
            after.state = State.FAILED if terminal else after.state
        if before.state is State.DONE:
            for _ in range(2):  # a ledger that says it twice says nothing new
                self.store.restore_done(number, before.attempt)
            after.state, after.attempt = State.DONE, max(after.attempt, before.attempt)

    @rule()
    def take_all_there_is(self):
        """Once everybody is lost, one agent gets exactly what is neither done nor failed, each once."""
        for name in NAMES:
            self.lose(name)
        assert not self.numbers(State.LEASED)
        open_ones = self.numbers(State.WAITING)
        self.grant(NAMES[0], len(self.model) + 1)
        assert self.numbers(State.LEASED) == open_ones

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def the_store_agrees_with_the_model(self):
        assert [self.store.state(number) for number in range(len(self.model))] == [each.state for each in self.model]
        for number, expected in enumerate(self.model):
            assert self.store.tries(number) == expected.tries
            assert self.store.losses(number) == expected.losses

    @invariant()
    def the_store_knows_who_holds_how_many(self):
        for agent in map(self.agent, NAMES):
            assert self.store.leased_to(agent) == sum(each.holder == agent for each in self.model)

    @invariant()
    def counts_add_up(self):
        assert len(self.store) == len(self.model) == sum(self.store.counts)
        assert self.store.counts == [Counter(each.state for each in self.model)[state] for state in State]
        assert self.store.waiting() == len(self.numbers(State.WAITING))
        assert self.store.retried() == (self.max_tries > 1) * sum(each.tries > 0 for each in self.model)

    @invariant()
    def tries_stay_within_the_limit(self):
        for expected in self.model:
            assert expected.tries <= self.max_tries
            assert (expected.state is State.FAILED) <= (expected.tries == self.max_tries)

    # --- inside ------------------------------------------------------------------------------------------------------

    def agent(self, name):
        return f"{name}.{self.epoch}"

    def numbers(self, state):
        return [number for number, expected in enumerate(self.model) if expected.state is state]

    def someone(self, data):
        """Who speaks, and of what: mostly a holder, else one who held it once, or one who never did."""
        live = [(each.holder, number, each.attempt) for number, each in enumerate(self.model) if each.holder]
        if live and data.draw(st.integers(0, 2)):
            return data.draw(st.sampled_from(live))
        if self.spoken and data.draw(st.booleans()):
            return data.draw(st.sampled_from(self.spoken))
        numbers = st.integers(0, len(self.model) - 1)
        return self.agent(data.draw(st.sampled_from(NAMES))), data.draw(numbers), data.draw(st.integers(0, 5))

    def holds(self, agent, number, attempt):
        expected = self.model[number]
        return expected.state is State.LEASED and (expected.holder, expected.attempt) == (agent, attempt)

    def one_try_less(self, number, attempt):
        """Use up a try in the model; tell whether it was the last."""
        expected = self.model[number]
        expected.tries += 1
        expected.holder = ""
        terminal = expected.tries >= self.max_tries
        expected.state = State.FAILED if terminal else State.WAITING
        expected.ledger.append((attempt, terminal))
        return terminal

    def losses_of(self, numbers):
        """Take the leases of these away in the model; return which of them have failed by that."""
        failed = []
        for number in numbers:
            expected = self.model[number]
            expected.losses += 1
            if expected.losses > FREE:
                if self.one_try_less(number, expected.attempt):
                    failed.append(number)
            else:
                expected.state, expected.holder = State.WAITING, ""
        return failed


LeaseStoreMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=50)
test_the_lease_store_keeps_its_promises = LeaseStoreMachine.TestCase


def test_mini_batches_are_granted_in_order_and_those_that_wait_again_first():
    store = LeaseStore(max_tries=3, term=TERM)
    store.add(5)
    assert store.grant("a", 2, 0.0) == [(0, 1), (1, 1)]
    store.release("a", 1, 1)
    store.fail("a", 0, 1)
    assert store.grant("a", 3, 0.0) == [(1, 2), (0, 2), (2, 1)]


def test_a_lease_lives_until_its_deadline_and_as_long_as_it_is_renewed():
    store = LeaseStore(max_tries=1, term=TERM)
    store.add(1)
    store.grant("a", 1, 0.0)
    for now in (9.0, 18.0, 27.0):
        assert store.expire(now) == []
        assert store.renew("a", [(0, 1)], now) == []
    store.expire(36.9)
    assert store.state(0) is State.LEASED
    store.expire(37.0)
    assert store.state(0) is State.WAITING


def test_an_agent_that_woke_up_after_its_lease_expired_cannot_commit():
    store = LeaseStore(max_tries=3, term=TERM)
    store.add(1)
    store.grant("asleep", 1, 0.0)
    store.expire(TERM)
    assert store.grant("awake", 1, TERM) == [(0, 2)]
    assert store.complete("asleep", 0, 1) is Outcome.REFUSED
    assert store.renew("asleep", [(0, 1)], TERM) == [0]
    assert store.complete("awake", 0, 2) is Outcome.ACCEPTED
    assert store.complete("asleep", 0, 1) is Outcome.REFUSED


def test_the_same_agent_cannot_commit_an_earlier_attempt_of_its_own():
    store = LeaseStore(max_tries=3, term=TERM)
    store.add(1)
    store.grant("a", 1, 0.0)
    store.expire(TERM)
    store.grant("a", 1, TERM)
    assert store.complete("a", 0, 1) is Outcome.REFUSED
    assert store.complete("a", 0, 2) is Outcome.ACCEPTED


def test_a_report_that_is_sent_twice_is_accepted_once():
    store = LeaseStore(max_tries=3, term=TERM)
    store.add(1)
    store.grant("a", 1, 0.0)
    assert store.complete("a", 0, 1) is Outcome.ACCEPTED
    assert store.complete("a", 0, 1) is Outcome.REPEATED
    assert store.fail("a", 0, 1) is Outcome.REFUSED
    assert store.state(0) is State.DONE


def test_what_kills_one_worker_after_another_fails_in_the_end():
    store = LeaseStore(max_tries=2, term=TERM)
    store.add(1)
    for _ in range(LOSSES_FOR_FREE + 1):
        store.grant("a", 1, 0.0)
        assert store.expire_all("a") == []
    assert (store.losses(0), store.tries(0)) == (LOSSES_FOR_FREE + 1, 1)
    store.grant("a", 1, 0.0)
    assert store.expire_all("a") == [0]
    assert store.state(0) is State.FAILED


def test_a_mini_batch_that_is_none_of_the_plan_is_refused():
    store = LeaseStore(max_tries=1, term=TERM)
    store.add(1)
    for number in (-1, 1, 10**9):
        assert store.complete("a", number, 1) is Outcome.REFUSED
        assert store.fail("a", number, 1) is Outcome.REFUSED
        assert store.release("a", number, 1) is Outcome.REFUSED
