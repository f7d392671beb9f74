"""Hundreds of steps that wait for one node: what a reconcile costs, who is woken, and in which order they begin."""

import random
import sys
from datetime import timedelta

import pytest
from watching import Operator
from world import AROUND, NAMESPACE, START, FakeKube, kind, step

from longshore_operator.manifests import names
from longshore_operator.settings import Settings

STEP, COMPUTE = "ParallelRunStep", "ComputeCluster"
LABELS = {
    names.MANAGED_BY: names.MANAGER,
    names.ROLE_LABEL: names.WORKER,
    names.COMPUTE_LABEL: "cpu",
    names.STEP_LABEL: "gone",
}
BUSY = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "busy", "namespace": NAMESPACE, "labels": LABELS}}


class Line:
    """Steps that wait for the one node of a ComputeCluster, which the pod `busy` has."""

    def __init__(self, priorities, *, max_nodes=1):
        self.kube = FakeKube()
        self.now = START
        settings = Settings(image="longshore:test")
        self.operator = Operator(self.kube, None, settings, now=lambda: self.now, monotonic=lambda: 0.0)
        for each in (*AROUND, kind(COMPUTE, "cpu", maxNodes=max_nodes), BUSY):
            self.kube.put(each)
        for index, priority in enumerate(priorities):
            made = step(computeTarget="cpu", nodeCount=1, priority=priority)
            made["metadata"]["name"] = self.name(index)
            self.kube.put(made)
            created = START + timedelta(seconds=index)
            self.kube.objects[STEP, NAMESPACE, self.name(index)]["metadata"]["creationTimestamp"] = created.isoformat()
        self.now = START + timedelta(hours=1)
        self.settle()

    @staticmethod
    def name(index):
        return f"step-{index:03}"

    def settle(self):
        """Reconcile what is woken until nothing is."""
        self.operator.deliver()
        while self.operator.woken:
            self.operator.reconcile(*min(key for key in self.operator.woken if key[0] in (STEP, COMPUTE)))
            self.operator.woken = {key for key in self.operator.woken if key[0] in (STEP, COMPUTE)}

    def cost(self, *key):
        """Return how many functions one reconcile calls."""
        self.operator.reconcile(*key)  # what is remembered for good, such as models, is so now
        calls = 0

        def count(_, event, __):
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            self.operator.reconciler.reconcile(*key)
        finally:
            sys.setprofile(None)
        return calls

    def free_the_node(self):
        """Take the node from whoever has it; return what that wakes."""
        for name, pod in self.kube.of("Pod").items():
            if pod["metadata"]["labels"].get(names.ROLE_LABEL) == names.WORKER:
                del self.kube.objects["Pod", NAMESPACE, name]
        self.operator.deliver()
        return {key for key in self.operator.woken if key[0] == STEP}


def test_a_reconcile_costs_as_much_beside_three_hundred_waiting_steps_as_beside_ten():
    few, many = Line([0] * 10), Line([0] * 300)
    for key in [(STEP, NAMESPACE, Line.name(9)), (STEP, NAMESPACE, Line.name(0)), (COMPUTE, NAMESPACE, "cpu")]:
        assert many.cost(*key) <= few.cost(*key) * 1.05


def test_all_of_them_state_what_they_wait_for():
    line = Line([0] * 20)
    reasons = {each["status"]["conditions"][0]["reason"] for each in line.kube.of(STEP).values()}
    assert reasons == {"WaitingForNodes"}


@pytest.mark.parametrize("count", [10, 300])
def test_a_node_that_becomes_free_wakes_the_first_in_line_and_no_other(count):
    line = Line([0] * (count - 1) + [7])
    assert line.free_the_node() == {(STEP, NAMESPACE, Line.name(count - 1))}


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.kube.objects[COMPUTE, NAMESPACE, "cpu"]["spec"].update(maxNodes=3),
        lambda line: line.kube.objects.pop(("Pod", NAMESPACE, "busy")),
    ],
    ids=["more nodes", "a pod that is gone"],
)
def test_whatever_adds_free_nodes_wakes_as_many_steps_as_there_are(change):
    line = Line([0] * 12)
    change(line)
    line.operator.deliver()
    free = 2 if line.kube.of("Pod") else 1
    woken = {key for key in line.operator.woken if key[0] == STEP}
    assert woken == {(STEP, NAMESPACE, Line.name(index)) for index in range(free)}


@pytest.mark.parametrize("how", ["cancel", "suspend", "delete"])
def test_a_free_node_that_the_first_in_line_gives_up_wakes_the_next(how):
    line = Line([0] * 5)
    line.free_the_node()
    line.operator.woken.clear()  # as if it were still at it
    first = line.kube.objects[STEP, NAMESPACE, Line.name(0)]
    if how == "delete":
        del line.kube.objects[STEP, NAMESPACE, Line.name(0)]
    else:
        first["spec"][how] = True
    line.operator.deliver()
    assert (STEP, NAMESPACE, Line.name(1)) in line.operator.woken
    assert (STEP, NAMESPACE, Line.name(2)) not in line.operator.woken


def test_they_begin_by_priority_and_age():
    priorities = [random.Random(7).randrange(3) for _ in range(30)]
    line, begun = Line(priorities), []
    for _ in priorities:
        woken = line.free_the_node()
        while woken:
            line.settle()
            woken = {key for key in line.operator.woken if key[0] == STEP}
        ((pod,),) = [[name for name in line.kube.of("Pod") if "-worker-" in name]]
        begun.append(int(pod.removeprefix("step-")[:3]))
        line.kube.objects[STEP, NAMESPACE, pod.rpartition("-worker-")[0]]["spec"]["cancel"] = True
    assert begun == sorted(range(30), key=lambda index: (-priorities[index], index))
