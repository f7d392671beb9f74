"""Why tasks wait, and which input ends them before anything is started."""

import pytest
from task_world import (
    AROUND,
    TaskWorld,
    script,
    state,
    transfer,
)
from world import NAMESPACE, kind

from longshore_operator.cluster.api import Refused


@pytest.fixture
def world():
    return TaskWorld()


@pytest.mark.parametrize(
    ("status", "reason", "says"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available."}]},
            "Unschedulable",
            "pod train-task-0 cannot be scheduled: 0/1 nodes are available.",
        ),
        (
            {"containerStatuses": [state("main", waiting={"reason": "ErrImagePull", "message": "no such image"})]},
            "ImagePull",
            "container main of pod train-task-0 has no image i: no such image",
        ),
    ],
)
def test_why_it_waits_is_reported_in_one_sentence(world, status, reason, says):
    world.submit()
    world.reconcile()
    world.pod()["status"] = {"phase": "Pending", **status}
    world.reconcile()
    assert world.said() == ("Unknown", reason, says)


def test_a_quota_that_refuses_the_pod_is_reported_and_tried_again(world):
    def refuse(*asked):
        if asked[:2] == ("create", "Pod"):
            raise Refused("exceeded quota: small")

    world.submit()
    world.kube.fail = refuse
    assert world.reconcile() == 5.0
    assert world.said() == ("Unknown", "QuotaExceeded", "exceeded quota: small")
    world.kube.fail = None
    world.run()


def test_a_rule_of_the_cluster_that_refuses_the_pod_stalls_the_task_until_it_is_changed(world):
    def refuse(*asked):
        if asked[:2] == ("create", "Pod"):
            raise Refused('violates PodSecurity "restricted:latest": hostPath volumes (volume "data")')

    world.submit()
    world.kube.fail = refuse
    for _ in range(2):
        world.reconcile()
        assert (world.said()[1], world.condition("Stalled")["status"]) == ("Refused", "True")
        world.tick()
    world.kube.fail = None
    world.run()
    assert world.condition("Stalled")["status"] == "False"


def test_what_it_refers_to_may_come_a_moment_later(world):
    world.submit(script())
    assert world.reconcile() is not None
    assert world.said()[:2] == ("Unknown", "WaitingForReferences")
    for each in AROUND:
        world.kube.put(each)
    world.run()
    assert world.said()[:2] == ("True", "Succeeded")


@pytest.mark.parametrize(
    ("changes", "gone", "says"),
    [
        ({}, ("ConfigMap", "code"), "ScriptStep/train: spec.source.configMap is 'code': there is no such ConfigMap"),
        ({"scriptName": "other.py"}, None, "spec.scriptName is 'other.py': ConfigMap code has no such key"),
        ({}, ("Environment", "scikit"), "spec.environment.name is 'scikit': there is no such Environment"),
        ({"computeTarget": "cpu"}, None, "spec.computeTarget is 'cpu': there is no such ComputeCluster"),
    ],
)
def test_bad_input_ends_the_task_with_the_field_and_nothing_is_started_until_it_is_fixed(world, changes, gone, says):
    world.submit(*AROUND, script(**changes))
    if gone:
        del world.kube.objects[gone[0], NAMESPACE, gone[1]]
    world.reconcile()
    assert world.said()[0] == "Unknown"
    world.tick(601.0)
    world.reconcile()
    assert world.said()[:2] == ("False", "InvalidInput")
    assert says in world.said()[2]
    assert world.reconcile() is None
    assert not world.kube.of("Pod")
    assert "train-task" not in world.kube.of("ConfigMap")
    for each in (*AROUND, kind("ComputeCluster", "cpu", maxNodes=1), script()):
        world.kube.put(each)
    world.run()
    assert world.said()[:2] == ("True", "Succeeded")


def test_a_secret_that_is_not_there_is_bad_input_of_a_transfer(world):
    bucket = kind("Datastore", "bucket", uri="gs://bucket", secretRef={"name": "key"})
    world.submit(*AROUND, bucket, transfer(destination={"datastore": "bucket", "path": "out"}))
    world.tick(11.0)
    world.reconcile("copy", "TransferStep")
    assert "spec.secretRef.name is 'key': there is no such Secret" in world.said(name="copy", of="TransferStep")[2]


@pytest.mark.parametrize(
    "theirs",
    [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "train-task", "namespace": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "train-task-0", "namespace": NAMESPACE, "labels": {"longshore.dev/task": "train"}},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "train-task-0", "namespace": NAMESPACE},
            "stuck": True,
        },
    ],
    ids=["ConfigMap", "pod with our label", "pod"],
)
def test_an_object_of_another_owner_is_neither_used_nor_touched(world, theirs):
    world.submit(*AROUND, script())
    world.kube.put(theirs)
    for _ in range(3):
        world.reconcile()
        world.seconds += 5.0
    assert world.said()[:2] == ("Unknown", "NameTaken")
    assert [name for name in world.kube.of("Pod") if name != theirs["metadata"]["name"]] == []
    del world.kube.objects[theirs["kind"], NAMESPACE, theirs["metadata"]["name"]]
    world.run()
