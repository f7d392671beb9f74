"""Surveys whose sources or pods fail, and runs under them while the operator is killed."""

import json

import pytest
from runs import ended, parallel, script
from survey_world import SurveyWorld, lived
from watching import LAGS
from world import kind

from longshore_operator.cluster.api import Refused
from longshore_storage.store import open_store


@pytest.fixture
def world():
    return SurveyWorld()


def test_a_source_that_cannot_be_read_ends_the_run_with_the_pods_sentence(world):
    world.begin(script("prepare", source={"uri": f"{world.base}/absent"}))
    world.until(lambda: world.condition().get("reason") == "InvalidInput")
    assert world.condition()["status"] == "Unknown"  # it may come a moment later
    world.until(lambda: world.condition()["status"] == "False")
    assert f'The source "{world.base}/absent" cannot be fetched: ' in world.condition()["message"]
    assert len(world.ran) > 1
    assert world.reconcile() is None
    assert not world.resources()
    assert not world.surveys()


def test_a_source_that_comes_a_moment_later_is_taken(world):
    late = open_store(f"{world.base}/late")
    world.begin(script("prepare", source={"uri": late.uri}))
    world.until(lambda: world.condition().get("reason") == "InvalidInput")
    late.put("prepare.py", b"1")
    world.run()
    assert world.condition()["status"] == "True"


def test_a_run_whose_source_was_fixed_later_is_reconciled_again(world):
    late = open_store(f"{world.base}/late")
    world.begin(script("prepare", source={"uri": late.uri}))
    world.until(lambda: world.condition().get("status") == "False")
    late.put("prepare.py", b"1")
    world.change(regenerateOutputs=True)
    world.run()
    assert world.condition()["status"] == "True"


def test_places_in_a_sentence_are_those_that_users_know(world):
    world.pods = [ended(1, 'The source "/mnt/longshore/claim/claim/code" cannot be fetched: it does not exist.')]
    world.kube.put(kind("Datastore", "code", uri="pvc:claim"))
    world.begin(script("prepare", source={"uri": "pvc:claim/code"}))
    world.tick(20)
    world.until(lambda: world.condition().get("status") == "False")
    assert 'The source "pvc:claim/code" cannot be fetched: it does not exist.' in world.condition()["message"]


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
        ended(137, "", reason="NodeLost"),
        ended(128, "failed to create containerd task"),
        ended(0, "cut off"),
        ended(0, "eJyrVirOLy1KTi1WsoqOrQUAKhkFaA=="),
    ],
)
def test_a_pod_that_is_lost_is_followed_by_another(world, status):
    world.pods = [status, status]
    world.begin()
    world.until(lambda: not world.pods)
    world.reconcile()
    assert world.condition()["reason"] == "ReadingSources"
    assert "exited without a result" in world.condition()["message"]
    world.run()
    assert world.condition()["status"] == "True"
    assert len(world.ran) == 1


def test_pods_that_are_lost_follow_each_other_slowly(world):
    world.pods = [ended(2, "")] * 100
    world.begin()
    for _ in range(30):
        world.reconcile()
        for raw in world.surveys().values():
            if "status" not in raw:  # this cluster knows one time of creation only
                raw["metadata"]["creationTimestamp"] = world.now.isoformat()
        world.tick(1)
    made = [each for each in world.kube.writes if each[:2] == ("create", "Pod")]
    assert 2 <= len(made) <= 4


def test_what_was_found_counts_though_the_pod_was_evicted_then(world):
    world.begin()
    world.until(world.surveys)
    (name,) = world.surveys()
    found = world._look(name)
    world.pods = [{**found, "phase": "Failed", "reason": "Evicted"}]
    world.run()
    assert world.condition()["status"] == "True"
    assert world.ran == [name]


@pytest.mark.parametrize("seconds", [0, 200])
def test_a_pod_that_is_being_deleted_is_waited_for_but_not_for_ever(world, seconds):
    world.begin()
    world.reconcile()
    (pod,) = world.surveys().values()
    pod["metadata"]["deletionTimestamp"] = world.now.isoformat()
    world.now = world.now.replace(minute=seconds // 60)
    world.reconcile()
    deleted = [each for each in world.kube.writes if each[:2] == ("delete", "Pod")]
    assert len(deleted) == (1 if seconds else 0)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}]},
            "Unschedulable",
        ),
        (
            {
                "conditions": [],
                "containerStatuses": [{"name": "survey", "state": {"waiting": {"reason": "ErrImagePull"}}}],
            },
            "ImagePull",
        ),
    ],
)
def test_why_the_pod_does_not_start_is_reported(world, status, reason):
    world.begin()
    world.reconcile()
    (pod,) = world.surveys().values()
    pod["status"] = {"phase": "Pending", **status}
    world.reconcile()
    assert (world.condition()["status"], world.condition()["reason"]) == ("Unknown", reason)


@pytest.mark.parametrize(
    ("refusal", "reason", "stalled"),
    [("exceeded quota: no more of it", "QuotaExceeded", "False"), ("violates PodSecurity", "Refused", "True")],
)
def test_a_pod_that_the_api_server_refuses_is_reported_and_tried_again(world, refusal, reason, stalled):
    def refuse(verb, kind_of, _):
        if (verb, kind_of) == ("create", "Pod"):
            raise Refused(refusal)

    world.kube.fail = refuse
    world.begin()
    assert world.reconcile() == 5.0
    assert (world.condition()["reason"], world.condition("Stalled")["status"]) == (reason, stalled)
    world.kube.fail = None
    world.run()
    assert world.condition()["status"] == "True"


@pytest.mark.parametrize(("switch", "reason"), [("suspend", "Suspended"), ("cancel", "Cancelled")])
def test_a_run_that_is_switched_off_meanwhile_has_no_pod(world, switch, reason):
    world.begin()
    world.reconcile()
    world.tick()
    world.change(**{switch: True})
    world.reconcile()
    assert world.condition()["reason"] == reason
    assert not world.surveys()
    assert not world.resources()


def test_a_dataset_that_is_edited_meanwhile_is_looked_at_as_it_is_now(world):
    world.begin(parallel("score"))
    world.reconcile()
    (first,) = world.surveys()
    world.kube.put(kind("Dataset", "images", file={"paths": ["other/*.png"]}))
    world.reconcile()
    assert not world.surveys()  # never two at a time
    world.run()
    (second,) = world.ran
    assert second != first
    assert world.condition()["status"] == "True"
    request = json.loads(world.kube.of("ConfigMap")[second]["data"]["request.json"])
    assert request["contents"] == {"score": {"input images": [f"{world.data.uri}/other/*.png"]}}


def good(world):
    world.begin(*world.chain, parallel("score"))


def lost(world):
    world.pods = [{"phase": "Failed", "reason": "Evicted"}]
    world.begin()


def bad(world):
    world.begin(script("prepare", source={"uri": f"{world.base}/absent"}))


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("life", [good, lost, bad])
def test_a_run_comes_to_the_same_end_wherever_the_operator_is_killed(life, lag):
    def whole(crash_after=None):
        world = SurveyWorld(lag=0 if crash_after is None else lag)
        life(world)
        world.kube.crash_after = crash_after
        return lived(world)

    def message(world):
        return world.condition()["message"].replace(world.base, "")

    undisturbed = whole()
    assert undisturbed.condition("Finished")["status"] == "True"
    for crash_after in range(1, len(undisturbed.kube.writes) + 1):
        world = whole(crash_after)
        assert world.states() == undisturbed.states(), crash_after
        assert message(world) == message(undisturbed), crash_after
        assert world.begun == undisturbed.begun, crash_after
        assert set(world.resources()) == set(undisturbed.resources()), crash_after
        assert not world.surveys(), crash_after
        if life is not bad:
            assert len(world.ran) == 1, crash_after
