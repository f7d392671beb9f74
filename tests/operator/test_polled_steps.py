"""Steps whose coordinators are polled apart: what waits for an answer, and what does not."""

import itertools
from dataclasses import replace

import pytest
from watching import Operator
from world import AROUND, NAMESPACE, Crash, World, kind, step

from longshore_operator.cluster.coordinators import AnswerPending, Polled
from longshore_operator.settings import Settings


class Coordinators:
    """The world's coordinator, which answers and hears when the test says so."""

    interval = 2.0

    def __init__(self, world):
        self.world = world
        self.pending = False
        self.explains = None  # the ends of pods that it was asked after; None: all
        self.hears = True
        self.reported = []
        self.asked = []  # generations
        self.stays = None  # a snapshot that does not change any more

    def snapshot(self, endpoint, *, generation, ended):
        self.asked.append(generation)
        if self.pending:
            raise AnswerPending
        observed = self.world.now.timestamp()
        snapshot = replace(self.stays or self.world.last(), observed=observed)
        return Polled(snapshot, ended if self.explains is None else self.explains)

    def gone(self, endpoint, worker):
        self.reported.append(worker)
        return self.hears


@pytest.fixture
def world():
    return World(mini_batches=1000)


@pytest.fixture
def coordinators(world):
    made = Coordinators(world)
    clocks = {"now": lambda: world.now, "monotonic": lambda: world.seconds}
    world.reconciler = Operator(world.kube, made, Settings(image="longshore:test"), **clocks)
    return made


def running(world):
    world.submit()
    world.reconcile()
    world.tick()
    world.reconcile()


def pods_written(world):
    return [each for each in world.kube.writes if each[1] == "Pod"]


@pytest.mark.parametrize("what", ["nothing", "a pod that is gone", "a pod that failed", "cancel", "suspend"])
def test_without_an_answer_nothing_is_decided(world, coordinators, what):
    running(world)
    coordinators.pending = True
    if what == "a pod that is gone":
        del world.kube.objects["Pod", NAMESPACE, "score-worker-1"]
    elif what == "a pod that failed":
        world.pod("score-worker-0")["status"] = {"phase": "Failed", "reason": "Evicted"}
    elif what != "nothing":
        world.submit(step(**{what: True}))
    before = list(world.kube.writes)
    world.tick()
    assert world.reconcile() == 30.0
    assert world.kube.writes == before
    coordinators.pending = False
    world.reconcile()
    assert world.kube.writes != before


def test_the_coordinator_is_asked_after_each_change_of_the_spec(world, coordinators):
    running(world)
    world.submit(step(suspend=True))
    world.reconcile()
    assert coordinators.asked[-2:] == [1, 2]


def test_the_end_of_a_worker_waits_until_its_coordinator_was_asked_after_it(world, coordinators):
    running(world)
    coordinators.explains = frozenset()
    before = pods_written(world)
    for name, phase in (("score-worker-0", "Succeeded"), ("score-worker-1", "Failed")):
        world.pod(name)["status"] = {"phase": phase}
    world.reconcile()
    assert pods_written(world) == before
    coordinators.explains = None
    world.reconcile()
    assert pods_written(world) == [*before, ("delete", "Pod", "score-worker-0"), ("delete", "Pod", "score-worker-1")]


@pytest.mark.parametrize("compute", [None, "cpu"])
def test_a_worker_is_replaced_once_its_coordinator_knows_of_the_loss_of_the_one_before(world, coordinators, compute):
    around = [*AROUND, kind("ComputeCluster", "cpu", maxNodes=4)]
    world.submit(*around, step(computeTarget=compute))
    world.reconcile()
    world.tick()
    world.reconcile()
    coordinators.hears = False
    for name in ("score-worker-0", "score-worker-1"):
        del world.kube.objects["Pod", NAMESPACE, name]
    before = pods_written(world)
    for _ in range(3):
        world.reconcile()
    assert pods_written(world) == before
    assert coordinators.reported == ["score-worker-0", "score-worker-1"] * 3
    coordinators.hears = True
    world.reconcile()
    assert pods_written(world) == [*before, ("create", "Pod", "score-worker-0"), ("create", "Pod", "score-worker-1")]


def test_a_worker_whose_report_is_not_heard_holds_up_no_other(world, coordinators):
    running(world)
    heard = {"score-worker-0": False, "score-worker-1": True}
    coordinators.gone = lambda endpoint, worker: heard[worker]
    for name in heard:
        del world.kube.objects["Pod", NAMESPACE, name]
    world.reconcile()
    assert "score-worker-1" in world.kube.of("Pod")
    assert "score-worker-0" not in world.kube.of("Pod")


def test_a_finished_step_calls_no_coordinator(world, coordinators):
    running(world)
    world.done = 1000
    world.reconcile()
    assert world.finished()
    coordinators.asked.clear()
    world.reconcile()
    assert coordinators.asked == []


def test_a_status_has_its_observed_time_and_is_renewed_every_30_seconds_while_nothing_changes(world, coordinators):
    running(world)
    coordinators.stays = world.last()
    world.tick()
    world.reconcile()
    written = []
    for _ in range(60):
        before = len(world.kube.writes)
        world.tick(2.0)
        world.reconcile()
        if len(world.kube.writes) > before:
            written.append(world.seconds)
            assert world.status()["progress"]["observedTime"] == world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [after - before for before, after in itertools.pairwise(written)] == [30.0] * 3


@pytest.mark.parametrize("interval", [2.0, 5.0, 10.0])
def test_progress_is_written_as_often_as_coordinators_are_polled(world, coordinators, interval):
    coordinators.interval = interval
    running(world)
    before = len(world.kube.writes)
    for _ in range(100):
        world.tick(interval / 2)
        world.reconcile()
    assert 49 <= len(world.kube.writes) - before <= 51


def test_a_milestone_waits_for_no_interval(world, coordinators):
    coordinators.interval = 1000.0
    running(world)
    world.done = 1000
    world.tick(0.1)
    world.reconcile()
    assert world.condition()["status"] == "True"


class Late(Coordinators):
    """Answers a generation at the second call, hears at the second report, explains ends at the second question."""

    def __init__(self, world):
        super().__init__(world)
        self.known, self.heard = set(), set()

    def snapshot(self, endpoint, *, generation, ended):
        first = {generation} - self.known
        self.known.add(generation)
        if first:
            raise AnswerPending
        answer = super().snapshot(endpoint, generation=generation, ended=ended)
        explained = frozenset(ended & self.known)
        self.known |= ended
        return replace(answer, ended=explained)

    def gone(self, endpoint, worker):
        is_heard = worker in self.heard
        self.heard ^= {worker}
        return is_heard


def life_with_late_answers(crash_after=None):
    """A life in which both workers are lost once, one of them without a trace."""
    world, disturbed = World(), False

    def operator():
        clock = {"now": lambda: world.now, "monotonic": lambda: world.seconds}
        return Operator(world.kube, Late(world), Settings(image="longshore:test"), **clock)

    world.reconciler = operator()
    world.submit()
    world.kube.crash_after = crash_after
    for _ in range(120):
        pods = world.kube.of("Pod")
        if not disturbed and world.done and {"score-worker-0", "score-worker-1"} <= set(pods):
            world.pod("score-worker-0")["status"] = {"phase": "Failed", "reason": "Evicted"}
            del world.kube.objects["Pod", NAMESPACE, "score-worker-1"]
            disturbed = True
        try:
            wanted = world.reconcile()
        except Crash:
            world.reconciler = operator()
            continue
        if wanted is None and world.finished() and not world.kube.of("Secret"):
            return world
        world.tick()
    raise AssertionError(f"no end: {world.status()}")


WRITES = len(life_with_late_answers().kube.writes)


@pytest.mark.parametrize("crash_after", [None, *range(1, WRITES + 1)])
def test_late_answers_delay_and_change_nothing(crash_after):
    world = life_with_late_answers(crash_after)
    assert world.condition()["reason"] == "Succeeded"
    assert world.status()["progress"]["miniBatches"]["succeeded"] == 6
    made = [each for each in world.kube.writes if each[:2] == ("create", "Pod")]
    workers = [f"score-worker-{index}" for index in (0, 1)]
    assert sorted(each[2] for each in made) == ["score-coordinator", *sorted(workers * 2)]
