"""The loop that reconciles all kinds, with a controller and an executor that note what is asked of them."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from longshore_api.status import Condition, ResourceStatus
from longshore_operator.cluster.api import ApiError, Refused, Taken
from longshore_operator.common.actions import Delete, Event, Plan
from longshore_operator.common.values import Observation
from longshore_operator.manifests.subject import Subject
from longshore_operator.reconcile.loop import Reconciler

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIRST, LATER = Delete("Pod", "first", "1"), Delete("Pod", "later", "2")


def status(reason, message=""):
    condition = Condition(
        type="Succeeded",
        status="Unknown",
        reason=reason,
        message=message,
        last_transition_time=NOON,
        observed_generation=1,
    )
    return ResourceStatus(observed_generation=1, conditions=[condition])


PLAN = Plan((FIRST,), status("Running"), requeue_after=7.0, after=(LATER,))


@dataclass
class Controller:
    """Decides as a test says, and keeps what it was given when an action was refused."""

    plan: Plan = PLAN
    seen: Observation | None = field(
        default_factory=lambda: Observation(subject=Subject("Kind", "n", "a", "u"), generation=1, created=NOON)
    )
    refusals: list = field(default_factory=list)

    def observe(self, kind, namespace, name, *, now):
        assert (kind, namespace, name, now) == ("Kind", "n", "a", NOON)
        if isinstance(self.seen, Exception):
            raise self.seen
        return self.seen

    def decide(self, seen, *, now):
        return self.plan

    def refused(self, seen, plan, refusal, *, now):
        self.refusals.append((plan.actions, refusal.reason))
        return Plan((), status(refusal.reason), requeue_after=5.0)


@dataclass
class Executor:
    """Notes what is carried out, in order; `fails` has the errors of actions, by name."""

    fails: dict = field(default_factory=dict)
    done: list = field(default_factory=list)

    def execute(self, action, *, namespace, now):
        if action.name in self.fails:
            raise self.fails[action.name]
        self.done.append(action.name)

    def write_status(self, subject, written):
        self.done.append(f"status {written.condition('Succeeded').reason}")

    def create_event(self, subject, event, *, now):
        self.done.append(f"event {event.reason}")


class Loop:
    def __init__(self, controller=None, **fails):
        self.controller, self.executor = controller or Controller(), Executor(fails)
        self.seconds = 0.0
        self.reconciler = Reconciler(
            {"Kind": self.controller}, self.executor, now=lambda: NOON, monotonic=lambda: self.seconds
        )

    def reconcile(self):
        return self.reconciler.reconcile("Kind", "n", "a")


CASES = {
    "a plan": (Loop(), 7.0, ["first", "status Running", "event Running", "later"], []),
    "actions that are refused": (
        Loop(first=Refused("no")),
        5.0,
        ["status Refused", "event Refused"],
        [((FIRST,), "Refused")],
    ),
    "actions whose names are taken": (
        Loop(first=Taken("pods first already exists")),
        5.0,
        ["status NameTaken", "event NameTaken"],
        [((FIRST,), "NameTaken")],
    ),
    "what follows from the status, refused": (
        Loop(later=Refused("exceeded quota: small")),
        5.0,
        ["first", "status Running", "event Running", "status QuotaExceeded", "event QuotaExceeded"],
        [((), "QuotaExceeded")],
    ),
    "a plan with further events": (
        Loop(Controller(replace(PLAN, events=(Event("Warning", "StepFailed", "it failed"),)))),
        7.0,
        ["first", "status Running", "event StepFailed", "event Running", "later"],
        [],
    ),
    "a plan without a status": (Loop(Controller(replace(PLAN, status=None))), 7.0, ["first", "later"], []),
    "a resource that does not exist": (Loop(Controller(seen=None)), None, [], []),
}


@pytest.mark.parametrize("case", CASES)
def test_one_reconcile(case):
    loop, requeue_after, done, refusals = CASES[case]
    assert loop.reconcile() == requeue_after
    assert loop.executor.done == done
    assert loop.controller.refusals == refusals


@pytest.mark.parametrize("where", ["a read", "an action", "what follows from the status"])
def test_a_call_that_fails_ends_the_reconcile_for_a_retry(where):
    loop = Loop(
        **{"an action": {"first": ApiError("away")}, "what follows from the status": {"later": ApiError("away")}}.get(
            where, {}
        )
    )
    if where == "a read":
        loop.controller.seen = ApiError("away")
    with pytest.raises(ApiError, match="away"):
        loop.reconcile()
    expected = {"a read": [], "an action": []}.get(where, ["first", "status Running", "event Running"])
    assert loop.executor.done == expected
    assert loop.controller.refusals == []


def test_a_status_that_is_the_same_is_not_written_again():
    loop = Loop()
    loop.controller.seen = replace(loop.controller.seen, status=status("Running"))
    assert loop.reconcile() == 7.0
    assert loop.executor.done == ["first", "later"]


@pytest.mark.parametrize(
    ("seconds", "reason", "written"), [(0.5, "Running", False), (9.0, "Running", True), (0.5, "Draining", True)]
)
def test_progress_is_written_at_intervals_and_a_new_reason_at_once(seconds, reason, written):
    loop = Loop(Controller(Plan((), status("Running", "one"), requeue_after=7.0)))
    loop.reconcile()
    loop.controller.seen = replace(loop.controller.seen, status=status("Running", "one"))
    loop.controller.plan = Plan((), status(reason, "two"), requeue_after=7.0)
    loop.executor.done.clear()
    loop.seconds = seconds
    assert (loop.reconcile() == 7.0) is written
    assert bool(loop.executor.done) is written
