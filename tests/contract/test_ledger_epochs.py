"""Three coordinators on one run: what a displaced one writes late is void, and makes nothing else void."""

import pytest

from longshore_coordinator.ledger import Ledger, SupersededError
from longshore_storage.store import LocalStore


def claimed(store):
    ledger = Ledger.claim(store, {})
    return ledger, list(ledger.replay())


def test_the_first_flush_of_a_coordinator_that_was_displaced_before_it_is_void(tmp_path):
    store = LocalStore(str(tmp_path))
    displaced, _ = claimed(store)
    later, taken_over = claimed(store)
    displaced.append({"tried": "late"})
    with pytest.raises(SupersededError):
        displaced.flush()
    later.append({"tried": "valid"})
    later.flush()
    assert taken_over == []
    assert list(later.records()) == [{"tried": "valid"}]


def test_a_void_coordinator_makes_nothing_void_that_the_one_after_it_took_over(tmp_path):
    store = LocalStore(str(tmp_path))
    first, _ = claimed(store)
    first.append({"tried": "early"})
    first.flush()
    displaced, _ = claimed(store)  # took over one object of the first, and wrote nothing yet
    first.append({"tried": "late for the second, in time for the third"})
    with pytest.raises(SupersededError):
        first.flush()
    third, taken_over = claimed(store)
    assert len(taken_over) == 2
    with pytest.raises(SupersededError):
        displaced.flush()
    third.flush()
    assert list(third.records()) == taken_over
    assert claimed(store)[1] == taken_over
