"""Two operators, of which one leads: it is killed again and again, and its follower goes on with everything.

LONGSHORE_TEST_KILLS says how often, LONGSHORE_TEST_SEED when: a run can be repeated, as far as a cluster can.
LONGSHORE_TEST_LEASE is the duration of the Lease in seconds: with 2, a hundred kills take ten minutes.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack

import pytest
from kube import eventually, sets, watched
from localcluster.images import PRODUCT
from steps import EXPECTED, SCRIPT, Steps

pytestmark = pytest.mark.alone

KILLS = int(os.environ.get("LONGSHORE_TEST_KILLS", "4"))
SEED = int(os.environ.get("LONGSHORE_TEST_SEED", "1"))
LEASE = int(os.environ.get("LONGSHORE_TEST_LEASE", "4"))  # seconds
SIDE_BY_SIDE, WORKERS, NODES = 3, 2, 3
SLOW = SCRIPT.replace("    return name", "    time.sleep(0.3)\n    return name")


class Operator:
    """An operator beside the cluster, started again when it is killed, as a kubelet would."""

    def __init__(self, namespace, place, log, identity):
        self.namespace, self.place, self.log, self.identity = namespace.namespace, place, log, identity
        self.lives = 0
        self.start()

    def start(self):
        self.lives += 1
        self.holder = f"{self.identity}-{self.lives}"
        options = [f"--lease={self.namespace}/operator", f"--identity={self.holder}", f"--namespace={self.namespace}"]
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.place.kubeconfig),
            "LONGSHORE_IMAGE": PRODUCT,
            "LONGSHORE_PULL_POLICY": "Never",
            "LONGSHORE_HOST_PATHS": "true",
        }
        options.append(f"--lease-duration={LEASE}")
        command = [sys.executable, "-m", "longshore_operator", *options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.start()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(60) == 0, self.log.read_text()[-2000:]


@pytest.fixture
def operators(place, unattended, tmp_path):
    with ExitStack() as stack:
        made = []
        for each in ("first", "second"):
            made.append(Operator(unattended, place, tmp_path / f"{each}.log", each))
            stack.callback(made[-1].stop)
        yield made


def holder(namespace):
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace.namespace}/leases"
    leases = namespace.request("GET", path)["items"]
    return next((each["spec"].get("holderIdentity") for each in leases if each["metadata"]["name"] == "operator"), "")


def leader(namespace, operators):
    return next((each for each in operators if each.holder == holder(namespace)), None)


def test_a_killed_leader_is_followed_and_nothing_is_made_twice(operators, unattended, tmp_path):
    steps, chance = Steps(unattended, tmp_path / "data"), random.Random(SEED)
    steps.apply("ComputeCluster", "cpu", maxNodes=NODES, idleSecondsBeforeScaleDown=0)
    unattended("delete", "configmap", "code")
    steps.script("code", SLOW)
    eventually(lambda: leader(unattended, operators))
    pods = watched(unattended, tmp_path / "pods", "pods", "--selector=longshore.dev/step")
    submitted, takeovers = [], []
    with pods as events:
        for kill in range(KILLS):
            submitted += top_up(steps, submitted)
            time.sleep(chance.uniform(0, 1.2 * LEASE))  # a moment in the steps' lives: not a wait for something
            killed = eventually(lambda: leader(unattended, operators))
            before, at = killed.holder, time.monotonic()
            killed.kill()
            eventually(lambda before=before: holder(unattended) not in ("", before))
            takeovers.append(time.monotonic() - at)
            print(f"kill {kill + 1}: {before} is followed by {holder(unattended)} after {takeovers[-1]:.1f} s")
        for name in submitted:
            assert steps.finish(name)["status"] == "True", steps.condition(name=name)
        seen = list(events())
    for name in submitted:
        assert steps.output(name) == EXPECTED
    workers = [(type_, raw) for type_, raw in seen if raw["metadata"]["labels"]["longshore.dev/role"] == "worker"]
    assert max(map(len, sets(workers))) <= NODES
    coordinators = {raw["metadata"]["uid"]: raw["metadata"]["name"] for _, raw in seen if is_coordinator(raw)}
    assert Counter(coordinators.values()) == {f"{name}-coordinator": 1 for name in submitted}
    created = len({raw["metadata"]["uid"] for _, raw in seen})
    print(f"{KILLS} kills, each followed within {max(takeovers):.1f} s, {len(submitted)} steps, {created} pods")


def test_a_leader_that_shuts_down_is_followed_at_once(operators, unattended):
    first = eventually(lambda: leader(unattended, operators))
    eventually(lambda: all("watching" in each.log.read_text() for each in operators))
    (second,) = [each for each in operators if each is not first]
    first.stop()
    assert holder(unattended) in ("", second.holder)  # released, not expired
    eventually(lambda: holder(unattended) == second.holder)


def top_up(steps, submitted):
    """Submit steps until so many are on their way; return their names."""
    running = [name for name in submitted if steps.condition("Finished", name)["status"] != "True"]
    names = [f"step-{len(submitted) + number}" for number in range(SIDE_BY_SIDE - len(running))]
    for each in names:
        steps.submit(each, computeTarget="cpu", nodeCount=WORKERS)
    return names


def is_coordinator(pod):
    return pod["metadata"]["labels"]["longshore.dev/role"] == "coordinator"
