"""Pipelines in pods: joined by data, reused with a reason, retried; whatever is killed, the outputs are the same."""

from pathlib import Path

import yaml
from kube import words
from localcluster.places import CHECKOUT
from squares import COLLECT, NUMBERS, RUN, SCORE, SCORED, TOTAL

DIGITS = CHECKOUT / "deploy" / "examples" / "digits"


def test_steps_joined_by_data_run_in_pods_and_everything_is_reported(pipelines, namespace, tmp_path):
    watched = tmp_path / "watch.txt"
    with namespace.recorded(watched, "get", "lsrun", "--watch"):
        pipelines.start("first")
        assert pipelines.ended("first")["message"] == "Steps completed: 3"
        pipelines.until(lambda: "True" in watched.read_text())
    rows = [row for row in words(watched.read_text()) if row[0] == "first"]
    assert words(watched.read_text())[0] == ["NAME", "SUCCEEDED", "REASON", "STEPS", "CURRENT", "AGE"]
    assert {row[3] for row in rows if len(row) > 4} >= {"0/3", "1/3", "2/3"}
    assert rows[-1][:4] == ["first", "True", "Succeeded", "3/3"]
    assert pipelines.total("first") == TOTAL

    prepare = pipelines.step("first", "prepare")
    assert prepare["metrics"] == {"numbers": NUMBERS}
    assert prepare["resource"] == "ScriptStep/first-prepare"
    run_folder = Path(pipelines.folder, "longshore", pipelines.run_status("first")["runId"], "steps", "prepare")
    assert (run_folder / "logs" / "stdout.txt").read_text().startswith("preparing from")
    assert (run_folder / "outputs" / "note.txt").read_text() == "prepared"

    pipelines.start("second")
    assert pipelines.ended("second")["message"] == "Steps completed: 3 (reused 3)"
    assert pipelines.step("second", "score")["reusedFrom"]["runId"] == pipelines.run_status("first")["runId"]
    pipelines.source("collect", COLLECT + "# changed\n")
    pipelines.start("third", parameters={"power": "2"})
    assert pipelines.ended("third")["status"] == "True"
    assert pipelines.states("third") == {"prepare": "Reused", "score": "Reused", "collect": "Succeeded"}
    why = pipelines.step("third", "collect")["notReused"]
    assert why == "code changed: collect.py; argument 3 changed from 1 to 2"


def test_a_failed_run_is_retried_with_what_has_succeeded_and_what_is_committed(pipelines, namespace):
    raises = SCORE.replace("return [row", "[int('x') for path in mini_batch if path.endswith('7.txt')]; return [row")
    pipelines.source("score", raises)
    pipelines.apply("Pipeline", "squares", **_with_limit())
    pipelines.start("first")
    condition = pipelines.ended("first")
    assert (condition["status"], condition["reason"]) == ("False", "StepFailed")
    assert "ValueError: invalid literal for int() with base 10: 'x'" in condition["message"]
    assert pipelines.states("first") == {"prepare": "Succeeded", "score": "Failed", "collect": "Skipped"}
    assert "StepFailed" in namespace("describe", RUN, "first")

    pipelines.source("score", SCORE)
    pipelines.start("again", retryOf="first", acceptChangedCode=True)  # what is committed ran with the code before
    assert pipelines.ended("again")["status"] == "True"
    assert pipelines.total("again") == TOTAL
    assert pipelines.step("again", "prepare")["resource"] == "ScriptStep/first-prepare"
    done = pipelines.run_status("first")["runId"] + "/steps/score/logs/sys/job_report/processed_mini-batches.csv"
    table = Path(pipelines.folder, "longshore", done).read_text()
    assert table.count("RUN_DONE") == NUMBERS  # each of them in one of the two runs, and in no second one


def _with_limit():
    from squares import PIPELINE

    steps = [dict(each) for each in PIPELINE["steps"]]
    steps[1] = {"name": "score", "parallelRun": {**steps[1]["parallelRun"], "allowedFailedCount": 0, "runMaxTry": 1}}
    return {**PIPELINE, "steps": steps}


def test_a_run_is_suspended_goes_on_and_is_cancelled(pipelines, namespace):
    pipelines.close("slow")
    pipelines.start("first")
    pipelines.until_running("first", "score")
    pipelines.until(lambda: pipelines.done(SCORED) > 0)
    namespace("patch", RUN, "first", "--type=merge", '--patch={"spec":{"suspend":true}}')
    pipelines.until(lambda: pipelines.run_condition("first")["reason"] == "Suspended")
    assert not pipelines.pods(name=SCORED)
    assert 0 < pipelines.done(SCORED) < NUMBERS
    namespace("patch", RUN, "first", "--type=merge", '--patch={"spec":{"suspend":false}}')
    pipelines.until(lambda: pipelines.pods(name=SCORED))
    namespace("patch", RUN, "first", "--type=merge", '--patch={"spec":{"cancel":true}}')
    assert pipelines.ended("first")["reason"] == "Cancelled"
    assert pipelines.states("first") == {"prepare": "Succeeded", "score": "Cancelled", "collect": "Cancelled"}


def test_the_tutorials_pipeline_is_resubmitted_with_one_image(pipelines, namespace):
    """The example's own manifests, with an image and a script that need no training."""
    images = pipelines.folder / "data" / "images"
    images.mkdir(parents=True)
    for index in range(495, 505):
        (images / f"{index:04d}.png").write_text("pixels")
    (pipelines.folder / "data" / "model" / "mnist" / "1").mkdir(parents=True)
    (pipelines.folder / "data" / "model" / "mnist" / "1" / "model.joblib").write_text("weights")
    pipelines.open_to_pods()
    script = "import os\n\ndef run(mini_batch):\n    return [os.path.basename(each) + ': 7' for each in mini_batch]\n"
    namespace("create", "configmap", "digits-code", f"--from-literal=digit_identification.py={script}")
    changes = {
        "mnist-datastore": {"uri": f"file://{pipelines.folder}/data"},
        "batch-environment": {"image": "docker.io/library/python:3.11-slim", "python": "python3"},
    }
    files = ("digits.yaml", "pipeline/datasets.yaml", "cluster/pipeline.yaml", "cluster/run.yaml")
    for each in (each for file in files for each in yaml.safe_load_all((DIGITS / file).read_text())):
        pipelines.apply(each["kind"], each["metadata"]["name"], **changes.get(each["metadata"]["name"], each["spec"]))
    assert pipelines.ended("digits")["status"] == "True", pipelines.run_condition("digits")
    namespace("apply", "--validate=false", "--filename", DIGITS / "cluster" / "run-single-image.yaml")
    assert pipelines.ended("digits-single-image")["status"] == "True"
    rows = {name: _rows(pipelines, name) for name in ("digits", "digits-single-image")}
    assert len(rows["digits"]) == 10
    assert rows["digits-single-image"] == ["0500.png: 7"]


def _rows(pipelines, run):
    (output,) = pipelines.step(run, "predict-digits-mnist")["outputs"]
    folder = Path(output["uri"].removeprefix("file://"))
    return (folder / "mnist_outputs.txt").read_text().splitlines()
