"""Three coordinators on one run: what a displaced one writes late is void, and makes nothing else void."""

import pytest

from longshore_coordinator.ledger import Ledger, SupersededError
from longshore_coordinator.restore import belongs_to_another
from longshore_storage.store import LocalStore


def claimed(store, **about):
    ledger = Ledger.claim(store, about)
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


def test_a_run_belongs_to_the_step_that_wrote_last_and_not_to_one_that_only_claimed_it(tmp_path):
    store = LocalStore(str(tmp_path))
    first, _ = claimed(store, step="first")
    assert not belongs_to_another(first, step="first")
    assert not belongs_to_another(first, step="second"), "there is nothing to resume"
    first.flush()
    again, _ = claimed(store, step="first")
    assert not belongs_to_another(again, step="first")
    second, _ = claimed(store, step="second")  # ends before its first flush, which would say that it resumed
    assert belongs_to_another(second, step="second")
    second, _ = claimed(store, step="second")
    assert belongs_to_another(second, step="second")
    second.flush()
    assert not belongs_to_another(claimed(store, step="second")[0], step="second")
    assert belongs_to_another(claimed(store, step="first")[0], step="first")


def test_a_run_of_a_coordinator_that_named_no_step_belongs_to_any_caller(tmp_path):
    store = LocalStore(str(tmp_path))
    nameless, _ = claimed(store)
    nameless.flush()
    assert not belongs_to_another(claimed(store, step="any")[0], step="any")
