"""Who gets the nodes of a ComputeCluster."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_operator.common.pool import Claim, Holder, Pool, claim_of, is_node
from longshore_operator.common.pool_index import Pools

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def claim(step, *, held=0, wanted=0, priority=0, minute=0):
    return Claim(Holder(step), priority, NOON + timedelta(minutes=minute), held, wanted)


def shared(max_nodes, *claims, lost=0):
    return Pool("cpu", max_nodes, claims, sum(each.held for each in claims) + lost)


CASES = {
    "the older one comes first": (
        shared(3, claim("late", wanted=3, minute=1), claim("early", wanted=2)),
        {"early": 2, "late": 1},
    ),
    "a higher priority comes before age": (
        shared(3, claim("late", wanted=3, minute=1, priority=1), claim("early", wanted=2)),
        {"late": 3, "early": 0},
    ),
    "what a step has it keeps, whoever comes": (
        shared(3, claim("urgent", wanted=3, priority=9), claim("early", held=2, wanted=3)),
        {"urgent": 1, "early": 2},
    ),
    "a step that needs fewer than it has gets no more": (shared(3, claim("a", held=2, wanted=1)), {"a": 2}),
    "of equal age and priority the name decides": (
        shared(1, claim("b", wanted=1), claim("a", wanted=1)),
        {"a": 1, "b": 0},
    ),
    "nodes of steps that are gone are not free": (shared(3, claim("a", wanted=3), lost=2), {"a": 1}),
    "with fewer nodes than are in use nobody gets one": (
        shared(1, claim("a", held=2, wanted=3), claim("b", wanted=1)),
        {"a": 2, "b": 0},
    ),
    "of a ComputeCluster that is gone nobody gets one": (shared(None, claim("a", held=1, wanted=3)), {"a": 1}),
}


@pytest.mark.parametrize("case", CASES)
def test_allowed(case):
    found, expected = CASES[case]
    assert {step: found.allowed(Holder(step)) for step in expected} == expected


claims = st.lists(
    st.builds(
        Claim,
        step=st.uuids().map(lambda each: Holder(str(each))),
        priority=st.integers(-1, 1),
        created=st.integers(0, 3).map(lambda minute: NOON + timedelta(minutes=minute)),
        held=st.integers(0, 4),
        wanted=st.integers(0, 6),
    ),
    max_size=6,
)


@given(claims, st.integers(1, 12))
def test_never_more_nodes_than_there_are_and_none_left_while_one_is_wanted(found, max_nodes):
    whole = shared(max_nodes, *found)
    allowed = {each.step: whole.allowed(each.step) for each in found}
    given_out = sum(allowed.values()) - whole.held
    assert given_out == min(whole.free, sum(each.unmet for each in found))
    assert all(allowed[each.step] >= each.held for each in found)


def pool(compute, cluster, steps, pods, *, asking=None):
    pools = Pools()
    for each in (*([] if cluster is None else [cluster]), *steps, *pods):
        pools.note(None, each)
    claim = None
    if asking is not None:
        claim = claim_of(next(each for each in steps if each["metadata"]["name"] == asking[0].name), asking=asking[1])
    return pools.pool("n", compute, asking=claim)


def cluster(max_nodes):
    return {"kind": "ComputeCluster", "metadata": {"name": "cpu", "namespace": "n"}, "spec": {"maxNodes": max_nodes}}


def step(name, *, status=None, **spec):
    metadata = {"name": name, "namespace": "n", "creationTimestamp": "2026-01-01T12:00:00Z"}
    wanted = {"computeTarget": "cpu", "nodeCount": "4", **spec}
    return {"kind": "ParallelRunStep", "metadata": metadata, "spec": wanted, "status": status or {}}


def task(name, *, status=None, **spec):
    wanted = {"computeTarget": "cpu", **spec}
    return step(name, status=status, **wanted) | {"kind": "ScriptStep"}


def pod(label, name, phase="Running", number=0):
    labels = {f"longshore.dev/{label}": name, "longshore.dev/role": "worker", "longshore.dev/compute": "cpu"}
    metadata = {"name": f"{label}-{name}-{number}", "namespace": "n", "labels": labels}
    return {"kind": "Pod", "metadata": metadata, "status": {"phase": phase}}


def state(reason, *, finished="False", **counts):
    conditions = [
        {"type": "Succeeded", "status": "Unknown", "reason": reason},
        {"type": "Finished", "status": finished, "reason": reason},
    ]
    return {"conditions": conditions, "progress": {"miniBatches": counts}}


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (step("new"), 4),
        (step("running", status=state("Running", total=10, succeeded=3)), 4),
        (step("at its end", status=state("Running", total=10, succeeded=7, failed=1)), 2),
        (step("ended", status=state("Succeeded", finished="True")), 0),
        (step("bad", status=state("InvalidInput")), 0),
        (step("suspended", suspend=True), 0),
        (step("cancelled", cancel="true"), 0),
        (step("refused", status=state("Refused")), 0),
        (task("a task"), 1),
        (task("a task that goes on", status=state("PodLost") | {"runId": "r"}), 1),
        (task("a task that ended", status=state("ScriptFailed", finished="True")), 0),
        (task("a task that was cancelled", cancel=True), 0),
        (task("a task whose run is not written down", status=state("WaitingForPipelineRun")), 0),
        (step("begun with fewer", status=state("Running") | {"runId": "r", "progress": {"workers": {"wanted": 2}}}), 2),
    ],
    ids=lambda value: value["metadata"]["name"] if isinstance(value, dict) else "",
)
def test_what_a_step_can_use(raw, wanted):
    assert claim_of(raw).wanted == wanted


@pytest.mark.parametrize("changed", [{"computeTarget": "gpu"}, {"nodeCount": 1}])
def test_later_changes_of_the_spec_do_not_affect_the_run(changed):
    raw = step("score", status=state("Refused"), **changed)
    found = pool("cpu", cluster(3), [raw], [], asking=(Holder("score"), 2))
    assert found.allowed(Holder("score")) == 2


def test_steps_of_other_compute_clusters_claim_nothing():
    assert pool("cpu", None, [step("other", computeTarget="gpu"), step("none", computeTarget=None)], []).claims == ()


def test_why_a_step_waits_is_reported():
    many = [claim(f"step-{index}", held=1, wanted=1) for index in range(7)]
    assert (
        shared(7, *many)
        .waiting(Holder("c"))
        .endswith("step-0 1, step-1 1, step-2 1, step-3 1, step-4 1 and 2 other steps")
    )
    busy = shared(3, claim("a", held=2, wanted=2), claim("b", held=1, wanted=1), claim("c", wanted=1))
    assert busy.waiting(Holder("c")) == "waiting for a node of ComputeCluster cpu, which has 3; in use: a 2, b 1"
    assert "does not exist" in shared(None, claim("c", wanted=1)).waiting(Holder("c"))
    assert "deleted steps" in shared(1, claim("c", wanted=1), lost=1).waiting(Holder("c"))
    assert "come first" in shared(1, claim("a", wanted=1), claim("c", wanted=1, minute=1)).waiting(Holder("c"))


def test_a_task_and_a_step_of_one_name_have_each_their_own_nodes():
    pods = [pod("step", "score"), pod("step", "score", number=1), pod("task", "score")]
    found = pool("cpu", cluster(4), [step("score"), task("score")], pods)
    assert {str(each.step): each.held for each in found.claims} == {"score": 2, "ScriptStep/score": 1}
    assert found.waiting(Holder("x")).endswith("free ones go to steps that come first")
    full = pool("cpu", cluster(3), [step("score"), task("score")], pods)
    assert full.waiting(Holder("x")).endswith("which has 3; in use: ScriptStep/score 1, score 2")


def test_the_ended_pod_of_a_task_is_no_node_and_that_of_a_worker_is_one_until_it_is_replaced():
    pods = [pod("task", "a", "Succeeded"), pod("task", "b", "Failed"), pod("task", "c", "Pending")]
    assert [is_node(each) for each in (*pods, pod("step", "d", "Failed"))] == [False, False, True, True]
