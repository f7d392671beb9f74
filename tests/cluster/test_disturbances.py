"""The operator or a component of the cluster is killed or away in the middle of a step: the output is the same."""

import os
import signal
import time

import pytest
from localcluster import cluster, install
from steps import HALF, assert_nothing_was_lost, uids

pytestmark = pytest.mark.alone


@pytest.fixture
def away(place):
    """Take a component of the cluster away; it is there again after the test."""
    held = []

    def hold(name):
        held.append(name)
        cluster.hold(place, name)

    yield hold
    for name in held:
        cluster.release(place, name)


def test_an_operator_that_is_killed_goes_on_where_it_was(halfway, place):
    before = uids(halfway.pods())
    install.kill(place)
    halfway.let_on(HALF + 5)
    halfway.until_done(HALF + 5)  # the new one says so
    assert uids(halfway.pods()) == before  # nothing was started anew
    assert_nothing_was_lost(halfway)


def test_a_step_goes_on_while_no_operator_is_there(halfway, place):
    install.stop(place)
    halfway.let_on()
    halfway.until((halfway.run_folder() / "state" / "succeeded.json").exists)
    install.start(place)
    assert_nothing_was_lost(halfway)


def test_an_api_server_that_is_killed_in_the_middle_disturbs_nothing(halfway, place):
    before = uids(halfway.pods())
    killed = cluster.pid(place, "apiserver")
    os.kill(killed, signal.SIGKILL)
    halfway.until(lambda: cluster.states(place)["apiserver"] == "running" and cluster.pid(place, "apiserver") != killed)
    halfway.until(lambda: halfway.kubectl.try_("get", "--raw=/readyz").returncode == 0)
    assert uids(halfway.pods()) == before
    assert_nothing_was_lost(halfway)


def test_a_step_comes_to_its_end_while_the_api_server_is_away(halfway, place, away):
    away("apiserver")
    halfway.let_on()
    halfway.until((halfway.run_folder() / "state" / "succeeded.json").exists)
    cluster.release(place, "apiserver")
    halfway.until(lambda: halfway.kubectl.try_("get", "--raw=/readyz").returncode == 0)
    assert_nothing_was_lost(halfway)


def test_a_node_that_is_not_heard_of_goes_on_working(halfway, place, away, kubectl):
    before = uids(halfway.pods())
    back = time.monotonic() + 60
    away("kubelet")
    halfway.until(lambda: ready(kubectl) == "Unknown")  # the cluster has given the node up
    halfway.let_on(HALF + 5)
    halfway.until_done(HALF + 5)
    halfway.until(lambda: time.monotonic() > back)
    cluster.release(place, "kubelet")
    halfway.until(lambda: ready(kubectl) == "True")
    assert uids(halfway.pods()) == before
    assert_nothing_was_lost(halfway)


def ready(kubectl):
    """Return what the cluster says of its node."""
    conditions = kubectl.get("nodes")[0]["status"]["conditions"]
    return next(each["status"] for each in conditions if each["type"] == "Ready")
