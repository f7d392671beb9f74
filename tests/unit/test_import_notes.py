"""What is said of what was not carried over; and that nothing that YAML may say is more than that."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from azureml_jobs import AZUREML, FILES, cases, command, config, made, parallel, pipeline

from longshore_api import InvalidDocuments
from longshore_planner.azureml import UnsupportedDocument, check, translate

UNKNOWN = (
    "is no environment of Azure ML that Longshore knows; those of sklearn, pytorch, tensorflow, lightgbm and minimal"
)
BASE = "it is one of Azure ML's base images, in which packages have an interpreter of their own"
AZURE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:latest"


@cases(
    ("a field that nobody knows", parallel(colour="red"), "colour is not carried over: Longshore has no such field"),
    (
        "a field that has no counterpart",
        parallel(identity={"type": "managed"}),
        "identity is not carried over: ",
    ),
    (
        "how pods are",
        parallel(resources={"shm_size": "2g"}),
        "resources.shm_size is not carried over: mount an emptyDir",
    ),
    (
        "a value that is refused",
        parallel(mini_batch_size="many"),
        "mini_batch_size is not carried over: it is 'many', but miniBatchSize must be",
    ),
    (
        "a timeout that is too long",
        parallel(retry_settings={"timeout": 10**6}),
        "retry_settings.timeout is not carried over: it is 1000000, but runInvocationTimeoutSeconds must be",
    ),
    (
        "a mapping that is none",
        parallel(resources=3),
        "resources is not carried over: it is 3, but must be a mapping of fields",
    ),
    (
        "data that nothing reads",
        parallel(inputs={"files": {"type": "uri_folder", "path": "d"}, "x": {"type": "uri_folder", "path": "x"}}),
        "inputs.x is not carried over: nothing refers to this input",
    ),
    (
        "an argument of nothing",
        parallel({"program_arguments": "${{inputs.no}}"}),
        "task.program_arguments: has ${{inputs.no}}, which has no counterpart",
    ),
    ("an open quote", parallel({"program_arguments": "--a 'b"}), "task.program_arguments: is not valid in a shell"),
    (
        "packages",
        parallel({"environment": {"image": "i", "conda_file": "c.yml"}}),
        "task.environment.conda_file is not carried over: c.yml is no conda file that can be read",
    ),
    (
        "packages that no index has",
        parallel({"environment": {"conda_file": {"dependencies": ["numpy", "r-base=4.1"]}}}),
        "task.environment.conda_file: r-base=4.1 is not carried over: it is a package of R, which",
    ),
    (
        "an image that is built",
        parallel({"environment": {"build": {"path": "."}}}),
        "task.environment.build is not carried over: Longshore builds no images from Dockerfiles",
    ),
    (
        "an environment of Azure ML that nobody knows",
        parallel({"environment": "azureml:AzureML-Triton@latest"}),
        f"task.environment is not carried over: AzureML-Triton {UNKNOWN}",
    ),
    (
        "a base image of Azure ML",
        parallel({"environment": {"image": AZURE, "conda_file": {"dependencies": ["python=3.8", "numpy"]}}}),
        f"task.environment.image is not carried over: {BASE}; replaced by docker.io/library/python:3.8",
    ),
    (
        "code elsewhere",
        parallel({"code": "git+https://example.com/x"}),
        "task.code is not carried over: it is 'git+https://example.com/x'",
    ),
    (
        "several processes that talk",
        pipeline({"one": command(distribution={"type": "mpi"})}),
        "jobs.one.distribution is not carried over: a ScriptStep is one process",
    ),
    (
        "other kinds of jobs",
        pipeline({"one": {"type": "sweep", "trial": {}}}),
        "jobs.one is not carried over: jobs of type sweep have no corresponding step",
    ),
    (
        "other inputs than there are",
        pipeline({"one": command(inputs={"a": "${{parent.inputs.no}}"})}),
        "jobs.one.inputs.a: refers to the pipeline's input no",
    ),
    (
        "other outputs than there are",
        pipeline({"one": command(inputs={"a": "${{parent.jobs.no.outputs.o}}"})}),
        "jobs.one.inputs.a: refers to no.o",
    ),
    ("what the code of v1 says", config(), "inputs and output: are in the Python code"),
    ("partitions of v1", config(partition_keys=["a"]), "partition_keys: the partition_format of the dataset is in"),
    ("an action that there is not", config(output_action="print"), "output_action is not carried over: it is 'print'"),
)
def test_what_is_not_carried_over_is_reported(content: Any, expected: str):
    _, notes = made(content)
    assert [each for each in notes if each.startswith(expected)], notes


@pytest.mark.parametrize("content", [None, 3, [], {}, {"type": "command"}, {"kind": "Pod"}, {"type": "sweep"}])
def test_what_is_no_job_of_azure_ml_is_refused(content: Any):
    with pytest.raises(UnsupportedDocument, match="is neither a parallel job or a pipeline job"):
        translate(content, name="x")


# --- whatever it says ----------------------------------------------------------------------------------------------


def spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a value, but the whole of it."""
    keyed = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in keyed:
        yield (*path, key)
        yield from spots(each, (*path, key))


def with_junk(content: Any, path: tuple[Any, ...], junk: Any) -> Any:
    changed = copy.deepcopy(content)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    return changed


@pytest.mark.parametrize(
    "junk", [None, "", "x y", -1, 1.5, True, [], ["a", {}], {}, {"a": {"b": 1}, 3: 4}, "${{a.b}}"], ids=repr
)
@pytest.mark.parametrize("name", FILES)
def test_no_value_anywhere_is_more_than_noted_or_refused_in_a_sentence(name: str, junk: Any):
    content = yaml.safe_load((AZUREML / name).read_text())
    files = {"components/count.yml": yaml.safe_load((AZUREML / "components" / "count.yml").read_text())}
    for path in spots(content):
        try:
            found = translate(with_junk(content, path, junk), name="x", read=files.get)
            check(found.documents, where="x.yml")
        except UnsupportedDocument:
            assert path in [("type",), ("$schema",), ("entry_script",)], "the kind of file"
        except InvalidDocuments:
            assert path[0] in ("inputs", "jobs", "environment"), "what no default can stand for"
