"""PipelineRuns whose sources lie in stores, or whose inputs' contents count: a pod looks at them before a run begins.

The pod of this world does what the real one does, on stores in memory.
"""

import json
from dataclasses import dataclass
from uuid import uuid4

import pytest
from runs import AROUND, RunWorld, ended, parallel, script
from watching import LAGS
from world import NAMESPACE, Crash, kind

from longshore_agent.survey_words import survey_words
from longshore_operator.cluster.api import Conflict, Refused
from longshore_protocol.survey import SourceFound, SurveyResult
from longshore_storage.store import open_store


@dataclass
class SurveyWorld(RunWorld):
    """Sources and inputs lie in stores in memory."""

    def __post_init__(self):
        super().__post_init__()
        self.base = f"memory://{uuid4()}"
        self.code, self.data = open_store(f"{self.base}/code"), open_store(f"{self.base}/data")
        for name in ("prepare", "train", "compare"):
            self.code.put(f"{name}.py", f"print({name!r})".encode())
        self.code.put("lib/util.py", b"x = 1")
        self.data.put("in/a.png", b"1")

    @property
    def around(self):
        return (kind("Datastore", "data", uri=self.data.uri, default=True), AROUND[0], *AROUND[2:])

    @property
    def chain(self):
        source = {"uri": self.code.uri}
        return script("prepare", source=source), script("train", "prepare", source=source)

    def begin(self, *steps, name="nightly", **more):
        self.submit(*(steps or self.chain), name=name, around=self.around, **more)

    def frozen(self, step, name="nightly"):
        return json.loads(self.kube.of("ConfigMap")[f"{name}-{step}-task"]["data"]["run.json"])


@pytest.fixture
def world():
    return SurveyWorld()


def text_of(place, name):
    return open_store(place).get(name).decode()


# --- the code is frozen ----------------------------------------------------------------------------------------------


def test_the_code_is_copied_before_anything_is_started_and_the_pods_fetch_the_copy(world):
    world.begin()
    world.reconcile()
    assert (world.condition()["status"], world.condition()["reason"]) == ("Unknown", "ReadingSources")
    (name,) = world.surveys()
    says = f"pod {name} copies 1 source, before anything is started"
    assert world.condition()["message"] == says
    assert not world.resources()
    world.run()
    assert world.condition()["status"] == "True"
    copy = f"{world.data.uri}/longshore/{world.status()['runId']}/sources/0"
    for step in ("prepare", "train"):
        assert world.frozen(step)["provision"]["source_uri"] == copy
        assert world.frozen(step)["job"]["source_uri"] == "/longshore/source"
        assert world.resources()[f"ScriptStep/nightly-{step}"]["spec"]["source"] == {"uri": copy}
    assert open_store(copy).names() == ["compare.py", "lib/util.py", "prepare.py", "train.py"]
    assert world.ran == [name]
    assert not world.surveys()


def test_code_that_changes_while_the_run_goes_on_is_not_for_it(world):
    world.begin()
    world.until(world.resources)
    world.code.put("train.py", b"print('changed')")
    world.run()
    assert text_of(world.frozen("train")["provision"]["source_uri"], "train.py") == "print('train')"


def test_a_second_run_of_the_same_code_reuses_everything(world):
    world.begin()
    world.run()
    world.begin(name="again")
    world.run("again")
    assert world.states("again") == {"prepare": "Reused", "train": "Reused"}
    assert len(world.ran) == 2


def test_changed_code_under_the_same_address_is_named_and_not_reused(world):
    world.begin()
    world.run()
    world.code.put("train.py", b"print('changed')")
    world.begin(name="again")
    world.run("again")
    assert world.states("again") == {"prepare": "Succeeded", "train": "Succeeded"}
    assert world.step("prepare", "again")["notReused"] == "code changed: train.py"
    assert text_of(world.frozen("train", "again")["provision"]["source_uri"], "train.py") == "print('changed')"


def test_each_source_and_store_has_a_copy_which_steps_share(world):
    other = open_store(f"{world.base}/other")
    other.put("compare.py", b"1")
    store = kind("Datastore", "results", uri=f"{world.base}/results")
    code = {"uri": world.code.uri}
    elsewhere = script("compare", source={"uri": other.uri})
    elsewhere["script"]["outputs"] = [{"name": "out", "datastore": "results"}]
    apart = script("train", source=code)
    apart["script"]["outputs"] = [{"name": "out", "datastore": "results"}]
    world.kube.put(store)
    world.begin(script("prepare", source=code), apart, elsewhere)
    world.run()
    run = f"longshore/{world.status()['runId']}/sources"
    places = {name: world.frozen(name)["provision"]["source_uri"] for name in ("prepare", "train", "compare")}
    assert places == {
        "prepare": f"{world.data.uri}/{run}/0",
        "train": f"{world.base}/results/{run}/1",
        "compare": f"{world.base}/results/{run}/2",
    }
    assert open_store(places["compare"]).names() == ["compare.py"]


def test_a_run_that_needs_none_has_no_survey(world):
    image = {"image": "/app"}
    world.submit(script("prepare"), script("train", "prepare", source=image))
    world.run()
    assert not [each for each in world.kube.writes if each[1] == "Pod"]
    assert not [name for name in world.kube.of("ConfigMap") if "survey" in name]


def test_the_pod_gets_the_volumes_and_credentials_of_the_steps_concerned_and_no_others(world):
    secrets = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}}
        for name in ("one", "two", "three")
    ]
    stores = (
        kind("Datastore", "one", uri=f"{world.base}/one", secretRef={"name": "one"}),
        kind("Datastore", "two", uri="pvc:two", secretRef={"name": "two"}),
        kind("Datastore", "three", uri="s3://three", secretRef={"name": "three"}),
    )
    for each in (*secrets, *stores):
        world.kube.put(each)
    steps = [script(name) for name in ("prepare", "train", "compare")]
    for step, store in zip(steps, ("one", "two", "three"), strict=True):
        step["script"]["outputs"] = [{"name": "out", "datastore": store}]
    for step in steps[:2]:
        step["script"]["source"] = {"uri": world.code.uri}
    world.begin(*steps)
    world.reconcile()
    ((_, pod),) = world.surveys().items()
    (container,) = pod["spec"]["containers"]
    assert [each["secretRef"]["name"] for each in container["envFrom"]] == ["one"]  # a claim needs none
    claims = [each.get("persistentVolumeClaim") for each in pod["spec"]["volumes"]]
    assert [each for each in claims if each] == [{"claimName": "two"}]
    assert pod["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "longshore",
        "longshore.dev/pipeline-run": "nightly",
    }
    ((owner,),) = [pod["metadata"]["ownerReferences"]]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("PipelineRun", "nightly", True)


def test_what_git_said_of_a_source_is_told_of_the_steps_that_ran_it(world):
    git = {"repository": "https://host/code.git", "branch": "trunk", "commit": "0" * 40, "dirty": False}
    found = SurveyResult((SourceFound({"prepare.py": "1"}, git),))
    world.pods = [ended(0, survey_words(found))]
    world.begin(script("prepare", source={"uri": world.code.uri}))
    world.run()
    assert world.step("prepare")["git"] == git


def test_a_script_that_is_not_in_its_source_is_refused_with_the_fields_path(world):
    world.begin(script("prepare", script="x.py", source={"uri": world.code.uri}))
    world.until(lambda: world.condition().get("status") == "False")
    assert world.condition()["reason"] == "InvalidInput"
    rule = f"spec.steps[0].script.scriptName is 'x.py': there is no such file in the source {world.code.uri}"
    assert rule in world.condition()["message"]
    assert not world.resources()
    assert not world.surveys()


def test_a_script_in_a_folder_that_is_told_as_one_may_be_there(world):
    for number in range(500):
        world.code.put(f"deep/{number}.py", b"1")
    world.begin(script("prepare", script="deep/7.py", source={"uri": world.code.uri}))
    world.run()
    assert world.condition()["status"] == "True"
    assert "deep/" in world.step("prepare")["fingerprint"]["parts"]["code"]


# --- what inputs hold ------------------------------------------------------------------------------------------------


def test_new_data_under_an_old_path_counts(world):
    world.begin(parallel("score"))
    world.reconcile()
    assert world.condition()["message"].endswith("lists the inputs of 1 step, before anything is started")
    world.run()
    world.begin(parallel("score"), name="again")
    world.run("again")
    assert world.states("again") == {"score": "Reused"}
    world.data.put("in/b.png", b"1")
    world.begin(parallel("score"), name="third")
    world.run("third")
    assert world.step("score", "third")["notReused"] == 'input "images": the file "b.png" was added'


def test_outputs_of_other_steps_are_told_by_who_made_them(world):
    world.begin(script("prepare"), script("train", "prepare"))
    world.run()
    assert world.condition()["status"] == "True"
    assert not world.ran


def test_code_and_contents_are_looked_at_by_one_pod(world):
    world.begin(*world.chain, parallel("score", inputs=[{"name": "images", "dataset": "images"}]))
    world.run()
    assert len(world.ran) == 1
    assert world.step("score")["fingerprint"]["parts"]["contents"].keys() == {"input images"}
    assert "contents" not in world.step("prepare")["fingerprint"]["parts"]


@pytest.mark.parametrize(
    "given", [{"contentFingerprint": "none"}, {"contentFingerprint": False}, {"allowReuse": False}]
)
def test_inputs_are_not_listed_where_nothing_depends_on_it(world, given):
    never = {key: given.pop(key) for key in list(given) if key == "allowReuse"}
    world.begin(parallel("score", **never), **given)
    world.run()
    assert world.condition()["status"] == "True"
    assert not world.ran


def test_without_contents_an_earlier_step_is_reused_whatever_its_inputs_held(world):
    world.begin(parallel("score"))
    world.run()
    world.data.put("in/b.png", b"1")
    world.begin(parallel("score"), name="again", contentFingerprint="none")
    world.run("again")
    assert world.states("again") == {"score": "Reused"}


def test_digests_are_not_those_of_times(world):
    for name in ("nightly", "again", "third"):
        world.data.delete("in")
        world.data.put("in/a.png", b"2" if name == "third" else b"1")
        world.begin(parallel("score"), name=name, contentFingerprint="digests")
        world.run(name)
    assert world.states("again") == {"score": "Reused"}
    assert world.step("score", "third")["notReused"] == 'input "images": the file "a.png" changed'


def test_a_model_counts_as_inputs_do(world):
    step = parallel("score")
    step["parallelRun"]["models"] = [{"name": "digits"}]
    world.data.put("models/weights", b"1")
    world.kube.put(kind("Model", "digits", version=1, path="models/weights"))
    for name in ("nightly", "again", "third"):
        if name == "third":
            world.data.put("models/weights", b"2")
        world.begin(step, name=name)
        world.run(name)
    assert world.states("again") == {"score": "Reused"}
    assert world.step("score", "third")["notReused"] == 'model "digits 1": the file "weights" changed'


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_source_that_cannot_be_read_ends_the_run_with_the_pods_sentence(world):
    world.begin(script("prepare", source={"uri": f"{world.base}/absent"}))
    world.until(lambda: world.condition().get("reason") == "InvalidInput")
    assert world.condition()["status"] == "Unknown"  # it may come a moment later
    world.until(lambda: world.condition()["status"] == "False")
    assert f"The source {world.base}/absent cannot be brought: " in world.condition()["message"]
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


def test_a_run_whose_source_was_put_right_later_is_looked_at_again(world):
    late = open_store(f"{world.base}/late")
    world.begin(script("prepare", source={"uri": late.uri}))
    world.until(lambda: world.condition().get("status") == "False")
    late.put("prepare.py", b"1")
    world.change(regenerateOutputs=True)
    world.run()
    assert world.condition()["status"] == "True"


def test_places_in_a_sentence_are_those_that_users_know(world):
    world.pods = [ended(1, "The source /mnt/longshore/claim/claim/code cannot be brought: it is not there.")]
    world.kube.put(kind("Datastore", "code", uri="pvc:claim"))
    world.begin(script("prepare", source={"uri": "pvc:claim/code"}))
    world.tick(20)
    world.until(lambda: world.condition().get("status") == "False")
    assert "The source pvc:claim/code cannot be brought: it is not there." in world.condition()["message"]


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
def test_why_the_pod_does_not_start_is_told(world, status, reason):
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
def test_a_pod_that_the_api_server_refuses_is_told_and_tried_again(world, refusal, reason, stalled):
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


# --- retryOf ---------------------------------------------------------------------------------------------------------


def failed(world, *steps):
    world.ends = {"train": "ScriptFailed"}
    world.begin(*steps)
    world.run()
    world.ends = {}


def test_a_retry_takes_the_code_of_what_failed_anew_and_leaves_that_of_the_others(world):
    code = {"uri": world.code.uri}
    failed(world, *world.chain, script("compare", "train", source=code))
    world.code.put("prepare.py", b"print('changed too')")
    world.code.put("train.py", b"print('fixed')")
    world.submit(name="again", retryOf="nightly")
    world.reconcile("again")
    assert world.condition(name="again")["reason"] == "ReadingSources"
    world.run("again")
    assert world.condition(name="again")["status"] == "True"
    first = world.frozen("train")["provision"]["source_uri"]
    train, compare = (world.frozen(name, "again")["provision"]["source_uri"] for name in ("train", "compare"))
    assert (text_of(train, "train.py"), text_of(first, "train.py")) == ("print('fixed')", "print('train')")
    assert compare == first
    assert train == first[:-1] + "1"
    assert world.step("prepare", "again")["resource"] == "ScriptStep/nightly-prepare"


def test_a_retry_of_a_retry_takes_it_from_where_it_came_from_first(world):
    failed(world)
    world.ends = {"again-train": "ScriptFailed"}
    world.submit(name="again", retryOf="nightly")
    world.run("again")
    world.code.put("train.py", b"print('fixed')")
    world.submit(name="third", retryOf="again")
    world.run("third")
    assert world.condition(name="third")["status"] == "True"
    copy = world.frozen("train", "third")["provision"]["source_uri"]
    assert copy.endswith("/sources/2")
    assert text_of(copy, "train.py") == "print('fixed')"


def test_a_retry_of_what_failed_with_a_configmap_has_no_survey(world):
    code = {"uri": world.code.uri}
    failed(world, script("prepare", source=code), script("train", "prepare"), script("compare", "train", source=code))
    world.submit(name="again", retryOf="nightly")
    world.run("again")
    assert world.condition(name="again")["status"] == "True"
    assert len(world.ran) == 1


def test_a_retry_whose_source_is_gone_says_so(world):
    failed(world)
    world.code.delete("")
    world.submit(name="again", retryOf="nightly")
    world.until(lambda: world.condition(name="again").get("status") == "False", "again")
    assert f"PipelineRun/again: The source {world.code.uri} " in world.condition(name="again")["message"]


def test_a_retry_whose_script_is_gone_says_whose(world):
    failed(world)
    world.code.delete("train.py")
    world.submit(name="again", retryOf="nightly")
    world.until(lambda: world.condition(name="again").get("status") == "False", "again")
    rule = "spec.retryOf reads the code of train again, whose scriptName is 'train.py': there is no such file in the"
    assert rule in world.condition(name="again")["message"]


# --- the operator is killed ------------------------------------------------------------------------------------------


def lived(world, name="nightly"):
    for _ in range(80):
        try:
            world.reconcile(name)
        except Crash:
            world.reconciler = world.operator()
            continue
        except Conflict:  # as the queue would, when a watch has yet to tell of something
            pass
        if world.condition("Finished", name).get("status") == "True":
            break
        world.tick()
    world.reconcile(name)
    return world


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


def test_a_retry_comes_to_the_same_end_wherever_the_operator_is_killed():
    def retried(crash_after=None):
        world = SurveyWorld()
        failed(world)
        world.code.put("train.py", b"print('fixed')")
        before = len(world.kube.writes)
        world.kube.crash_after = None if crash_after is None else before + crash_after
        world.submit(name="again", retryOf="nightly")
        return lived(world, "again"), len(world.kube.writes) - before

    undisturbed, writes = retried()
    assert undisturbed.condition(name="again")["status"] == "True"
    for crash_after in range(1, writes + 1):
        world, _ = retried(crash_after)
        assert world.states("again") == undisturbed.states("again"), crash_after
        assert world.begun == undisturbed.begun, crash_after
        assert not world.surveys(), crash_after
        copy = world.frozen("train", "again")["provision"]["source_uri"]
        assert text_of(copy, "train.py") == "print('fixed')"
