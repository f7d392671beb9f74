"""PipelineRuns whose sources lie in stores, or whose inputs' contents count: a pod looks at them before a run begins.

The pod of this world does what the real one does, on stores in memory.
"""

import pytest
from runs import ended, parallel, script
from survey_world import SurveyWorld, text_of
from world import NAMESPACE, kind

from longshore_agent.survey_message import survey_message
from longshore_protocol.survey import SourceFound, SurveyResult
from longshore_storage.store import open_store


@pytest.fixture
def world():
    return SurveyWorld()


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


def test_the_commit_of_a_source_is_reported_of_the_steps_that_ran_it(world):
    git = {"repository": "https://host/code.git", "branch": "trunk", "commit": "0" * 40, "dirty": False}
    found = SurveyResult((SourceFound({"prepare.py": "1"}, git),))
    world.pods = [ended(0, survey_message(found))]
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


def test_a_script_in_a_folder_that_is_declared_as_one_may_be_there(world):
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


def test_outputs_of_other_steps_are_reported_by_who_made_them(world):
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
