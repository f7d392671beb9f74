"""The plan as tables: what is seen, and what is done about it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from longshore_api.errors import Problem
from longshore_client import api
from longshore_operator.cluster.coordinators import Endpoint
from longshore_operator.common.actions import Delete, Drain, Occupy, ReportGone
from longshore_operator.common.conditions import blocked_by_refusal, milestones, sentence
from longshore_operator.common.lifecycle import after_refusal
from longshore_operator.common.pods import observed_pod
from longshore_operator.common.pool import Claim, Holder, Pool
from longshore_operator.common.reasons import INVALID
from longshore_operator.common.values import Blocked, Control, Pod
from longshore_operator.manifests.subject import Subject
from longshore_operator.settings import Settings
from longshore_operator.steps import status as statuses
from longshore_operator.steps.decide import decide
from longshore_operator.steps.observed import ObservedStep, Unreachable
from longshore_planner.cluster.nodes import NodeShape
from longshore_planner.cluster.pod_requirements import PodRequirements, Volume
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_protocol.job import APPEND_ROW, Input, Job, MiniBatchSize, Output
from longshore_protocol.snapshot import MiniBatchCounts, Snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEP = ObservedStep(
    subject=Subject("ParallelRunStep", "n", "score", "uid-of-step"), generation=1, created=NOW - timedelta(minutes=1)
)
ENDPOINT = Endpoint("n", "score", api.Endpoint("https://10.0.0.1:8443", "t"))
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
RUN = ClusterRun("n", "score", "uid-of-step", 1, JOB, PodRequirements("image", volumes=(Volume(claim="c"),)))
OBJECTS = {"Secret": "s", "Service": "v", "NetworkPolicy": "p"}
COORDINATOR = Pod("score-coordinator", "c", "Running")
WORKERS = (Pod("score-worker-0", "0", "Running", index=0), Pod("score-worker-1", "1", "Running", index=1))
COUNTS = MiniBatchCounts(total=10, scheduled=10, succeeded=3)
RUNNING = Snapshot("Running", JOB.run_id, JOB.run_uri, JOB.output.uri, 1, mini_batches=COUNTS)
UP = replace(STEP, run=RUN, objects=OBJECTS, pods=(COORDINATOR, *WORKERS), endpoint=ENDPOINT, progress=RUNNING)
REFUSED = replace(STEP, status=statuses.not_begun(STEP, Blocked(INVALID, "no"), final=True, now=NOW))
ENDED = replace(STEP, status=statuses.from_snapshot(UP, replace(RUNNING, state="Succeeded"), now=NOW))


def worker(**changes):
    return replace(WORKERS[0], **changes)


def told(action):
    match action:
        case Delete(kind, name, _, at_once):
            return f"delete {kind} {name}" + (" at once" if at_once else "")
        case ReportGone(name):
            return f"gone {name}"
        case Drain(name):
            return f"drain {name}"
        case Occupy(compute, max_nodes, pods):
            return f"occupy {compute} to {max_nodes}: {' '.join(each.metadata.name for each in pods)}"
        case _:
            manifest = getattr(action, "manifest", None)
            made = f"{manifest.kind} {manifest.metadata.name}" if manifest else "Secret"
            return f"{type(action).__name__.lower()} {made}"


def halted(seen=UP, **control):
    return replace(seen, control=Control(**control))


def ended(seconds_ago, **control):
    status = ENDED.status.model_copy(update={"completion_time": NOW - timedelta(seconds=seconds_ago)})
    return replace(UP, status=status, control=Control(**control), objects={}, pods=())


def sharing(*, held, of, wanted=2, others=0):
    """A pool in which the step has some nodes, and a step before it the others."""
    first = Claim(Holder("first"), 0, STEP.created - timedelta(minutes=1), others, others)
    return Pool("cpu", of, (Claim(Holder("score"), 0, STEP.created, held, wanted), first), held + others)


SHARED = replace(RUN, provision=replace(RUN.provision, node=NodeShape(compute="cpu")))
IDLE = replace(RUNNING, mini_batches=replace(COUNTS, succeeded=9), idle_workers=("score-worker-0", "score-worker-1"))
LATE = NOW - timedelta(seconds=61)

EVERYTHING = [
    "create ConfigMap score-run",
    "issue Secret",
    "create Service score-coordinator",
    "create NetworkPolicy score-run",
    "create Pod score-coordinator",
    "create Pod score-worker-0",
    "create Pod score-worker-1",
]

CASES = {
    "a new step gets all at once, the frozen run first": (replace(STEP, resolved=RUN), EVERYTHING),
    "a step that is half made gets the rest": (replace(UP, objects={}, pods=(), progress=None), EVERYTHING[1:]),
    "a step that runs is left alone": (UP, []),
    "a step with bad input gets nothing": (replace(STEP, resolved=(Problem("x", "spec.y", "is bad"),)), []),
    "a refused step gets nothing": (replace(REFUSED, resolved=RUN), []),
    "a refused step with a new spec begins": (replace(REFUSED, generation=2, resolved=RUN), EVERYTHING),
    "a step beside somebody else's object gets nothing": (replace(STEP, foreign="Pod score-worker-0"), []),
    "a worker that failed is told, then deleted": (
        replace(UP, pods=(COORDINATOR, worker(phase="Failed"), WORKERS[1])),
        ["gone score-worker-0", "delete Pod score-worker-0"],
    ),
    "a worker that is absent is told, then made": (
        replace(UP, pods=(COORDINATOR, WORKERS[1])),
        ["gone score-worker-0", "create Pod score-worker-0"],
    ),
    "a worker that leaves is waited for": (replace(UP, pods=(COORDINATOR, worker(gone_by=NOW), WORKERS[1])), []),
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
    "an idle worker of more than there is work for is drained": (
        replace(UP, progress=IDLE),
        ["drain score-worker-0"],
    ),
    "an idle worker that leaves anyway is not drained, nor is another one": (
        replace(UP, pods=(COORDINATOR, worker(gone_by=NOW), WORKERS[1]), progress=IDLE),
        [],
    ),
    "an idle worker stays while there may be work for it": (
        replace(UP, progress=replace(IDLE, mini_batches=COUNTS)),
        [],
    ),
    "a worker that is late in leaving is removed": (
        replace(UP, pods=(COORDINATOR, worker(gone_by=LATE), WORKERS[1])),
        ["delete Pod score-worker-0 at once"],
    ),
    "a coordinator that is late in leaving is removed": (
        replace(UP, pods=(replace(COORDINATOR, gone_by=LATE), *WORKERS), progress=None),
        ["delete Pod score-coordinator at once"],
    ),
    "a coordinator that leaves is waited for": (
        replace(UP, pods=(replace(COORDINATOR, gone_by=NOW), *WORKERS), progress=None),
        [],
    ),
    "a new step takes what nodes it can use of a ComputeCluster": (
        replace(STEP, resolved=SHARED, pool=sharing(held=0, of=3)),
        [*EVERYTHING[:5], "occupy cpu to 3: score-worker-0 score-worker-1"],
    ),
    "a new step starts with fewer nodes than it can use": (
        replace(STEP, resolved=SHARED, pool=sharing(held=0, of=3, others=2)),
        [*EVERYTHING[:5], "occupy cpu to 3: score-worker-0"],
    ),
    "a new step without a node waits, and nothing is started": (
        replace(STEP, resolved=SHARED, pool=sharing(held=0, of=3, others=3)),
        [],
    ),
    "a step that has begun keeps its coordinator while it has no node": (
        replace(UP, run=SHARED, pods=(), progress=None, pool=sharing(held=0, of=3, others=3)),
        ["create Pod score-coordinator"],
    ),
    "a step of a ComputeCluster that is gone goes on with the nodes it has": (
        replace(UP, run=SHARED, pods=(COORDINATOR, WORKERS[0]), pool=sharing(held=1, of=None)),
        [],
    ),
    "a suspended step ends its workers first": (
        halted(suspend=True),
        ["delete Pod score-worker-0", "delete Pod score-worker-1"],
    ),
    "a suspended step waits for its workers to end": (
        halted(replace(UP, pods=(COORDINATOR, worker(gone_by=NOW))), suspend=True),
        [],
    ),
    "a suspended step removes a worker that does not end": (
        halted(replace(UP, pods=(COORDINATOR, worker(gone_by=LATE))), suspend=True),
        ["delete Pod score-worker-0 at once"],
    ),
    "a suspended step ends its coordinator after its workers": (
        halted(replace(UP, pods=(COORDINATOR,)), suspend=True),
        ["delete Pod score-coordinator"],
    ),
    "a suspended step keeps the run alone": (
        halted(replace(UP, pods=(), progress=None), suspend=True),
        ["delete Secret score-run", "delete Service score-coordinator", "delete NetworkPolicy score-run"],
    ),
    "a step that was suspended goes on": (replace(UP, objects={}, pods=(), progress=None), EVERYTHING[1:]),
    "a step that is suspended from the start starts nothing": (halted(replace(STEP, resolved=RUN), suspend=True), []),
    "a cancelled step ends its workers first": (
        halted(cancel=True),
        ["delete Pod score-worker-0", "delete Pod score-worker-1"],
    ),
    "a step that is over before it is cancelled keeps its verdict": (
        halted(replace(UP, progress=replace(RUNNING, state="Succeeded")), cancel=True),
        [],
    ),
    "an ended step is there until its time has come": (ended(9, ttl_seconds=10), []),
    "an ended step is deleted when its time has come": (
        ended(10, ttl_seconds=10),
        ["delete ParallelRunStep score"],
    ),
    "a step that writes its output is not stopped any more": (
        halted(replace(UP, pods=(COORDINATOR,), progress=replace(RUNNING, state="Assembling")), cancel=True),
        [],
    ),
    "a worker that a node did not take is not made again at once": (
        replace(UP, pods=(COORDINATOR, worker(phase="Failed", reason="OutOfcpu", created=NOW), WORKERS[1])),
        [],
    ),
    "a worker that a node did not take is made again after a pause": (
        replace(
            UP,
            pods=(
                COORDINATOR,
                worker(phase="Failed", reason="OutOfcpu", created=NOW - timedelta(seconds=10)),
                WORKERS[1],
            ),
        ),
        ["gone score-worker-0", "delete Pod score-worker-0"],
    ),
    "a step that waits for another one's end starts nothing": (
        replace(STEP, resolved=Blocked("WaitingForStep", "waiting for first to end")),
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
        replace(UP, status=ENDED.status, progress=None),
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
        (replace(STEP, resolved=RUN), ("Unknown", "StartingCoordinator")),
        (replace(UP, progress=Unreachable("away")), ("Unknown", "WaitingForCoordinator")),
        (replace(UP, progress=replace(RUNNING, state="Succeeded")), ("True", "Succeeded")),
        (replace(UP, progress=replace(RUNNING, state="Failed", reason="NoProgress")), ("False", "NoProgress")),
        (
            replace(UP, progress=replace(RUNNING, state="Interrupted", reason="Interrupted")),
            ("Unknown", "WaitingForCoordinator"),
        ),
        (replace(STEP, resolved=(Problem("x", "spec.y", "is bad"),)), ("False", "InvalidInput")),
        (
            replace(STEP, created=NOW, resolved=(Problem("x", "spec.y", "is bad"),)),
            ("Unknown", "InvalidInput"),
        ),
        (
            replace(STEP, resolved=SHARED, pool=sharing(held=0, of=3, others=3)),
            ("Unknown", "WaitingForNodes"),
        ),
        (replace(STEP, resolved=Blocked("WaitingForStep", "waiting")), ("Unknown", "WaitingForStep")),
        (halted(suspend=True), ("Unknown", "Suspending")),
        (
            halted(replace(UP, progress=replace(RUNNING, state="Interrupted", reason="Interrupted")), suspend=True),
            ("Unknown", "Suspending"),
        ),
        (halted(replace(UP, pods=(), progress=None), suspend=True), ("Unknown", "Suspended")),
        (halted(cancel=True), ("Unknown", "Cancelling")),
        (halted(replace(UP, pods=(), progress=None), cancel=True), ("False", "Cancelled")),
        (halted(replace(UP, progress=replace(RUNNING, state="Succeeded")), cancel=True), ("True", "Succeeded")),
        (
            replace(UP, pods=(COORDINATOR, worker(blocked=Blocked("Unschedulable", "no room"))), progress=None),
            ("Unknown", "Unschedulable"),
        ),
        (
            replace(UP, pods=(COORDINATOR, worker(blocked=Blocked("Unschedulable", "no room")), WORKERS[1])),
            ("Unknown", "Running"),
        ),
    ],
)
def test_the_condition_states_where_it_is(seen, condition):
    assert succeeded(seen) == condition


@pytest.mark.parametrize("seen", [UP, replace(UP, status=ENDED.status), replace(UP, pods=(), progress=None)])
def test_a_change_of_the_spec_is_marked_as_observed_by_a_step_that_is_finished_already(seen):
    changed = replace(seen, generation=7)
    status = decide(changed, Settings(image="i"), now=NOW).status
    assert status.observed_generation == 7
    assert {each.observed_generation for each in status.conditions} == {7}


def test_a_status_names_places_as_its_readers_know_them():
    status = decide(UP, Settings(image="i"), now=NOW).status
    assert (status.run_uri, status.output.uri) == ("pvc:c/r", "pvc:c/r/out")


def test_many_problems_are_reported_as_a_few_and_a_number():
    text = sentence([Problem(f"x{n}", "", "is bad") for n in range(8)])
    assert text.startswith("x0: is bad; x1: is bad")
    assert text.endswith("; and 3 more")


def test_of_a_pod_without_a_status_nothing_is_supposed():
    seen = observed_pod({"metadata": {"name": "score-worker-3", "uid": "u"}}, index=3)
    assert seen == Pod("score-worker-3", "u", "Pending", index=3)


def test_a_cancelled_step_states_what_is_kept_and_how_to_go_on():
    running = replace(UP, status=statuses.from_snapshot(UP, RUNNING, now=NOW))
    status = decide(replace(halted(running, cancel=True), pods=(), progress=None), Settings(image="i"), now=NOW).status
    message = "cancelled: 3 of 10 mini-batches are committed; a step with resumeFrom: score goes on from there"
    assert status.condition("Succeeded").message == message
    assert status.condition("Finished").status == "True"
    assert (status.progress.columns.done, status.progress.columns.workers) == ("3/10", "0/0")


def test_what_the_api_server_refuses_is_reported_while_nothing_runs():
    plan = decide(replace(STEP, resolved=RUN), Settings(image="i"), now=NOW)
    refusal = 'pods "score-worker-1" is forbidden: exceeded quota: small, requested: pods=1'
    told = after_refusal(plan, STEP.status, blocked_by_refusal(refusal), now=NOW)
    assert told.status.condition("Succeeded").reason == "QuotaExceeded"
    assert told.status.condition("Succeeded").message == refusal
    assert [each.type for each in milestones(STEP.status, told.status)] == ["Warning"]
    running = after_refusal(decide(UP, Settings(image="i"), now=NOW), STEP.status, blocked_by_refusal(refusal), now=NOW)
    assert running.status.condition("Succeeded").reason == "Running"


@pytest.mark.parametrize(
    ("refusal", "stalled"),
    [
        ('pods "score-coordinator" is forbidden: violates PodSecurity "restricted:latest"', "True"),
        ("images of example.com are not allowed", "True"),
        ('pods "score-coordinator" is forbidden: maximum cpu usage per Container is 2, but limit is 4', "True"),
        ('User "system:serviceaccount:longshore-system:longshore" cannot create resource "pods"', "True"),
        ("exceeded quota: small, requested: pods=1", "False"),
        ('error looking up service account research/scores: serviceaccount "scores" not found', "False"),
        ("no PriorityClass with name low was found", "False"),
        ("unable to create new content in namespace research because it is being terminated", "False"),
    ],
)
def test_a_step_that_a_rule_of_the_cluster_refuses_is_stalled_since_the_first_refusal(refusal, stalled):
    plan, later = decide(replace(STEP, resolved=RUN), Settings(image="i"), now=NOW), NOW + timedelta(minutes=5)
    first = after_refusal(plan, STEP.status, blocked_by_refusal(refusal), now=NOW).status
    again = decide(replace(STEP, status=first, resolved=RUN), Settings(image="i"), now=later)
    second = after_refusal(again, first, blocked_by_refusal(refusal), now=later).status
    for each in (first, second):
        assert each.condition("Stalled").status == stalled
        assert each.condition("Stalled").last_transition_time == NOW
    passed = decide(replace(STEP, status=second, resolved=RUN), Settings(image="i"), now=later)
    assert passed.status.condition("Stalled").status == "False"


def test_what_an_earlier_coordinator_stated_stays_until_the_next_one_has_listed_the_inputs():
    before = statuses.from_snapshot(UP, replace(RUNNING, started=60.0), now=NOW)
    again = replace(RUNNING, started=120.0, mini_batches=MiniBatchCounts(scheduled=1, succeeded=1))
    seen = replace(UP, status=before)
    told = statuses.from_snapshot(seen, again, now=NOW)
    assert told.start_time == before.start_time
    assert (told.progress.columns.done, told.progress.mini_batches) == ("3/10", before.progress.mini_batches)
    listed = replace(again, mini_batches=MiniBatchCounts(total=10, scheduled=10, succeeded=2))
    assert statuses.from_snapshot(seen, listed, now=NOW).progress.columns.done == "2/10"
