"""The plan as tables: what is seen, and what is done about it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from longshore_api.errors import Problem
from longshore_operator.plan import statuses
from longshore_operator.plan.actions import Delete, TellGone
from longshore_operator.plan.decide import decide
from longshore_operator.plan.observed import Observed, Pod, Step, Trouble, Unreachable
from longshore_operator.plan.pods import pod
from longshore_operator.settings import Settings
from longshore_planner.cluster import ClusterRun, Volume
from longshore_protocol.job import APPEND_ROW, Input, Job, MiniBatchSize, Output
from longshore_protocol.snapshot import MiniBatchCounts, Snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEP = Step("n", "score", "uid-of-step", 1, NOW - timedelta(minutes=1))
JOB = Job(
    name="score",
    run_id="score-uid-of-s",
    run_uri="/mnt/longshore/claim/c/r",
    inputs=(Input("in", ("/mnt/longshore/claim/c/in",)),),
    mini_batch=MiniBatchSize("files", 1),
    output=Output(APPEND_ROW, "/mnt/longshore/claim/c/r/out"),
    source_uri="/code",
    entry_script="score.py",
    workers=2,
)
RUN = ClusterRun("n", "score", "uid-of-step", 1, JOB, "image", "python", volumes=(Volume(claim="c"),))
OBJECTS = {"Secret": "s", "Service": "v", "NetworkPolicy": "p"}
COORDINATOR = Pod("score-coordinator", "c", "Running")
WORKERS = (Pod("score-worker-0", "0", "Running", index=0), Pod("score-worker-1", "1", "Running", index=1))
COUNTS = MiniBatchCounts(total=10, scheduled=10, succeeded=3)
RUNNING = Snapshot("Running", JOB.run_id, JOB.run_uri, JOB.output.uri, 1, mini_batches=COUNTS)
UP = Observed(STEP, RUN, objects=OBJECTS, pods=(COORDINATOR, *WORKERS), progress=RUNNING)
REFUSED = replace(STEP, status=statuses.not_begun(STEP, reason=statuses.INVALID, message="no", final=True, now=NOW))
ENDED = replace(UP.step, status=statuses.from_snapshot(UP, RUN, replace(RUNNING, state="Succeeded"), now=NOW))


def worker(**changes):
    return replace(WORKERS[0], **changes)


def told(action):
    match action:
        case Delete(kind, name, _):
            return f"delete {kind} {name}"
        case TellGone(name):
            return f"gone {name}"
        case _:
            manifest = getattr(action, "manifest", None)
            made = f"{manifest.kind} {manifest.metadata.name}" if manifest else "Secret"
            return f"{type(action).__name__.lower()} {made}"


EVERYTHING = [
    "create ConfigMap score-run",
    "issue Secret",
    "apply Service score-coordinator",
    "apply NetworkPolicy score-run",
    "create Pod score-coordinator",
    "create Pod score-worker-0",
    "create Pod score-worker-1",
]

CASES = {
    "a new step gets all at once, the settled run first": (Observed(STEP, resolved=RUN), EVERYTHING),
    "a step that is half made gets the rest": (replace(UP, objects={}, pods=(), progress=None), EVERYTHING[1:]),
    "a step that runs is left alone": (UP, []),
    "a step with bad input gets nothing": (Observed(STEP, resolved=(Problem("x", "spec.y", "is bad"),)), []),
    "a refused step gets nothing": (Observed(REFUSED, resolved=RUN), []),
    "a refused step with a new spec begins": (Observed(replace(REFUSED, generation=2), resolved=RUN), EVERYTHING),
    "a step beside somebody else's object gets nothing": (Observed(STEP, foreign="Pod score-worker-0"), []),
    "a worker that failed is told, then deleted": (
        replace(UP, pods=(COORDINATOR, worker(phase="Failed"), WORKERS[1])),
        ["gone score-worker-0", "delete Pod score-worker-0"],
    ),
    "a worker that is absent is told, then made": (
        replace(UP, pods=(COORDINATOR, WORKERS[1])),
        ["gone score-worker-0", "create Pod score-worker-0"],
    ),
    "a worker that leaves is waited for": (replace(UP, pods=(COORDINATOR, worker(leaving=True), WORKERS[1])), []),
    "a worker that ended while nobody can be asked stays": (
        replace(UP, pods=(COORDINATOR, worker(phase="Succeeded"), WORKERS[1]), progress=Unreachable("away")),
        [],
    ),
    "a worker of more than there is work for is not replaced": (
        replace(UP, pods=(COORDINATOR,), progress=replace(RUNNING, mini_batches=replace(COUNTS, succeeded=9))),
        ["gone score-worker-0", "create Pod score-worker-0"],
    ),
    "a busy worker of more than there is work for is not deleted": (
        replace(UP, progress=replace(RUNNING, mini_batches=replace(COUNTS, succeeded=10))),
        [],
    ),
    "a coordinator that was evicted is deleted": (
        replace(UP, pods=(replace(COORDINATOR, phase="Failed"), *WORKERS), progress=None),
        ["delete Pod score-coordinator"],
    ),
    "a coordinator that was superseded is deleted": (
        replace(
            UP,
            pods=(
                replace(
                    COORDINATOR,
                    phase="Succeeded",
                    last_words=replace(RUNNING, state="Failed", reason="Superseded").to_json(),
                ),
                *WORKERS,
            ),
            progress=None,
        ),
        ["delete Pod score-coordinator"],
    ),
    "a coordinator that is absent is made, and its workers stay": (
        replace(UP, pods=WORKERS, progress=None),
        ["create Pod score-coordinator"],
    ),
    "a verdict is written before anything is cleaned up": (
        replace(UP, progress=replace(RUNNING, state="Failed", reason="NoProgress")),
        [],
    ),
    "an ended step is cleaned up, but for its records": (
        replace(UP, step=ENDED, progress=None),
        [
            "delete Pod score-worker-0",
            "delete Pod score-worker-1",
            "delete Secret score-run",
            "delete Service score-coordinator",
            "delete NetworkPolicy score-run",
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_actions(case):
    seen, actions = CASES[case]
    assert [told(each) for each in decide(seen, Settings(image="i"), now=NOW).actions] == actions


def succeeded(seen):
    plan = decide(seen, Settings(image="i"), now=NOW)
    condition = plan.status.condition("Succeeded")
    return condition.status, condition.reason


@pytest.mark.parametrize(
    ("seen", "condition"),
    [
        (UP, ("Unknown", "Running")),
        (Observed(STEP, resolved=RUN), ("Unknown", "StartingCoordinator")),
        (replace(UP, progress=Unreachable("away")), ("Unknown", "WaitingForCoordinator")),
        (replace(UP, progress=replace(RUNNING, state="Succeeded")), ("True", "Succeeded")),
        (replace(UP, progress=replace(RUNNING, state="Failed", reason="NoProgress")), ("False", "NoProgress")),
        (
            replace(UP, progress=replace(RUNNING, state="Interrupted", reason="Interrupted")),
            ("Unknown", "WaitingForCoordinator"),
        ),
        (Observed(STEP, resolved=(Problem("x", "spec.y", "is bad"),)), ("False", "InvalidInput")),
        (
            Observed(replace(STEP, created=NOW), resolved=(Problem("x", "spec.y", "is bad"),)),
            ("Unknown", "InvalidInput"),
        ),
        (
            replace(UP, pods=(COORDINATOR, worker(trouble=Trouble("Unschedulable", "no room"))), progress=None),
            ("Unknown", "Unschedulable"),
        ),
        (
            replace(UP, pods=(COORDINATOR, worker(trouble=Trouble("Unschedulable", "no room")), WORKERS[1])),
            ("Unknown", "Running"),
        ),
    ],
)
def test_the_condition_says_where_it_is(seen, condition):
    assert succeeded(seen) == condition


def test_a_spec_that_is_changed_during_the_run_is_not_what_the_status_is_about():
    status = decide(replace(UP, step=replace(STEP, generation=7)), Settings(image="i"), now=NOW).status
    assert status.observed_generation == 1


def test_a_status_names_places_as_its_readers_know_them():
    status = decide(UP, Settings(image="i"), now=NOW).status
    assert (status.run_uri, status.output.uri) == ("pvc:c/r", "pvc:c/r/out")


def test_many_problems_are_told_as_a_few_and_a_number():
    text = statuses.sentence([Problem(f"x{n}", "", "is bad") for n in range(8)])
    assert text.startswith("x0: is bad; x1: is bad")
    assert text.endswith("; and 3 more")


def test_of_a_pod_without_a_status_nothing_is_supposed():
    seen = pod({"metadata": {"name": "score-worker-3", "uid": "u"}}, step="score")
    assert seen == Pod("score-worker-3", "u", "Pending", index=3)
