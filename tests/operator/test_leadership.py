"""Leader election by a Lease: who leads, since when, and never two at a time."""

import copy
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_operator.cluster.api import ApiError, Conflict, NotFound
from longshore_operator.reconcile.leadership import Candidate, Election, Terms
from longshore_operator.reconcile.work_queue import WorkQueue

START = datetime(2026, 1, 1, tzinfo=UTC)
TERMS = Terms()


class Leases:
    """The API server, as far as one Lease goes. Objects are replaced by their version only."""

    def __init__(self):
        self.lease = None
        self.version = 0
        self.fault = None  # "unreachable": nothing is done; "unanswered": it is done, and the answer is lost

    def read(self, kind, namespace, name):
        assert (kind, namespace, name) == ("Lease", "longshore", "operator")
        self._fail("unreachable")
        return copy.deepcopy(self.lease)

    def create(self, manifest):
        self._fail("unreachable")
        if self.lease is not None:
            raise Conflict("already exists")
        self._store(manifest)
        self._fail("unanswered")

    def replace(self, manifest):
        self._fail("unreachable")
        if self.lease is None:
            raise NotFound("there is none")
        if manifest["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("it was changed")
        self._store(manifest)
        self._fail("unanswered")

    def _store(self, manifest):
        self.version += 1
        self.lease = copy.deepcopy(manifest)
        self.lease["metadata"]["resourceVersion"] = str(self.version)

    def _fail(self, fault):
        if self.fault == fault:
            raise ApiError("timed out")


class Electorate:
    """Candidates for one Lease, each with a wall clock of its own; time passes as a test says."""

    def __init__(self, *skews):
        self.leases = Leases()
        self.seconds = 0.0
        self.calls = []
        self.candidates = {name: self.candidate(name, skew) for name, skew in zip("abc", skews, strict=False)}

    def candidate(self, name, skew=0.0):
        return Election(
            self.leases,
            Candidate("longshore", "operator", name),
            started=lambda: self.calls.append(f"{name} started"),
            stopped=lambda: self.calls.append(f"{name} stopped"),
            clock=lambda: self.seconds,
            now=lambda: START + timedelta(seconds=self.seconds + skew),
        )

    def leaders(self):
        return [name for name, each in self.candidates.items() if each.leads]

    def run(self, *names, seconds):
        """Let these candidates try as often as they do, for so long."""
        for _ in range(round(seconds / TERMS.retry)):
            self.seconds += TERMS.retry
            for each in names:
                self.candidates[each].attempt()


def test_the_first_candidate_leads_and_goes_on_leading():
    here = Electorate(0, 0)
    here.run("a", "b", seconds=60)
    assert here.leaders() == ["a"]
    assert here.calls == ["a started"]
    assert here.leases.lease["spec"]["holderIdentity"] == "a"
    assert here.leases.lease["spec"]["leaseTransitions"] == 0


@pytest.mark.parametrize("skew", [0, 3600, -3600, 20, -20])
def test_a_standby_follows_a_killed_leader_whatever_the_clocks_state(skew):
    here = Electorate(0, skew)
    here.run("a", "b", seconds=5)
    here.run("b", seconds=TERMS.duration - 1)
    assert here.calls == ["a started"]  # not before the Lease has expired
    here.run("b", seconds=3)
    assert here.calls == ["a started", "b started"]
    assert here.leaders() == ["b"]
    assert here.leases.lease["spec"]["leaseTransitions"] == 1
    assert TERMS.duration + TERMS.retry < 15


def test_a_standby_follows_at_once_when_the_leader_shuts_down():
    here = Electorate(0, 0)
    here.run("a", "b", seconds=5)
    here.candidates["a"].release()
    assert here.leaders() == []
    here.run("b", seconds=TERMS.retry)
    assert here.leaders() == ["b"]


def test_a_standby_that_shuts_down_releases_nothing():
    here = Electorate(0, 0)
    here.run("a", "b", seconds=5)
    here.candidates["b"].release()
    assert here.leases.lease["spec"]["holderIdentity"] == "a"


def test_a_leader_that_cannot_renew_stops_before_anybody_may_follow():
    here = Electorate(0, 0)
    here.run("a", "b", seconds=5)
    here.leases.fault = "unreachable"
    here.run("a", seconds=TERMS.renew_deadline - 1)
    assert here.leaders() == ["a"]
    here.run("a", seconds=1)
    assert here.leaders() == []
    assert here.calls == ["a started", "a stopped"]
    here.leases.fault = None
    here.run("b", seconds=1)
    assert here.leaders() == []  # b saw nothing meanwhile, and waits out the whole duration
    here.run("a", seconds=1)
    assert here.leaders() == ["a"]
    assert here.calls == ["a started", "a stopped", "a started"]


def test_a_leader_that_was_suspended_does_not_act_when_it_wakes_up():
    here = Electorate(0, 0)
    here.run("a", "b", seconds=5)
    here.seconds += TERMS.renew_deadline  # no try, no call: the process stood still
    assert here.leaders() == []


def test_a_renewal_whose_answer_was_lost_counts_from_the_next_one():
    here = Electorate(0, 0)
    here.run("a", "b", seconds=5)
    here.leases.fault = "unanswered"
    here.run("a", seconds=3)
    here.leases.fault = None
    here.run("a", "b", seconds=30)
    assert here.calls == ["a started"]


def test_a_lease_that_a_user_deletes_is_made_again():
    here = Electorate(0, 0)
    here.run("a", "b", seconds=5)
    here.leases.lease = None
    here.run("a", "b", seconds=5)
    assert here.leaders() == ["a"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("attempt"), st.sampled_from("abc"), st.sampled_from([None, "unreachable", "unanswered"])),
        st.tuples(st.just("pass"), st.floats(0, 12), st.none()),
        st.tuples(st.just("release"), st.sampled_from("abc"), st.sampled_from([None, "unreachable", "unanswered"])),
        st.tuples(st.just("restart"), st.sampled_from("abc"), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(steps=STEPS, skews=st.tuples(*[st.floats(-1e6, 1e6)] * 3))
def test_there_are_never_two_leaders(steps, skews):
    here = Electorate(*skews)
    for what, argument, fault in steps:
        here.leases.fault = fault
        if what == "pass":
            here.seconds += argument
        elif what == "attempt":
            here.candidates[argument].attempt()
        elif what == "release":
            here.candidates[argument].release()
        else:  # killed, and started again under the name of its pod, as another process
            here.candidates[argument] = here.candidate(f"{argument}{here.seconds}{len(here.calls)}")
        assert len(here.leaders()) <= 1


@pytest.mark.parametrize("duration", [2.0, 10.0, 60.0])
def test_a_leader_stops_before_its_lease_may_be_taken_for_expired_whatever_it_lasts(duration):
    terms = Terms.of(duration)
    assert terms.renew_deadline + 0.5 < terms.duration
    assert terms.retry < terms.renew_deadline / 5
    assert Terms.of(10.0) == Terms()


def test_a_thread_acquires_renews_and_releases():
    leases, started = Leases(), threading.Event()
    terms = Terms(duration=10, renew_deadline=7, retry=0.01)
    candidate = Candidate("longshore", "operator", "a")
    election = Election(leases, candidate, started=started.set, stopped=lambda: None, terms=terms)
    election.start()
    assert started.wait(30)
    election.stop()
    assert leases.lease["spec"]["holderIdentity"] == ""
    assert not election.leads


def test_a_paused_queue_works_on_nothing_and_keeps_its_keys():
    worked, done = [], threading.Event()

    def work(key):
        worked.append(key)
        if len(worked) == 3:
            done.set()

    queue = WorkQueue(work)
    queue.pause()
    for each in ("x", "y", "x", "z"):
        queue.add(each)
    queue.start(2)
    try:
        assert len(queue) == 3
        assert worked == []
        queue.resume()
        assert done.wait(30)
    finally:
        queue.stop()
    assert sorted(worked) == ["x", "y", "z"]


def test_a_paused_queue_stops():
    queue = WorkQueue(lambda key: None)
    queue.pause()
    queue.start(2)
    queue.add("x")
    queue.stop()
    assert len(queue) == 1
