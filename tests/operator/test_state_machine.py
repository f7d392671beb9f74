"""Whatever comes together: late and interrupted watches, operators that are killed, lost pods, edits, deletions."""

from contextlib import suppress

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rivals import Rivals, compute
from task_world import CODE
from world import NAMESPACE, Crash

from longshore_operator.cluster.api import ApiError
from longshore_operator.common.pool import is_finished, is_node
from longshore_operator.manifests import names
from longshore_operator.watch.cached import SELECTED, WATCHED

STEPS = (("ParallelRunStep", "first"), ("ParallelRunStep", "second"), ("ScriptStep", "third"))
CLUSTER = ("ComputeCluster", "cpu")
PATIENCE = 250  # seconds in which everything ends once nothing disturbs it: less than any resync


class Cluster(RuleBasedStateMachine):
    """Two steps and a task on a ComputeCluster, and an operator before an API server in memory."""

    @initialize(max_nodes=st.integers(1, 3))
    def begin(self, max_nodes):
        self.world = Rivals()
        self.kube = self.world.kube
        self.kube.put(CODE | {"data": {"score.py": "", "train.py": ""}})
        self.kube.put(compute(minNodes=0, maxNodes=max_nodes))
        self.world.put("first")
        self.world.put("second", minute=1)
        self.world.put_task("third", minute=2)
        self.most_nodes = max_nodes  # that the ComputeCluster may have had at any time
        self.uids = set()
        self.ended = {}  # key -> uid

    @property
    def operator(self):
        return self.world.reconciler

    def raw(self, kind, name):
        return self.kube.objects.get((kind, NAMESPACE, name))

    # --- what happens -----------------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 6))
    def a_watch_delivers_events(self, count):
        self.kube.note_changes()
        self.operator.hear(min(count, len(self.kube.events) - self.operator.position))

    @rule()
    def a_watch_is_interrupted_and_taken_up_again(self):
        self.kube.note_changes()
        self.operator.position = len(self.kube.events)
        for kind in WATCHED:
            found, version = self.kube.list(kind, "", names.OURS if kind in SELECTED else "")
            self.operator.store.replace(kind, "", found, version)

    @rule(key=st.sampled_from((*STEPS, CLUSTER)))
    def the_operator_reconciles(self, key):
        with suppress(ApiError):
            self.operator.reconciler.reconcile(key[0], NAMESPACE, key[1])

    @rule(key=st.sampled_from((*STEPS, CLUSTER)), writes=st.integers(1, 4))
    def the_operator_is_killed_while_it_reconciles(self, key, writes):
        self.kube.crash_after = len(self.kube.writes) + writes
        with suppress(ApiError, Crash):
            self.operator.reconciler.reconcile(key[0], NAMESPACE, key[1])
        self.kube.crash_after = None
        self.world.operator()

    @rule()
    def time_passes(self):
        self.world.tick()

    @precondition(lambda self: self.kube.of("Pod"))
    @rule(data=st.data(), how=st.sampled_from(["deleted", "evicted"]))
    def a_pod_is_lost(self, data, how):
        name = data.draw(st.sampled_from(sorted(self.kube.of("Pod"))))
        if how == "deleted":
            del self.kube.objects["Pod", NAMESPACE, name]
        else:
            self.raw("Pod", name)["status"] = {"phase": "Failed", "reason": "Evicted"}

    @rule(key=st.sampled_from(STEPS), change=st.sampled_from([{"suspend": True}, {"suspend": False}, {"priority": 3}]))
    def a_spec_is_edited(self, key, change):
        if (raw := self.raw(*key)) is not None and (key[0] != "ScriptStep" or "priority" in change):
            raw["spec"] |= change
            raw["metadata"]["generation"] += 1

    @rule(key=st.sampled_from(STEPS))
    def a_step_is_cancelled(self, key):
        if (raw := self.raw(*key)) is not None:
            raw["spec"]["cancel"] = True
            raw["metadata"]["generation"] += 1

    @rule(key=st.sampled_from(STEPS))
    def a_step_is_deleted(self, key):
        self.kube.objects.pop((key[0], NAMESPACE, key[1]), None)
        uids = {each["metadata"]["uid"] for each in self.kube.objects.values()}
        for where, each in list(self.kube.objects.items()):
            owners = each["metadata"].get("ownerReferences", [])
            if any(owner["uid"] not in uids for owner in owners):
                del self.kube.objects[where]

    @rule()
    def a_compute_cluster_grows(self):
        self.most_nodes += 1
        self.raw(*CLUSTER)["spec"]["maxNodes"] = self.most_nodes
        self.raw(*CLUSTER)["metadata"]["generation"] += 1

    # --- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_created_twice(self):
        assert [each for each in self.kube.taken if each[0] != "Event"] == []  # two of one second may be the same

    @invariant()
    def nodes_are_no_more_than_there_may_be(self):
        assert sum(map(is_node, self.world.workers())) <= self.most_nodes

    @invariant()
    def every_pod_is_owned(self):
        self.uids |= {each["metadata"]["uid"] for each in self.kube.objects.values()}
        for pod in self.kube.of("Pod").values():
            assert [each["uid"] in self.uids for each in pod["metadata"]["ownerReferences"]] == [True]

    @invariant()
    def what_has_ended_stays_ended(self):
        for key, uid in self.ended.items():
            raw = self.raw(*key)
            assert raw is None or raw["metadata"]["uid"] != uid or is_finished(raw)
        for key in STEPS:
            raw = self.raw(*key)
            if raw is not None and is_finished(raw) and raw["status"].get("runId"):
                self.ended[key] = raw["metadata"]["uid"]

    def teardown(self):
        """Disturb nothing any more: everything ends, woken by what changes alone."""
        for key in STEPS:
            if (raw := self.raw(*key)) is not None:
                raw["spec"]["suspend"] = False
        for _ in range(PATIENCE):
            self.operator.woken |= {(kind, NAMESPACE, name) for kind, name in STEPS if self.is_polled(kind, name)}
            self.operator.work(self.world.seconds)
            self.nodes_are_no_more_than_there_may_be()
            if all(raw is None or is_finished(raw) for raw in (self.raw(*key) for key in STEPS)):
                break
            self.world.tick(1.0)
        left = [self.raw(*key) for key in STEPS]
        assert [each["metadata"]["name"] for each in left if each is not None and not is_finished(each)] == []
        self.nothing_is_created_twice()

    def is_polled(self, kind, name):
        """Tell whether a poller watches the coordinator of a step."""
        pod = self.raw("Pod", names.coordinator(name))
        return kind == "ParallelRunStep" and pod is not None and pod.get("status", {}).get("phase") == "Running"


Cluster.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestCluster = Cluster.TestCase
