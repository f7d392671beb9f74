"""The ledger: whatever crashes between whichever writes, and whoever else writes, what was acknowledged is replayed.

The last test lets coordinators run against each other in every order hypothesis can think of, one store call at a time.
"""

import contextlib
import itertools
import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_coordinator.ledger import Ledger, SupersededError
from longshore_storage.store import open_store

fresh = itertools.count()


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    return open_store(str(tmp_path / "run")) if request.param == "folder" else memory()


def memory():
    return open_store(f"memory://ledger-{next(fresh)}")


def open_ledger(store):
    """Do what a coordinator does at its start: return its ledger and what it took over."""
    ledger = Ledger.claim(store, {"process": 1})
    return ledger, list(ledger.replay())


def record(name):
    return {"tried": name}


def flush(ledger, *names):
    for name in names:
        ledger.append(record(name))
    ledger.flush()


@pytest.mark.parametrize("line", [b"{", b"[]", b"7", b"[" * 200_000, b"\xff", b'{"tried": {}}'])
def test_a_ledger_that_cannot_be_read_is_refused_with_the_name_of_the_object(store, line):
    store.create("state/epochs/000001.json", b"{}")
    store.create("state/ledger/000001-000001.jsonl", line + b"\n")
    with pytest.raises(ValueError, match=r"the ledger.s object state/ledger/000001-000001\.jsonl cannot be read: "):
        open_ledger(store)


def test_records_are_repaired_of_a_ledger_whose_writer_did_not_check_them_and_of_no_other(store):
    failure = [0, 1, 1, 0, "Sabotage", ["no"], "", 1e300, 0.1, ""]
    lines = [{"replayed": {}}, {"tried": {"worker": "w", "terminal": False, "failure": failure}}]
    store.create("state/epochs/000001.json", b"{}")
    store.create("state/ledger/000001-000001.jsonl", b"".join(json.dumps(each).encode() + b"\n" for each in lines))
    second, (repaired,) = open_ledger(store)
    assert repaired["tried"]["failure"][4] == "ProcessDied"
    flush(second, "as it was written")
    _, records = open_ledger(store)
    assert records == [repaired, record("as it was written")]


class Crash(Exception):
    """The process is gone."""


class Gate:
    """A store that calls `before` ahead of each of its calls."""

    def __init__(self, store, before):
        self._store = store
        self._before = before

    def __getattr__(self, name):
        call = getattr(self._store, name)

        def gated(*arguments):
            self._before()
            return call(*arguments)

        return gated


# --- one coordinator -------------------------------------------------------------------------------------------------


def test_a_new_run_begins_with_epoch_1_and_nothing(store):
    ledger, seen = open_ledger(store)
    assert (ledger.epoch, seen) == (1, [])


def test_each_claim_takes_the_next_epoch_and_states_who_claimed(store):
    assert [Ledger.claim(store, {"process": number}).epoch for number in (7, 8, 9)] == [1, 2, 3]
    claims = [json.loads(store.get(name)) for name in store.names("state/epochs")]
    assert [each["process"] for each in claims] == [7, 8, 9]
    assert len({each["claim"] for each in claims}) == 3


def test_two_that_claim_at_the_same_moment_get_different_epochs(store):
    others = iter([lambda: Ledger.claim(store, {}), lambda: Ledger.claim(store, {})])
    calls = itertools.count()

    def before():
        if next(calls) in (2, 4):  # after it proved the store, and looked which epochs are taken, before it takes one
            next(others, lambda: None)()

    assert Ledger.claim(Gate(store, before), {}).epoch == 3
    assert len(store.names("state/epochs")) == 3


def test_what_was_flushed_is_replayed_in_its_order_and_what_was_not_is_forgotten(store):
    first, _ = open_ledger(store)
    flush(first, "a", "b")
    flush(first, "c")
    first.append(record("never flushed"))
    second, seen = open_ledger(store)
    assert seen == [record("a"), record("b"), record("c")]
    flush(second, "d")
    assert open_ledger(store)[1] == [record("a"), record("b"), record("c"), record("d")]


def test_records_and_completions_are_those_of_all_epochs_and_only_what_is_durable(store):
    first, _ = open_ledger(store)
    done = {"done": {"worker": "w", "segment": "s", "headers": ["h"], "mini_batches": [[0, 1]]}}
    first.append(done)
    flush(first, "a")
    second, _ = open_ledger(store)
    flush(second, "b")
    second.append(record("not yet"))
    assert list(second.records()) == [done, record("a"), record("b")]
    assert list(first.records()) == [done, record("a")]


def test_nothing_is_written_when_there_is_nothing_to_write(store):
    ledger = Ledger.claim(store, {})
    ledger.flush()
    ledger.flush()
    assert store.names("state/ledger") == []


def test_more_than_a_million_flushes_keep_their_order(store):
    ledger, _ = open_ledger(store)
    flush(ledger, "first")
    ledger._written = 999_998
    flush(ledger, "millionth but one")
    flush(ledger, "millionth")
    later, seen = open_ledger(store)
    assert seen == [record("first"), record("millionth but one"), record("millionth")]
    flush(later, "after")
    assert open_ledger(store)[1] == [*seen, record("after")]


@pytest.mark.parametrize("data", [b"no JSON\n", b'{"tried": "cut'], ids=["foreign", "cut short"])
def test_an_object_that_is_no_ledger_is_not_read_over(store, data):
    Ledger.claim(store, {})
    store.create("state/ledger/000001-000001.jsonl", data)
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        open_ledger(store)


# --- crashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(40))
def test_a_crash_between_any_two_calls_loses_nothing_that_was_acknowledged(store, after):
    """Three coordinators, one after another; the `after`th store call of them all kills the one that makes it."""
    calls = itertools.count()

    def before():
        if next(calls) == after:
            raise Crash

    acknowledged, written = [], []
    for epoch in range(3):
        try:
            ledger, _ = open_ledger(Gate(store, before))
            for number in range(3):
                written.append(record(f"{epoch}.{number}"))
                flush(ledger, f"{epoch}.{number}")
                acknowledged.append(written[-1])
        except Crash:
            continue
    _, seen = open_ledger(store)
    assert [each for each in seen if each in acknowledged] == acknowledged
    assert [each for each in written if each in seen] == seen


def test_a_flush_that_failed_is_made_up_for_by_the_next(store):
    fails = False

    def before():
        if fails:
            raise OSError("the disk is full")

    ledger, _ = open_ledger(Gate(store, before))
    flush(ledger, "a")
    fails = True
    with pytest.raises(OSError, match="full"):
        flush(ledger, "b")
    fails = False
    flush(ledger, "c")
    assert open_ledger(store)[1] == [record("a"), record("b"), record("c")]


@pytest.mark.parametrize("later", [[], ["b", "c"]], ids=["nothing new since", "more since"])
def test_a_flush_that_was_written_without_an_answer_is_not_taken_for_another_coordinators(store, later):
    class Deaf:
        """Writes, and does not say so."""

        lost = 1

        def __getattr__(self, name):
            return getattr(store, name)

        def create(self, name, data):
            written = store.create(name, data)
            if name.startswith("state/ledger") and self.lost:
                self.lost -= 1
                raise OSError("no answer")
            return written

    ledger, _ = open_ledger(Deaf())
    with pytest.raises(OSError, match="no answer"):
        flush(ledger, "a")
    flush(ledger, *later)
    assert open_ledger(store)[1] == [record(name) for name in ["a", *later]]


@pytest.mark.parametrize(
    "failing",
    [{1: True, 3: False}, {1: True, 3: True}, {1: True, 3: False, 4: True}, {1: False}],
    ids=["the rest too", "the rest without an answer", "again", "nothing written"],
)
def test_no_record_is_written_twice_however_flushes_fail(store, failing):
    class Flaky:
        """Fails in some calls: after it wrote (True), or before."""

        calls = 0

        def __getattr__(self, name):
            return getattr(store, name)

        def create(self, name, data):
            if not name.startswith("state/ledger"):
                return store.create(name, data)
            self.calls += 1
            written = failing.get(self.calls, True) and store.create(name, data)
            if self.calls in failing:
                raise OSError("no answer")
            return written

    ledger, _ = open_ledger(Flaky())
    names = "abcde"
    for name in names:
        with contextlib.suppress(OSError):
            flush(ledger, name)
    ledger.flush()
    assert open_ledger(store)[1] == [record(name) for name in names]


def test_records_that_come_while_another_thread_writes_are_in_the_next_flush(store):
    names = iter(["during"])

    def before():
        for name in names:
            ledger.append(record(name))

    ledger, _ = open_ledger(store)
    ledger._store = Gate(store, before)
    flush(ledger, "before")
    assert list(ledger.records()) == [record("before")]
    ledger.flush()
    assert list(ledger.records()) == [record("before"), record("during")]


# --- two coordinators ------------------------------------------------------------------------------------------------


def test_a_displaced_coordinator_stops_at_its_next_flush_even_with_nothing_to_write(store):
    first, _ = open_ledger(store)
    flush(first, "a")
    open_ledger(store)
    with pytest.raises(SupersededError, match="another coordinator claimed epoch 2"):
        first.flush()


def test_what_a_displaced_coordinator_still_wrote_is_void(store):
    first, _ = open_ledger(store)
    flush(first, "in time")
    second, seen = open_ledger(store)
    with pytest.raises(SupersededError):
        flush(first, "too late")
    flush(second, "second")
    assert seen == [record("in time")]
    assert open_ledger(store)[1] == list(second.records()) == [record("in time"), record("second")]


def test_what_it_wrote_before_the_other_looked_counts(store):
    first, _ = open_ledger(store)
    second = Ledger.claim(store, {})
    with pytest.raises(SupersededError):
        flush(first, "just in time")
    assert list(second.replay()) == [record("just in time")]
    flush(second, "second")
    assert open_ledger(store)[1] == [record("just in time"), record("second")]


def test_what_it_wrote_counts_when_the_other_left_nothing(store):
    first, _ = open_ledger(store)
    flush(first, "a")
    open_ledger(store)  # and dies before its first flush
    with pytest.raises(SupersededError):
        flush(first, "b")
    assert open_ledger(store)[1] == [record("a"), record("b")]


class Coordinator:
    """One coordinator in a thread of its own, that makes one store call each time it is given its turn."""

    def __init__(self, store, flushes):
        self.name = f"coordinator {next(fresh)}"
        self.epoch = None
        self.seen = None
        self.acknowledged = []
        self.displaced = False
        self._flushes = flushes
        self._store = Gate(store, self._wait_for_turn)
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._killed = self._ended = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._back.acquire()

    def turn(self):
        """Let it make one call of the store, if it is alive."""
        if not self._ended:
            self._go.release()
            self._back.acquire()

    def kill(self):
        """End it before its next call."""
        self._killed = True
        self.turn()
        self._thread.join()

    def _run(self):
        try:
            self._wait_for_turn()
            ledger = Ledger.claim(self._store, {})
            self.epoch = ledger.epoch
            self.seen = list(ledger.replay())
            for number in range(self._flushes):
                mine = f"{ledger.epoch}.{number}"
                flush(ledger, mine)
                self.acknowledged.append(record(mine))
        except SupersededError:
            self.displaced = True
        except Crash:
            pass
        finally:
            self._ended = True
            self._back.release()

    def _wait_for_turn(self):
        self._back.release()
        self._go.acquire()
        if self._killed:
            raise Crash


@settings(max_examples=400)
@given(flushes=st.integers(1, 4), turns=st.lists(st.integers(0, 3), max_size=80))
def test_coordinators_in_any_order_agree_on_what_is_done(flushes, turns):
    store = memory()
    coordinators = [Coordinator(store, flushes) for _ in range(4)]
    for number in turns:
        coordinators[number].turn()
    for each in coordinators:
        each.kill()
    observer, final = open_ledger(store)
    names = [each["tried"] for each in final]
    assert names == sorted(set(names)), "each record once, in the order of epochs and flushes"
    for each in coordinators:
        assert each.acknowledged == [entry for entry in each.acknowledged if entry in final], "acknowledged is durable"
        if any(name.startswith(f"{each.epoch}.") for name in names):
            earlier = [entry for entry in final if int(entry["tried"].split(".")[0]) < each.epoch]
            assert earlier == each.seen, "whose word counts has seen all that counts before it: nothing runs twice"
    assert list(observer.records()) == final
    assert open_ledger(store)[1] == final, "the next one sees the same"
