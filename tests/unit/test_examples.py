"""The examples say the same thing wherever they say it."""

from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
DIGITS, IRIS, TORCH = EXAMPLES / "digits", EXAMPLES / "iris-pipeline", EXAMPLES / "torch-digits"


@pytest.mark.parametrize(("example", "code"), [(DIGITS, "digits-code"), (TORCH, "torch-digits-code")])
def test_the_step_of_the_cluster_differs_from_the_local_one_in_its_source_alone(example, code):
    here = yaml.safe_load((example / "step.yaml").read_text())
    there = yaml.safe_load((example / "cluster" / "step.yaml").read_text())
    assert here["spec"].pop("source") == {"uri": "file:."}
    assert there["spec"].pop("source") == {"configMap": code}
    assert here == there


@pytest.mark.parametrize("example", [DIGITS, IRIS], ids=["digits", "iris"])
def test_the_image_has_the_packages_that_a_local_run_has(example):
    lines = (example / "requirements.txt").read_text().splitlines()
    pinned = dict(each.split("==") for each in lines if not each.startswith("#"))
    assert pinned == {name: version(name) for name in pinned}


def test_the_digits_as_a_pipeline_are_the_same_step_with_parameters():
    (pipeline, *_) = yaml.safe_load_all((DIGITS / "pipeline" / "pipeline.yaml").read_text())
    step = yaml.safe_load((DIGITS / "step.yaml").read_text())["spec"]
    (found,) = pipeline["spec"]["steps"]
    own = {
        "inputs": [{"name": "mnist", "dataset": "$(parameters.mnist_param)", "mode": "mount"}],
        "source": {"uri": "file:.."},
        "processCountPerNode": "$(parameters.process_count_param)",
        "miniBatchSize": "$(parameters.batch_size_param)",
    }
    assert found["parallelRun"] == {**step, **own}
    defaults = {each["name"]: each["default"] for each in pipeline["spec"]["parameters"]}
    assert defaults["batch_size_param"] == step["miniBatchSize"]
    assert defaults["process_count_param"] == step["processCountPerNode"]


def documents(path):
    return {(each["kind"], each["metadata"]["name"]): each["spec"] for each in yaml.safe_load_all(path.read_text())}


def test_the_digits_pipeline_of_the_cluster_differs_from_the_local_one_in_source_and_datastore_alone():
    here, there = documents(DIGITS / "pipeline" / "pipeline.yaml"), documents(DIGITS / "cluster" / "pipeline.yaml")
    changes = {("Datastore", "mnist-datastore"): {"uri": "pvc:digits/data"}}
    (step,) = here["Pipeline", "digit-identification"]["steps"]
    assert step["parallelRun"].pop("source") == {"uri": "file:.."}
    step["parallelRun"]["source"] = {"configMap": "digits-code"}
    assert {**here, **changes} == there


def test_the_iris_pipeline_of_the_cluster_differs_from_the_local_one_in_source_and_image_alone():
    here, there = documents(IRIS / "pipeline.yaml"), documents(IRIS / "cluster" / "pipeline.yaml")
    for step in here["Pipeline", "iris"]["steps"]:
        name = step["name"]
        assert step["script"].pop("source") == {"uri": f"file:{name}"}
        step["script"] |= {"source": {"configMap": f"iris-{name}"}, "environment": {"name": "iris"}}
    assert {key: there[key] for key in here} == here
    assert set(there) - set(here) == {("Environment", "iris"), ("Datastore", "iris")}
