"""Nodes of a ComputeCluster: tables of what is seen and done, and two steps that compete in a cluster in memory."""

import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from longshore_operator.cluster.api import Conflict, Refused
from longshore_operator.cluster.coordinators import Polled
from longshore_operator.common.actions import Create, Delete
from longshore_operator.common.pool import Claim, Holder, Pool, is_node
from longshore_operator.common.values import Blocked, Pod
from longshore_operator.compute_clusters.decide import ObservedCluster, Scale, decide
from longshore_operator.manifests.subject import Subject
from longshore_operator.settings import LowPriority, Settings
from longshore_planner.cluster.nodes import NodeShape
from longshore_protocol.snapshot import RUNNING, SUCCEEDED, MiniBatchCounts, Snapshot, WorkerCounts

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode adds no folder of tests by itself

from task_world import CODE, TaskWorld, script
from watching import LAGS, Operator
from world import AROUND, NAMESPACE, START, Crash, FakeKube, kind, step

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
def test_nodes_are_counted_by_what_became_of_them(phase, reason, state):
    found = replace(seen(workers=1, wanted=1), workers=(Pod("a", "a", phase, reason=reason),))
    counts = decide(found, SETTINGS, now=NOW).status.to_dict()["nodeStateCounts"]
    assert {name for name, count in counts.items() if count} == {state}


def test_a_spec_that_is_wrong_is_said():
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


# --- two steps on one ComputeCluster ---------------------------------------------------------------------------------


@dataclass
class Rivals:
    """Two steps, kubelets, and coordinators whose workers do one mini-batch each per tick."""

    kube: FakeKube = field(default_factory=FakeKube)
    now: datetime = START
    seconds: float = 0.0
    mini_batches: int = 8
    done: dict = field(default_factory=lambda: {"first": 0, "second": 0})
    most: int = 0  # worker pods at a time
    stuck: set = field(default_factory=set)  # steps whose last mini-batches take long
    order: list = field(default_factory=list)  # steps, by their end
    lag: int = 0  # events that the operator's watches are late

    def __post_init__(self):
        self.tasks = TaskWorld(self.kube)
        self.operator()
        for each in AROUND:
            self.kube.put(each)

    def operator(self):
        clock = {"now": lambda: self.now, "monotonic": lambda: self.seconds}
        self.reconciler = Operator(self.kube, self, SETTINGS, lag=self.lag, **clock)

    def put(self, name, minute=0, **spec):
        made = step(computeTarget="cpu", nodeCount=3, **spec)
        made["metadata"]["name"] = name
        self.kube.put(made)
        created = START + timedelta(minutes=minute)
        self.kube.objects["ParallelRunStep", NAMESPACE, name]["metadata"]["creationTimestamp"] = created.isoformat()

    def pods(self, role):
        return [
            each for each in self.kube.of("Pod").values() if each["metadata"]["labels"]["longshore.dev/role"] == role
        ]

    def put_task(self, name, minute=0, **spec):
        self.kube.put(script(name, computeTarget="cpu", **spec))
        created = START + timedelta(minutes=minute)
        self.kube.objects["ScriptStep", NAMESPACE, name]["metadata"]["creationTimestamp"] = created.isoformat()

    def workers(self, name=None):
        found = self.pods("worker")
        return [each for each in found if name in (None, each["metadata"]["labels"].get("longshore.dev/step"))]

    def look(self):
        kinds = ("ParallelRunStep", "ScriptStep", "ComputeCluster")
        for key in sorted((key for key in self.kube.objects if key[0] in kinds), reverse=True):
            with suppress(Conflict):  # as the queue does: a watch has yet to tell of something
                self.reconciler.reconcile(*key)
            self.most = max(self.most, sum(map(is_node, self.workers())))

    def tick(self, seconds=2.0):
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds
        self.tasks.now = self.now
        for each in self.kube.of("Pod").values():
            status = each.setdefault("status", {"phase": "Pending"})
            if "longshore.dev/task" in each["metadata"]["labels"]:
                self.tasks.further(each)
            elif status["phase"] == "Pending":
                status |= {"phase": "Running", "podIP": f"10.0.0.{list(self.done).index(self._step(each)) + 1}"}
        for name in self.done.keys() - self.stuck:
            self.done[name] = min(self.mini_batches, self.done[name] + len(self.workers(name)))

    def _step(self, pod):
        return pod["metadata"]["labels"].get("longshore.dev/step", "first")

    def run(self, *, until, limit=60):
        for _ in range(limit):
            self.look()
            for name in self.done:
                if name not in self.order and self.finished(name):
                    self.order.append(name)
            if until():
                return
            self.tick()
        raise AssertionError(f"not so after {limit} looks")

    def status(self, name, of="ParallelRunStep"):
        return self.kube.objects.get((of, NAMESPACE, name), {}).get("status", {})

    def finished(self, name):
        return any(
            each["type"] == "Finished" and each["status"] == "True" for each in self.status(name).get("conditions", [])
        )

    # the coordinators

    interval = 2.0

    def snapshot(self, endpoint, *, generation, ended):
        name = endpoint.step
        over = self.done[name] == self.mini_batches
        counts = MiniBatchCounts(total=self.mini_batches, scheduled=self.mini_batches, succeeded=self.done[name])
        workers = [each["metadata"]["name"] for each in self.workers(name)]
        left = self.mini_batches - self.done[name]
        snapshot = Snapshot(
            state=SUCCEEDED if over else RUNNING,
            run_id=name,
            run_uri="/mnt/longshore/claim/claim/longshore/" + name,
            output_uri="/mnt/longshore/claim/claim/longshore/" + name + "/scores",
            epoch=1,
            started=START.timestamp(),
            finished=START.timestamp() if over else None,
            mini_batches=counts,
            workers=WorkerCounts(3, len(workers)),
            idle_workers=tuple(workers[left:]),
        )
        return Polled(snapshot, ended)

    def gone(self, endpoint, worker):
        assert endpoint.http.token
        return True

    def drain(self, endpoint, worker):
        assert endpoint.http.token
        self.kube.objects["Pod", NAMESPACE, worker]["status"]["phase"] = "Succeeded"


@pytest.fixture
def rivals():
    return Rivals()


def compute(**spec):
    return kind("ComputeCluster", "cpu", **{"maxNodes": 3, "idleSecondsBeforeScaleDown": 10, **spec})


def test_two_steps_never_have_more_workers_than_there_may_be_nodes(rivals):
    rivals.kube.put(compute())
    rivals.put("first")
    rivals.put("second", minute=1)
    rivals.run(until=lambda: len(rivals.order) == 2)
    assert rivals.most == 3
    assert rivals.order == ["first", "second"]
    assert rivals.status("second")["progress"]["columns"]["done"] == "8/8"


def test_who_waits_is_told_for_what(rivals):
    rivals.kube.put(compute())
    rivals.put("first")
    rivals.put("second", minute=1)
    rivals.run(until=lambda: rivals.done["first"] > 0)
    conditions = {each["type"]: each for each in rivals.status("second")["conditions"]}
    assert conditions["Succeeded"]["reason"] == "WaitingForNodes"
    assert "ComputeCluster cpu, which has 3; in use: first 3" in conditions["Succeeded"]["message"]
    assert "second-coordinator" not in rivals.kube.of("Pod")


def test_workers_without_work_go_to_the_step_that_waits(rivals):
    rivals.kube.put(compute())
    rivals.put("first")
    rivals.put("second", minute=1)
    rivals.run(until=lambda: rivals.done["first"] == 6)
    rivals.done["first"], rivals.stuck = 7, {"first"}
    rivals.run(until=lambda: rivals.done["second"] > 0)
    assert len(rivals.workers("first")) == 1
    rivals.stuck = set()
    rivals.run(until=lambda: len(rivals.order) == 2)


def test_a_higher_priority_goes_first(rivals):
    rivals.kube.put(compute(maxNodes=1))
    rivals.put("first")
    rivals.put("second", minute=1, priority=5)
    rivals.run(until=lambda: len(rivals.order) == 2)
    assert rivals.order == ["second", "first"]


def test_all_nodes_are_gone_after_the_idle_time(rivals):
    rivals.kube.put(compute())
    rivals.put("first")
    rivals.run(until=lambda: rivals.finished("first") and not rivals.workers())
    rivals.look()
    assert len(rivals.pods("placeholder")) >= 1
    rivals.run(until=lambda: rivals.status("cpu", "ComputeCluster")["allocationState"] == "Steady", limit=12)
    assert not rivals.pods("placeholder")
    status = rivals.status("cpu", "ComputeCluster")
    assert (status["currentNodeCount"], status["targetNodeCount"]) == (0, 0)


def test_the_least_number_of_nodes_stays_and_yields_to_workers(rivals):
    rivals.kube.put(compute(minNodes=1))
    rivals.run(until=lambda: rivals.status("cpu", "ComputeCluster").get("allocationState") == "Steady")
    assert len(rivals.pods("placeholder")) == 1
    rivals.put("first")
    rivals.run(until=lambda: rivals.workers("first") and not rivals.pods("placeholder"))
    rivals.run(until=lambda: rivals.finished("first"))
    rivals.run(until=lambda: not rivals.workers())
    rivals.tick(60.0)
    rivals.run(until=lambda: len(rivals.pods("placeholder")) == 1)
    rivals.tick(60.0)
    rivals.look()
    assert len(rivals.pods("placeholder")) == 1


def test_a_step_whose_pods_are_refused_keeps_no_other_from_the_nodes(rivals):
    def no_foreign_images(verb, _, name):
        if verb == "create" and name in ("first-coordinator", "first-worker-0"):
            raise Refused("images of example.com are not allowed")

    rivals.kube.put(compute(minNodes=1))
    rivals.kube.fail = no_foreign_images
    rivals.put("first")
    rivals.put("second", minute=1)
    rivals.run(until=lambda: rivals.finished("second"))
    assert rivals.status("first")["conditions"][0]["reason"] == "Refused"
    assert rivals.kube.writes.count(("create", "Event", "first")) <= 3


@pytest.mark.parametrize("changed", [{"computeTarget": "other"}, {"nodeCount": 1}])
def test_a_run_gets_its_lost_workers_back_whatever_its_spec_says_by_now(rivals, changed):
    rivals.kube.put(compute())
    rivals.put("first")
    rivals.run(until=lambda: rivals.done["first"] > 0)
    rivals.stuck = {"first"}
    rivals.kube.objects["ParallelRunStep", NAMESPACE, "first"]["spec"] |= changed
    for each in rivals.workers("first"):
        del rivals.kube.objects["Pod", NAMESPACE, each["metadata"]["name"]]
    rivals.run(until=lambda: len(rivals.workers("first")) == 3)


@pytest.mark.parametrize("reason", ["Refused", "NameTaken"])
def test_a_placeholder_that_cannot_be_made_is_said_once_and_tried_again(rivals, reason):
    def refuse(*asked):
        if asked[:2] == ("create", "Pod"):
            raise Refused("no PriorityClass with name longshore-placeholder was found")

    rivals.kube.put(compute(minNodes=1))
    theirs = {"name": "cpu-placeholder-0", "namespace": NAMESPACE, "labels": {"longshore.dev/role": "theirs"}}
    if reason == "Refused":
        rivals.kube.fail = refuse
    else:
        rivals.kube.put({"apiVersion": "v1", "kind": "Pod", "metadata": theirs})
    for _ in range(5):
        rivals.look()
        rivals.tick(30.0)
    status = rivals.status("cpu", "ComputeCluster")
    (ready,) = status["conditions"]
    assert (ready["status"], ready["reason"], status["currentNodeCount"]) == ("False", reason, 0)
    assert len(rivals.kube.of("Event")) == 1
    rivals.kube.fail = None
    if reason == "NameTaken":
        del rivals.kube.objects["Pod", NAMESPACE, "cpu-placeholder-0"]
    rivals.look()
    assert len(rivals.pods("placeholder")) == 1


@pytest.mark.parametrize("role", ["worker", "placeholder"])
def test_a_pod_with_our_labels_that_is_somebody_elses_is_left_alone(rivals, role):
    labels = {"longshore.dev/compute": "cpu", "longshore.dev/role": role}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": NAMESPACE, "labels": labels}}
    rivals.kube.put(compute())
    rivals.kube.put(pod | {"status": {"phase": "Failed"}})
    rivals.reconciler.reconcile("ComputeCluster", NAMESPACE, "cpu")
    assert list(rivals.kube.of("Pod")) == ["x"]
    assert rivals.status("cpu", "ComputeCluster")


@pytest.mark.parametrize(
    "spec",
    [
        {"affinity": {"nodeAffinity": 3}},
        {"topologySpreadConstraints": [{"maxSkew": "x"}]},
        {"volumes": [{"name": "shm", "emptyDir": 3}]},
        {
            "volumes": [{"name": "shm", "emptyDir": {}}],
            "containers": [{"name": "main", "volumeMounts": [{"name": "shm"}]}],
        },
    ],
    ids=["affinity", "spread", "volume", "mount"],
)
def test_a_template_that_is_no_part_of_a_pod_is_said_by_the_step_and_the_cluster(rivals, spec):
    rivals.kube.put(compute(podTemplate={"spec": spec}, minNodes=1))
    rivals.put("first")
    rivals.look()
    for status in rivals.status("first"), rivals.status("cpu", "ComputeCluster"):
        assert status["conditions"][0]["reason"] == "InvalidInput"
        assert "spec.podTemplate.spec is wrong" in status["conditions"][0]["message"]
    assert not rivals.kube.of("Pod")


def test_a_template_may_name_main_and_add_nothing_to_it(rivals):
    rivals.kube.put(compute(podTemplate={"spec": {"containers": [{"name": "main"}]}}))
    rivals.put("first")
    rivals.run(until=lambda: rivals.finished("first"))


def everything(rivals):
    rivals.kube.put(compute(minNodes=1))
    rivals.put("first")
    rivals.put("second", minute=1)


def at_rest(rivals):
    counts = rivals.status("cpu", "ComputeCluster").get("currentNodeCount")
    return len(rivals.order) == 2 and not rivals.workers() and (counts, len(rivals.pods("placeholder"))) == (1, 1)


def left_behind(rivals):
    return sorted((of, name) for of, _, name in rivals.kube.objects if of != "Event" and "placeholder" not in name)


def undisturbed():
    rivals = Rivals()
    everything(rivals)
    rivals.run(until=lambda: at_rest(rivals))
    return rivals


WRITES = len(undisturbed().kube.writes)


def with_lags(writes):
    """Each write, after which the operator is killed, with watches that are in time; some with late ones, too."""
    late = [(each, LAGS[1 + each // 4 % (len(LAGS) - 1)]) for each in range(1, writes + 1, 4)]
    return [(each, 0) for each in range(1, writes + 1)] + late


@pytest.mark.parametrize(("killed_after", "lag"), with_lags(WRITES))
def test_an_operator_killed_after_any_write_comes_to_the_same_end(killed_after, lag):
    rivals = Rivals(lag=lag)
    everything(rivals)
    rivals.kube.crash_after = killed_after
    for _ in range(2):
        try:
            rivals.run(until=lambda: at_rest(rivals))
            break
        except Crash:
            rivals.kube.crash_after = None
            rivals.operator()
    assert at_rest(rivals)
    assert rivals.most <= 3
    assert left_behind(rivals) == left_behind(undisturbed())


# --- steps and tasks on one ComputeCluster ---------------------------------------------------------------------------

TASKS = ("first", "third", "fourth")  # one has the name of a ParallelRunStep


def crowd(rivals):
    rivals.kube.put(CODE | {"data": {"score.py": "", "train.py": ""}})
    rivals.kube.put(compute(minNodes=1))
    for minute, name in enumerate(("first", "second")):
        rivals.put(name, minute=2 * minute)
    for minute, name in enumerate(TASKS):
        rivals.put_task(name, minute=1 + 2 * minute)
    rivals.tasks.ends["third-task-0"] = "evicted"


def all_done(rivals):
    nodes = list(filter(is_node, rivals.workers())), len(rivals.pods("placeholder"))
    statuses = [rivals.status(name, "ScriptStep").get("conditions", [{}]) for name in TASKS]
    reasons = [each[0].get("reason") for each in statuses]
    return len(rivals.order) == 2 and nodes == ([], 1) and reasons == ["Succeeded"] * 3


def crowd_undisturbed():
    rivals = Rivals()
    crowd(rivals)
    rivals.run(until=lambda: all_done(rivals))
    return rivals


CROWD = crowd_undisturbed()


def test_steps_and_tasks_stand_in_one_line(rivals):
    crowd(rivals)
    rivals.run(until=lambda: rivals.done["first"] > 0)
    assert [rivals.status(name, "ScriptStep")["conditions"][0]["message"] for name in TASKS] == [
        "waiting for a node of ComputeCluster cpu, which has 3; in use: first 3"
    ] * 3
    told = set()

    def second_is_done():
        told.add(rivals.status("fourth", "ScriptStep")["conditions"][0]["message"].rpartition("; ")[2])
        return rivals.finished("second")

    rivals.run(until=second_is_done)
    assert "in use: ScriptStep/first 1, second 2" in told
    rivals.run(until=lambda: all_done(rivals))
    assert rivals.status("third", "ScriptStep")["losses"] == 1
    assert rivals.most == 3


def test_a_task_of_higher_priority_goes_first(rivals):
    crowd(rivals)
    rivals.kube.objects["ScriptStep", NAMESPACE, "fourth"]["spec"]["priority"] = 7
    rivals.look()
    assert "fourth-task-0" in rivals.kube.of("Pod")


def test_nodes_of_tasks_are_counted_and_ended_ones_are_not(rivals):
    crowd(rivals)
    for name in ("first", "second"):
        del rivals.kube.objects["ParallelRunStep", NAMESPACE, name]
    rivals.run(until=lambda: rivals.status("cpu", "ComputeCluster")["nodeStateCounts"]["runningNodeCount"] == 3)
    rivals.order = ["first", "second"]
    rivals.run(until=lambda: all_done(rivals))
    assert len(rivals.workers()) == 3  # as records


@pytest.mark.parametrize(("killed_after", "lag"), with_lags(len(CROWD.kube.writes)))
def test_steps_and_tasks_never_have_more_nodes_than_there_are_whenever_the_operator_is_killed(killed_after, lag):
    rivals = Rivals(lag=lag)
    crowd(rivals)
    rivals.kube.crash_after = killed_after
    for _ in range(2):
        try:
            rivals.run(until=lambda: all_done(rivals))
            break
        except Crash:
            rivals.kube.crash_after = None
            rivals.operator()
    assert all_done(rivals)
    assert rivals.most <= 3
    assert left_behind(rivals) == left_behind(CROWD)
