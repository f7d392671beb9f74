"""What Azure ML's data, environments and computes become: the documents around a step."""

from typing import Any

import pytest
from azureml_jobs import cases, made, parallel


@cases(
    ("a folder beside the file", "./data/", ({}, "file:data/")),
    ("a folder above it", "../data", ({}, "file:../data")),
    ("an absolute path", "/srv/data", ({}, "file:/srv/data")),
    ("a percent sign", "50%", ({}, "file:50%25")),
    ("a datastore", "azureml://datastores/blobs/paths/a/b/", ({"datastore": "blobs"}, "a/b/")),
    ("all of a datastore", "azureml://datastores/blobs", ({"datastore": "blobs"}, "**")),
    (
        "a datastore of another workspace",
        "azureml://subscriptions/s/resourcegroups/r/workspaces/w/datastores/blobs/paths/a.csv",
        ({"datastore": "blobs"}, "a.csv"),
    ),
    ("a data asset", "azureml:images:3", ({}, "file:data/images/")),
    ("blob storage", "wasbs://c@acc.blob.core.windows.net/a/b", ({}, "abfs://c@acc.dfs.core.windows.net/a/b")),
    ("blob storage by https", "https://acc.blob.core.windows.net/c/a", ({}, "abfs://c@acc.dfs.core.windows.net/a")),
    ("another URL", "https://example.com/a.csv", ({}, "https://example.com/a.csv")),
)
def test_paths_become_places(content: str, expected: tuple[dict[str, str], str]):
    specs, _ = made(parallel(inputs={"files": {"type": "uri_folder", "path": content}}))
    (dataset,) = [each for key, each in specs.items() if key.startswith("Dataset/")]
    store, path = expected
    assert dataset == {"file": {**store, "paths": [path]}}


@cases(
    (
        "delimited text",
        {
            "paths": [{"file": "./a.csv"}, {"pattern": "./more/*.csv"}],
            "transformations": [{"read_delimited": {"delimiter": ";", "encoding": "utf8", "header": "no_header"}}],
        },
        {
            "paths": ["file:t/a.csv", "file:t/more/*.csv"],
            "format": "csv",
            "separator": ";",
            "encoding": "utf-8",
            "header": False,
        },
    ),
    (
        "JSON lines",
        {"paths": [{"file": "a.jsonl"}], "transformations": ["read_json_lines"]},
        {"paths": ["file:t/a.jsonl"], "format": "jsonl"},
    ),
    (
        "Parquet",
        {"paths": [{"folder": "./p/"}], "transformations": [{"read_parquet": None}]},
        {"paths": ["file:t/p/"], "format": "parquet"},
    ),
    ("a file that is not there is guessed", None, {"paths": ["file:t/*.csv"], "format": "csv"}),
)
def test_tables_are_read_as_their_mltable_states(content: Any, expected: dict[str, Any]):
    job = parallel(inputs={"files": {"type": "mltable", "path": "./t", "mode": "eval_mount"}})
    specs, _ = made(job, {} if content is None else {"t/MLTable": content})
    assert specs["Dataset/files"] == {"tabular": expected}


def test_an_mltable_without_a_way_to_read_rows_is_files():
    job = parallel(inputs={"files": {"type": "mltable", "path": "./t"}})
    specs, _ = made(job, {"t/MLTable": {"paths": [{"pattern": "./*.png"}]}})
    assert specs["Dataset/files"] == {"file": {"paths": ["file:t/*.png"]}}


@pytest.mark.parametrize("settings", ["{store}/{brand}/*.csv", {"partition_format": "{store}/{brand}/*.csv"}])
def test_what_paths_state_is_kept_of_tables_and_files(settings: Any):
    job = parallel(inputs={"files": {"type": "mltable", "path": "./t"}})
    table = {
        "paths": [{"pattern": "./*.csv"}],
        "transformations": [{"extract_columns_from_partition_format": settings}],
    }
    specs, _ = made(job, {"t/MLTable": table})
    assert specs["Dataset/files"] == {"file": {"paths": ["file:t/*.csv"], "partitionFormat": "{store}/{brand}/*.csv"}}
    table["transformations"].append("read_json_lines")
    specs, _ = made(job, {"t/MLTable": table})
    assert specs["Dataset/files"]["tabular"]["partitionFormat"] == "{store}/{brand}/*.csv"


BLOBS, LAKE = "azureml://datastores/blobs/paths", "azureml://datastores/lake/paths"
STORED = {  # the paths of an MLTable file, what comes of them, and which is named as left out
    "one": ([f"{BLOBS}/a.csv"], {"datastore": "blobs", "paths": ["a.csv"]}, ()),
    "one store": ([f"{BLOBS}/a.csv", f"{BLOBS}/b.csv"], {"datastore": "blobs", "paths": ["a.csv", "b.csv"]}, ()),
    "two": ([f"{BLOBS}/a.csv", f"{LAKE}/b.csv"], {"datastore": "blobs", "paths": ["a.csv"]}, ("b.csv in lake",)),
    "three files of two": (
        [f"{LAKE}/a.csv", f"{BLOBS}/b.csv", f"{LAKE}/c.csv"],
        {"datastore": "lake", "paths": ["a.csv", "c.csv"]},
        ("b.csv in blobs",),
    ),
    "a file beside it first": (
        ["./a.csv", f"{BLOBS}/b.csv"],
        {"datastore": "blobs", "paths": ["file:t/a.csv", "b.csv"]},
        (),
    ),
    "a URL first": (
        ["https://example.com/a.csv", f"{LAKE}/b.csv", f"{BLOBS}/c.csv"],
        {"datastore": "lake", "paths": ["https://example.com/a.csv", "b.csv"]},
        ("c.csv in blobs",),
    ),
}


@pytest.mark.parametrize(("paths", "expected", "left_out"), STORED.values(), ids=STORED)
def test_paths_of_a_table_are_of_one_datastore_or_named(paths: list[str], expected: Any, left_out: tuple[str, ...]):
    table = {"paths": [{"file": path} for path in paths], "transformations": [{"read_delimited": {}}]}
    job = parallel(inputs={"files": {"type": "mltable", "path": "./t"}})
    specs, notes = made(job, {"t/MLTable": table})
    assert specs["Dataset/files"]["tabular"] == {**expected, "format": "csv"}
    assert specs[f"Datastore/{expected['datastore']}"]
    told = [note for note in notes if "a Dataset is in one Datastore" in note]
    assert len(told) == len(left_out)
    assert all(each in note for each, note in zip(left_out, told, strict=True))


def test_what_a_table_needs_a_key_for_is_reported():
    table = {"paths": [{"file": "wasbs://c@acc.blob.core.windows.net/a.csv"}]}
    _, notes = made(parallel(inputs={"files": {"type": "mltable", "path": "./t"}}), {"t/MLTable": table})
    assert [note for note in notes if "MLTable.paths: container c of storage account acc" in note]


REGISTRY = "azureml://registries/azureml"
SKLEARN = {"packages": {"pip": ["scikit-learn==1.5.*", "joblib", "matplotlib", "numpy", "pandas", "scipy"]}}


@cases(
    ("one that is registered", "azureml:My_Env@latest", ("my-env", {})),
    (
        "one of a registry",
        "azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
        ("sklearn-1-5", SKLEARN),
    ),
    (
        "one of Azure ML",
        "azureml:AzureML-lightgbm-3.3-ubuntu20.04-py38-cpu@latest",
        (
            "azureml-lightgbm-3-3-ubuntu20-04-py38-cpu",
            {
                "image": "docker.io/library/python:3.8",
                "packages": {"pip": ["lightgbm==3.3.*", "joblib", "numpy", "pandas", "scikit-learn"], "python": "3.8"},
            },
        ),
    ),
    (
        "packages of v2",
        {"name": "e", "image": "i", "conda_file": {"name": "x", "dependencies": ["numpy=1.26"]}},
        ("e", {"image": "i", "packages": {"conda": "dependencies:\n- numpy=1.26\n"}}),
    ),
    (
        "packages of v2 without those that no index has",
        {"name": "e", "conda_file": {"dependencies": ["numpy", "r-base", {"pip": ["pandas", "-e ."]}], "x": 1}},
        ("e", {"packages": {"conda": "dependencies:\n- numpy\n- pip:\n  - pandas\n"}}),
    ),
    (
        "packages of v1",
        {"name": "e", "python": {"condaDependencies": {"dependencies": ["python=3.10", {"pip": ["pandas"]}]}}},
        ("e", {"packages": {"conda": "dependencies:\n- python=3.10\n- pip:\n  - pandas\n"}}),
    ),
    (
        "packages that Azure ML does not install",
        {"image": "i", "python": {"userManagedDependencies": True, "condaDependencies": {"dependencies": ["numpy"]}}},
        ("environment", {"image": "i"}),
    ),
    ("an image", {"image": "python:3.11"}, ("environment", {"image": "python:3.11"})),
    (
        "one of v1",
        {"name": "e", "docker": {"base_image": "i"}, "environment_variables": {"A": 1}},
        ("e", {"image": "i", "variables": {"A": "1"}}),
    ),
)
def test_environments_keep_name_image_and_variables(content: Any, expected: tuple[str, dict[str, Any]]):
    specs, _ = made(parallel({"environment": content}))
    assert specs[f"Environment/{expected[0]}"] == expected[1]


def test_an_environment_may_have_a_file_of_its_own_and_a_conda_file_beside_it():
    files = {
        "envs/env.yml": {"name": "own", "conda_file": "conda/conda.yml"},
        "envs/conda/conda.yml": {"channels": ["conda-forge"], "dependencies": ["numpy"], "prefix": "/home/me"},
    }
    specs, _ = made(parallel({"environment": "file:./envs/env.yml"}), files)
    assert specs["Environment/own"] == {"packages": {"conda": "channels:\n- conda-forge\ndependencies:\n- numpy\n"}}


def test_an_environment_may_have_a_file_of_its_own():
    specs, _ = made(parallel({"environment": "file:./env.yml"}), {"env.yml": {"name": "own", "image": "python:3.11"}})
    assert specs["Environment/own"] == {"image": "python:3.11"}


def test_what_stands_in_the_arguments_is_a_side_input():
    inputs = {
        "files": {"type": "uri_folder", "path": "data"},
        "model": {"type": "uri_file", "path": "azureml://datastores/blobs/paths/m/model.pkl", "mode": "download"},
    }
    specs, _ = made(parallel({"program_arguments": "--model ${{inputs.model}}"}, inputs=inputs))
    assert specs["ParallelRunStep/a-job"]["arguments"] == ["--model", "$(inputs.model)"]
    assert specs["ParallelRunStep/a-job"]["sideInputs"] == [{"name": "model", "dataset": "model", "mode": "download"}]
    assert specs["Dataset/model"] == {"file": {"datastore": "blobs", "paths": ["m/model.pkl"]}}


def test_an_argument_with_all_of_the_data_is_a_side_input_too_and_is_warned_of():
    specs, notes = made(parallel({"program_arguments": "--all ${{inputs.files}}"}))
    assert specs["ParallelRunStep/a-job"]["arguments"] == ["--all", "$(inputs.files_whole)"]
    assert specs["ParallelRunStep/a-job"]["sideInputs"] == [{"name": "files_whole", "dataset": "files"}]
    assert [each for each in notes if each.startswith("inputs.files: ") and "remove the argument" in each]


def test_the_size_of_the_nodes_is_known_where_the_job_states_it():
    specs, _ = made(parallel(resources={"instance_count": 6, "instance_type": "Standard_D2_v2"}))
    assert specs["ComputeCluster/cpu"] == {"vmSize": "Standard_D2_v2", "maxNodes": 6}
    specs, _ = made(parallel(compute="azureml:serverless", resources={"instance_type": "Standard_D2_v2"}))
    assert specs["ParallelRunStep/a-job"]["computeTarget"] == "serverless"
    specs, _ = made(parallel(compute="local"))
    assert "computeTarget" not in specs["ParallelRunStep/a-job"]
