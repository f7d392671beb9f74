"""Who may continue a run, as tables; no cluster is asked."""

from datetime import UTC, datetime, timedelta

import pytest

from longshore_api.errors import InvalidDocuments
from longshore_operator.common.continuations import Continuation, follower, holder, rival
from longshore_operator.common.values import Blocked
from longshore_operator.steps.resume import EarlierStep, run_to_resume

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def one(name, minute, earlier, *, earlier_run_id="", finished=False, run_id=""):
    return Continuation(name, NOON + timedelta(minutes=minute), earlier, earlier_run_id, finished, run_id)


ME = one("me", 5, "first")

RIVALS = {
    "nobody else": ((), ""),
    "an older one that waits": ([one("old", 1, "first")], "old"),
    "a younger one that waits": ([one("young", 9, "first")], ""),
    "a younger one that has begun": ([one("young", 9, "first", run_id="r")], "young"),
    "an older one that has finished": ([one("old", 1, "first", finished=True, run_id="r")], ""),
    "an older one that names another holder of the run": (
        [one("second", 1, "first", finished=True, run_id="r"), one("old", 2, "second", earlier_run_id="r")],
        "old",
    ),
    "an older one that continues another run": ([one("other", 1, "elsewhere", earlier_run_id="x", run_id="x")], ""),
    "one whose spec names another run, but which has begun this one": (
        [one("changed", 9, "elsewhere", run_id="r")],
        "changed",
    ),
    "of two the oldest": ([one("b", 2, "first"), one("a", 2, "first")], "a"),
}


@pytest.mark.parametrize("case", RIVALS)
def test_who_continues_a_run_first(case):
    others, expected = RIVALS[case]
    assert rival((ME, *others), "first", "r", asking="me") == expected


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (one("other", 9, "first", run_id="r"), "other"),
        (one("other", 9, "first", run_id="x"), ""),
        (one("other", 9, "first"), ""),
        (one("other", 9, "first", run_id="r", finished=True), ""),
        (one("me", 9, "first", run_id="r"), ""),
    ],
)
def test_who_holds_a_run(other, expected):
    assert holder([other], "r", but="me") == expected


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (one("other", 9, "first", run_id="r", finished=True), "other"),
        (one("other", 9, "first", run_id="r"), ""),
        (one("other", 9, "first", finished=True), ""),
        (one("other", 9, "second", run_id="r", finished=True), ""),
        (one("me", 9, "first", run_id="r", finished=True), ""),
    ],
)
def test_who_has_continued_a_run_and_finished(other, expected):
    assert follower([other], "first", but="me") == expected


@pytest.mark.parametrize(
    ("earlier", "sentence"),
    [
        (None, "is 'first': there is no other ParallelRunStep of that name"),
        (EarlierStep("first", is_finished=True), "is 'first', which never began: there is nothing to resume"),
    ],
)
def test_a_step_that_has_nothing_to_continue_is_invalid(earlier, sentence):
    with pytest.raises(InvalidDocuments, match=sentence):
        run_to_resume("me", "first", earlier, (), where="step")


def test_a_step_waits_for_the_end_of_the_one_that_it_resumes():
    found = run_to_resume("me", "first", EarlierStep("first", is_finished=False), (), where="step")
    assert found == Blocked("WaitingForStep", "waiting for first to end, whose run this step resumes")
