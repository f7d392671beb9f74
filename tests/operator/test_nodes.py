"""Nodes of a ComputeCluster: tables of what is seen and done."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from longshore_operator.common.actions import Create, Delete
from longshore_operator.common.pool import Claim, Holder, Pool
from longshore_operator.common.values import Blocked, Pod
from longshore_operator.compute_clusters.decide import ObservedCluster, Scale, decide
from longshore_operator.manifests.subject import Subject
from longshore_operator.settings import LowPriority, Settings
from longshore_planner.cluster.nodes import NodeShape

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
IDLE = timedelta(seconds=120)
SETTINGS = Settings(image="longshore:test")
SUBJECT = Subject("ComputeCluster", "n", "cpu", "uid")


def seen(*, workers=0, wanted=0, placeholders=(), before=None, min_nodes=0, max_nodes=4, idle=IDLE):
    """Nodes of a ComputeCluster; placeholders are given by their age in seconds, `before` is what the status counts."""
    claim = Claim(Holder("score"), 0, NOW, workers, wanted)
    nodes = ObservedCluster(
        subject=SUBJECT,
        generation=1,
        created=NOW,
        pool=Pool("cpu", max_nodes, (claim,), workers),
        scale=Scale(min_nodes, max_nodes, idle),
        shape=NodeShape("cpu"),
        workers=tuple(Pod(f"score-worker-{n}", f"w{n}", "Running", index=n) for n in range(workers)),
        placeholders=tuple(
            Pod(f"cpu-placeholder-{n}", f"p{n}", "Running", index=n, created=NOW - timedelta(seconds=age))
            for n, age in enumerate(placeholders)
        ),
    )
    if before is None:
        return nodes
    status = decide(nodes, SETTINGS, now=NOW).status.model_copy(update={"current_node_count": before})
    return replace(nodes, status=status)


def told(action):
    match action:
        case Delete(_, name, _):
            return f"delete {name}"
        case Create(manifest):
            return f"create {manifest.metadata.name}"


CASES = {
    "nobody has anything to do, and nothing is kept": (seen(), []),
    "the least number of nodes is kept": (seen(min_nodes=2), ["create cpu-placeholder-0", "create cpu-placeholder-1"]),
    "workers count as nodes that are kept": (seen(workers=2, wanted=2, min_nodes=2), []),
    "a placeholder yields to a worker": (
        seen(workers=1, wanted=1, placeholders=[50], min_nodes=1, before=1),
        ["delete cpu-placeholder-0"],
    ),
    "a placeholder yields before the worker is there": (
        seen(wanted=1, placeholders=[50], min_nodes=1),
        ["delete cpu-placeholder-0"],
    ),
    "of two placeholders one yields, the older one": (
        seen(wanted=1, placeholders=[50, 60], min_nodes=2),
        ["delete cpu-placeholder-1"],
    ),
    "what a worker left is held": (seen(workers=1, wanted=1, before=2), ["create cpu-placeholder-0"]),
    "what a worker left is not held while it comes back": (seen(workers=1, wanted=2, before=2, max_nodes=2), []),
    "what a worker left is not held without an idle time": (seen(before=2, idle=timedelta(0)), []),
    "what was given back before is not held again": (seen(before=0), []),
    "a node that is idle for long is given back": (
        seen(placeholders=[120, 119], before=2),
        ["delete cpu-placeholder-0"],
    ),
    "a node that is idle for long stays if it is one of the least": (
        seen(placeholders=[500], before=1, min_nodes=1),
        [],
    ),
    "a name that is taken is left out": (
        seen(placeholders=[500], before=1, min_nodes=2),
        ["create cpu-placeholder-1"],
    ),
    "never more nodes than there may be": (
        seen(workers=2, wanted=4, placeholders=[1, 1], max_nodes=3, before=4),
        ["delete cpu-placeholder-0", "delete cpu-placeholder-1"],
    ),
    "a placeholder that leaves is none": (
        replace(
            seen(min_nodes=1),
            placeholders=(Pod("cpu-placeholder-0", "p", "Running", index=0, gone_by=NOW),),
        ),
        ["create cpu-placeholder-1"],
    ),
    "a placeholder that was evicted is replaced": (
        replace(seen(min_nodes=1), placeholders=(Pod("cpu-placeholder-0", "p", "Failed", index=0),)),
        ["delete cpu-placeholder-0", "create cpu-placeholder-1"],
    ),
    "with a spec that is wrong all stays as it is": (
        replace(seen(placeholders=[500], before=1), scale=None, problem="spec.vmSize is 'x'"),
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_done(case):
    found, actions = CASES[case]
    assert [told(each) for each in decide(found, SETTINGS, now=NOW).actions] == actions


def test_the_next_look_is_when_the_next_node_was_idle_for_long():
    assert decide(seen(placeholders=[20, 90], before=2), SETTINGS, now=NOW).requeue_after == 30.0
    assert decide(seen(workers=1, wanted=1), SETTINGS, now=NOW).requeue_after == 60.0  # in case no event comes


def test_the_status_is_that_of_azure_ml():
    found = replace(
        seen(workers=2, wanted=3, placeholders=[5], before=3, min_nodes=4),
        workers=(
            Pod("a", "a", "Running"),
            Pod("b", "b", "Pending", blocked=Blocked("Unschedulable", "0/1 nodes are available")),
        ),
    )
    status = decide(found, SETTINGS, now=NOW).status.to_dict()
    (ready,) = status.pop("conditions")
    assert status == {
        "observedGeneration": 1,
        "allocationState": "Resizing",
        "allocationStateTransitionTime": "2026-01-01T12:00:00Z",
        "currentNodeCount": 3,
        "targetNodeCount": 4,
        "nodeStateCounts": {
            "idleNodeCount": 1,
            "leavingNodeCount": 0,
            "preemptedNodeCount": 0,
            "preparingNodeCount": 1,
            "runningNodeCount": 1,
            "unusableNodeCount": 0,
        },
    }
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "True", "Unschedulable")
    assert ready["message"] == "waiting for 2 of 4 nodes: 0/1 nodes are available"


@pytest.mark.parametrize(
    ("phase", "reason", "state"),
    [
        ("Failed", "Evicted", "preemptedNodeCount"),
        ("Failed", "Preempting", "preemptedNodeCount"),
        ("Failed", "", "unusableNodeCount"),
        ("Succeeded", "", "leavingNodeCount"),
    ],
)
def test_nodes_are_counted_by_their_outcome(phase, reason, state):
    found = replace(seen(workers=1, wanted=1), workers=(Pod("a", "a", phase, reason=reason),))
    counts = decide(found, SETTINGS, now=NOW).status.to_dict()["nodeStateCounts"]
    assert {name for name, count in counts.items() if count} == {state}


def test_a_spec_that_is_wrong_is_reported():
    status = decide(replace(seen(), scale=None, problem="spec.vmSize is 'x'"), SETTINGS, now=NOW).status
    (ready,) = status.conditions
    assert (ready.status, ready.reason, ready.message) == ("False", "InvalidInput", "spec.vmSize is 'x'")


def test_a_placeholder_yields_to_whatever_needs_its_room():
    settings = Settings(
        image="longshore:test",
        placeholder_priority_class="longshore-placeholder",
        low_priority=LowPriority("longshore-lowpriority", {"pool": "spot"}, ({"key": "spot", "operator": "Exists"},)),
    )
    found = replace(
        seen(min_nodes=1),
        shape=NodeShape("cpu", requests={"cpu": "2"}, low_priority=True, template={"spec": {"priorityClassName": "x"}}),
    )
    (made,) = decide(found, settings, now=NOW).actions
    spec = made.manifest.spec
    assert spec.priority_class_name == "longshore-placeholder"
    assert spec.node_selector == {"pool": "spot"}
    assert spec.tolerations[0].key == "spot"
    assert spec.containers[0].resources.requests == {"cpu": "2"}
    assert spec.automount_service_account_token is False
    assert spec.security_context.run_as_non_root is True
