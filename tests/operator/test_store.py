"""The store: whatever order lists, events and answers come in, the newest of each object counts."""

import itertools

import pytest
from watching import frozen
from world import FakeKube

from longshore_operator.cluster.api import Conflict, NotFound, Taken
from longshore_operator.manifests import names
from longshore_operator.watch.cached import CachedKube, OutOfSync
from longshore_operator.watch.store import PIPELINE, REFERRED, Store
from longshore_operator.watch.wake import terms_of

N = "research"


def pod(name="p", version=1, uid="u", **labels):
    metadata = {"name": name, "namespace": N, "uid": uid, "resourceVersion": str(version)}
    given = {names.MANAGED_BY: names.MANAGER, **{f"longshore.dev/{key}": value for key, value in labels.items()}}
    return frozen({"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "labels": given}, "status": {}})


def step(name="s", version=1, uid="u", **spec):
    metadata = {"name": name, "namespace": N, "uid": uid, "resourceVersion": str(version)}
    metadata |= {"creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1}
    return frozen({"apiVersion": "v", "kind": "ParallelRunStep", "metadata": metadata, "spec": spec})


@pytest.fixture
def changes():
    return []


@pytest.fixture
def store(changes):
    return Store(notify=changes.append, terms_of=terms_of)


def version(store, name="p", kind="Pod"):
    found = store.read(kind, N, name)
    return None if found is None else (found["metadata"]["uid"], found["metadata"]["resourceVersion"])


LIFE = [  # of two pods of one name: what watches, lists and answers may deliver
    lambda store: store.apply(pod(version=1)),
    lambda store: store.apply(pod(version=3)),
    lambda store: store.apply(pod(version=5), deleted=True),
    lambda store: store.apply(pod(version=7, uid="v")),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_whatever_order_events_come_in_the_newest_counts(store, order):
    for index in order:
        LIFE[index](store)
    assert version(store) == ("v", "7")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_deleted_object_does_not_come_back_with_late_events(store, order):
    for index in order:
        LIFE[index](store)
    assert version(store) is None


def test_an_event_that_is_known_already_is_no_change(store, changes):
    store.apply(step(version=4), own=True)
    store.apply(step(version=4))
    store.apply(step(version=3))
    assert [(each.before, each.after["metadata"]["resourceVersion"], each.own) for each in changes] == [
        (None, "4", True)
    ]


def test_an_object_that_loses_our_label_and_gets_it_again_comes_back(store):
    store.apply(pod(version=1))
    store.apply(pod(version=2), deleted=True)  # as watches of a label have it
    assert version(store) is None
    store.apply(pod(version=3))
    assert version(store) == ("u", "3")


@pytest.mark.parametrize("namespace", ["", N])
def test_what_a_list_lacks_has_vanished_but_for_what_is_newer(store, changes, namespace):
    for name, number in (("old", 1), ("kept", 2), ("new", 9)):
        store.apply(pod(name, number, uid=name))
    store.apply(step(version=3))
    store.replace("Pod", namespace, [pod("kept", 5, uid="kept")], "6")
    assert [version(store, each) for each in ("old", "kept", "new")] == [None, ("kept", "5"), ("new", "9")]
    assert version(store, "s", "ParallelRunStep") == ("u", "3")
    assert [each.key[2] for each in changes[4:]] == ["kept", "old"]
    store.apply(pod("old", 4, uid="old"))  # an event that was under way
    assert version(store, "old") is None


def test_a_list_of_one_namespace_reports_nothing_of_others(store):
    store.apply(pod())
    store.replace("Pod", "elsewhere", [], "6")
    assert version(store) == ("u", "1")


def test_objects_are_listed_by_labels_by_spec_fields_and_by_names_they_mention(store):
    store.apply(pod("b", uid="b", step="s", role="worker"))
    store.apply(pod("a", uid="a", step="s", role="coordinator"))
    store.apply(pod("c", uid="c", task="s"))
    store.apply(step("again", uid="again", resumeFrom="s"))
    store.apply(step("other", uid="other", inputs=[{"dataset": "images"}]))

    def listed(found):
        return [each["metadata"]["name"] for each in found]

    assert listed(store.list("Pod", N)) == ["a", "b", "c"]
    assert listed(store.list("Pod", N, "longshore.dev/step=s")) == ["a", "b"]
    assert listed(store.list("Pod", N, "longshore.dev/step=s,longshore.dev/role=worker")) == ["b"]
    assert listed(store.list("Pod", N, "longshore.dev/step=t")) == []
    assert listed(store.list("Pod", "elsewhere")) == []
    assert listed(store.having("ParallelRunStep", N, "resumeFrom")) == ["again"]
    assert listed(store.having("ParallelRunStep", N, REFERRED, "images")) == ["other"]
    store.apply(step("other", 2, uid="other"))
    store.apply(step("again", 2, uid="again"), deleted=True)
    assert listed(store.having("ParallelRunStep", N, "resumeFrom")) == []
    assert listed(store.having("ParallelRunStep", N, REFERRED, "images")) == []


def test_pipeline_runs_are_listed_by_their_pipeline(store):
    run = {**step("r"), "kind": "PipelineRun", "spec": {"pipelineRef": {"name": "digits"}}}
    store.apply(run)
    assert [each["metadata"]["name"] for each in store.having("PipelineRun", N, PIPELINE, "digits")] == ["r"]
    retry = {**step("again", uid="a"), "kind": "PipelineRun", "spec": {"retryOf": "r"}, "status": {"pipeline": "other"}}
    store.apply(retry)
    assert [each["metadata"]["name"] for each in store.having("PipelineRun", N, PIPELINE, "other")] == ["again"]


def test_what_no_process_reads_is_not_kept(store):
    whole = pod()
    fields = {**whole["metadata"], "managedFields": [{"manager": "kubelet"}]}
    store.apply(frozen({**whole, "metadata": fields, "spec": {"containers": []}}))
    found = store.read("Pod", N, "p")
    assert set(found) == {"apiVersion", "kind", "metadata", "status"}
    assert "managedFields" not in found["metadata"]


# --- reads from it, writes through it ---------------------------------------------------------------------------------


@pytest.fixture
def server():
    return FakeKube()


@pytest.fixture
def kube(server, store):
    return CachedKube(server, store)


def made(kind="Pod", name="p", **labels):
    given = {names.MANAGED_BY: names.MANAGER, **labels}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": N, "labels": given}}


def test_own_writes_count_before_a_watch_reports_them(server, kube):
    kube.create(made())
    found = kube.read("Pod", N, "p")
    assert found["metadata"]["uid"]
    kube.delete("Pod", N, "p", found["metadata"]["uid"])
    assert kube.read("Pod", N, "p") is None
    assert server.reads == []


def test_a_name_that_is_taken_by_one_of_ours_is_learned_and_decided_again(server, kube):
    server.put(made())
    with pytest.raises(Conflict) as caught:
        kube.create(made())
    assert not isinstance(caught.value, Taken)
    assert kube.read("Pod", N, "p") is not None
    with pytest.raises(Taken):  # it was known, and yet another one was to be made: it is somebody else's
        kube.create(made())


def test_a_name_that_is_taken_by_an_object_without_our_label_is_another_owners(server, kube):
    theirs = made()
    del theirs["metadata"]["labels"]
    server.put(theirs)
    with pytest.raises(Taken):
        kube.create(made())
    assert kube.read("Pod", N, "p") is None


@pytest.mark.parametrize("how", ["gone", "another"])
def test_what_turns_out_to_be_gone_is_known_no_more(server, kube, how):
    kube.create(made())
    uid = kube.read("Pod", N, "p")["metadata"]["uid"]
    del server.objects["Pod", N, "p"]
    if how == "gone":
        kube.delete("Pod", N, "p", uid)
    else:
        server.put(made())
        with pytest.raises(Conflict):
            kube.delete("Pod", N, "p", uid)
    assert kube.read("Pod", N, "p") is None


def test_the_status_of_a_deleted_object_makes_its_deletion_known(store, kube):
    store.apply(step())
    with pytest.raises(NotFound):
        kube.write_status({"kind": "ParallelRunStep", "metadata": step()["metadata"], "status": {}})
    assert version(store, "s", "ParallelRunStep") is None


def test_nothing_is_deleted_while_a_watch_is_interrupted(server, store):
    kube = CachedKube(server, store, in_sync=lambda: False)
    kube.create(made())
    uid = kube.read("Pod", N, "p")["metadata"]["uid"]
    with pytest.raises(OutOfSync):
        kube.delete("Pod", N, "p", uid)
    assert ("Pod", N, "p") in server.objects


def secret(server, step_uid):
    owner = {"kind": "ParallelRunStep", "name": "s", "uid": step_uid, "controller": True}
    server.put({"kind": "Secret", "metadata": {"name": "s-run", "namespace": N, "ownerReferences": [owner]}})


def test_the_secret_of_a_run_is_read_once_for_each_uid_of_its_step(server, store, kube):
    store.notify = kube.note
    store.apply(step())
    secret(server, "u")
    for _ in range(3):
        assert kube.read("Secret", N, "s-run") is not None
    assert len(server.reads) == 1
    store.apply(step(version=2, uid="v"))
    for _ in range(3):  # that of an earlier step is not kept: it is about to go
        assert kube.read("Secret", N, "s-run") is not None
    assert len(server.reads) == 4


def test_a_secret_that_may_be_wrong_is_read_again_after_its_age(server, store):
    now = [0.0]
    kube = CachedKube(server, store, clock=lambda: now[0])
    store.apply(step())
    secret(server, "u")
    kube.read("Secret", N, "s-run")
    del server.objects["Secret", N, "s-run"]
    now[0] = 20.0
    assert kube.fetch("Secret", N, "s-run", max_age=30.0) is not None
    now[0] = 40.0
    assert kube.fetch("Secret", N, "s-run", max_age=30.0) is None
    assert kube.read("Secret", N, "s-run") is None


def test_all_is_listed_once_when_another_operator_has_led_until_now(server, store, kube):
    store.apply(pod("vanished", version=0, uid="vanished"))
    server.put(made("Pod", "theirs", **{names.STEP_LABEL: "s"}))
    kube.expect_changes_of_others()
    assert kube.read("Pod", N, "theirs") is not None
    assert kube.read("Pod", N, "vanished") is None
    listed = len(server.reads)
    kube.read("Pod", N, "theirs")
    assert len(server.reads) == listed
