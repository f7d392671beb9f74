"""Every setting that the importer meets is carried over, or named in a note."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from azureml_jobs import AZUREML, FILES, made, parallel

from longshore_planner.azureml import translate

UNKNOWN = "never_heard_of"
TABLE = {
    "paths": [{"file": "a.csv"}],
    "transformations": [
        {"read_delimited": {"delimiter": ","}},
        {"extract_columns_from_partition_format": {"partition_format": "{a}/x.csv"}},
    ],
}
ENVIRONMENT = {"image": "x", "docker": {"base_image": "y"}, "python": {"user_managed_dependencies": True}}
BESIDE = {str(path.relative_to(AZUREML)): yaml.safe_load(path.read_text()) for path in AZUREML.rglob("*.yml")}
JOBS = {
    **{name: BESIDE[name] for name in FILES},
    "a table": parallel(inputs={"files": {"type": "mltable", "path": "./t"}}),
    "an environment": parallel({"environment": ENVIRONMENT}, retry_settings={"max_retries": 2}, resources={"a": 1}),
}
NAMES = ("inputs", "outputs", "jobs")  # mappings by names that the user chooses
NOTED_AS_A_WHOLE = ("identity", "tags", "properties", "distribution", "condaDependencies", "spark")
CHOSEN = ("environment_variables", "environmentVariables")  # an unknown one is as good as another


def mappings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        if not path or path[-1] not in (*NAMES, *CHOSEN):
            yield path
        inside = value.items() if not path or path[-1] not in NOTED_AS_A_WHOLE else ()
        for key, each in inside:
            if key not in NOTED_AS_A_WHOLE:
                yield from mappings(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from mappings(each, (*path, index))


def with_unknown(content: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(content)
    at = changed
    for part in path:
        at = at[part]
    at[UNKNOWN] = 1
    return changed


def notes(job: Any, files: dict[str, Any]) -> list[str]:
    return translate(job, name="n", read=files.get).notes


@pytest.mark.parametrize("name", JOBS)
def test_an_unknown_field_of_any_mapping_of_a_job_is_named(name: str):
    files = {**BESIDE, "t/MLTable": TABLE}
    paths = list(mappings(JOBS[name]))
    assert len(paths) > 2
    for path in paths:
        told = [each for each in notes(with_unknown(JOBS[name], path), files) if UNKNOWN in each]
        assert len(told) == 1, path


@pytest.mark.parametrize("name", ["components/count.yml", "t/MLTable"])
def test_an_unknown_field_of_any_mapping_of_a_file_beside_is_named(name: str):
    files = {**BESIDE, "t/MLTable": TABLE}
    job = JOBS["a table" if name == "t/MLTable" else "pipeline_job.yml"]
    for path in mappings(files[name]):
        told = [each for each in notes(job, {**files, name: with_unknown(files[name], path)}) if UNKNOWN in each]
        assert len(told) == 1, path


def table(reader: str, settings: Any, *others: Any) -> tuple[dict[str, Any], list[str]]:
    """The fields of the Dataset of an MLTable, and the notes about it."""
    content = {"paths": [{"file": "a"}], "transformations": [{reader: settings}, *others]}
    specs, found = made(JOBS["a table"], {"t/MLTable": content})
    (dataset,) = [each for key, each in specs.items() if key.startswith("Dataset/")]
    return dataset["tabular"], [each for each in found if "MLTable" in each]


@pytest.mark.parametrize(
    ("reader", "settings", "fields"),
    [
        ("read_delimited", {"include_path_column": True}, {"pathColumn": "Path"}),
        ("read_json_lines", {"include_path_column": "true"}, {"pathColumn": "Path"}),
        ("read_parquet", {"include_path_column": True}, {"pathColumn": "Path"}),
        ("read_delimited", {"include_path_column": False}, {}),
        ("read_delimited", {"infer_column_types": False}, {"inferColumnTypes": False}),
        ("read_delimited", {"infer_column_types": True}, {"inferColumnTypes": True}),
        ("read_delimited", {"empty_as_string": True}, {"keepDefaultNa": False}),
        ("read_delimited", {"support_multi_line": "true"}, {"supportMultiLine": True}),
        ("read_delimited", {"encoding": "windows1252"}, {"encoding": "cp1252"}),
        ("read_delimited", {"header": "all_files_same_headers"}, {}),
        ("read_delimited", {"header": "from_first_file"}, {"onlyFirstFileHasHeader": True}),
        ("read_json_lines", {"encoding": "iso88591"}, {"encoding": "latin-1"}),
    ],
)
def test_a_setting_of_an_mltable_becomes_one_of_ours(reader: str, settings: Any, fields: dict[str, Any]):
    found, told = table(reader, settings)
    assert {key: each for key, each in found.items() if key not in ("paths", "format")} == fields
    assert told == []


@pytest.mark.parametrize(
    ("reader", "settings", "note"),
    [
        ("read_delimited", {"header": "some"}, "header is not carried over: it is 'some'"),
        ("read_delimited", {"delimiter": "||"}, "delimiter is not carried over: it is '||', but separator must be one"),
        ("read_delimited", {"encoding": "ebcdic"}, "encoding is not carried over: it is 'ebcdic'"),
        ("read_delimited", {"infer_column_types": {"sample_size": 9}}, "infer_column_types is not carried over"),
        ("read_delimited", {"partition_size": 20}, "partition_size is not carried over"),
        ("read_json_lines", {"invalid_lines": "drop"}, "invalid_lines is not carried over"),
        ("read_delta_lake", {"timestamp_as_of": "x"}, "read_delta_lake is not carried over"),
    ],
)
def test_a_setting_of_an_mltable_that_is_not_carried_over_is_named(reader: str, settings: Any, note: str):
    content = {"paths": [{"file": "a"}], "transformations": [{reader: settings}]}
    _, found = made(JOBS["a table"], {"t/MLTable": content})
    assert any(note in each for each in found), found


def test_several_transformations_in_one_mapping_are_all_met():
    both = {"read_delimited": {"header": "no_header"}, "take": 20}
    content = {"paths": [{"file": "a"}], "transformations": [both]}
    specs, found = made(JOBS["a table"], {"t/MLTable": content})
    assert any("transformations.take is not carried over" in each for each in found)
    (dataset,) = [each for key, each in specs.items() if key.startswith("Dataset/")]
    assert dataset["tabular"]["header"] is False
