"""Reading YAML files and folders into checked documents."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from longshore_api import Dataset, Environment, InvalidDocuments
from longshore_planner.documents import load, read_yaml

ENVIRONMENT = """\
apiVersion: longshore.dev/v1alpha1
kind: Environment
metadata: {name: %s}
spec: {image: "python:3.11"}
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def sentences(*paths: Path, **parameters: str) -> list[str]:
    with pytest.raises(InvalidDocuments) as caught:
        load(paths, parameters=parameters)
    return [each.sentence for each in caught.value.problems]


def test_several_documents_of_several_files_in_any_order(tmp_path: Path):
    one = write(tmp_path / "b.yaml", ENVIRONMENT % "one" + "---\n" + ENVIRONMENT % "two" + "---\n")
    other = write(tmp_path / "a.yml", ENVIRONMENT % "three")
    documents = load([one, other])
    assert documents.names(Environment) == ["one", "three", "two"]
    assert [each.where for each in documents] == [
        f"{one} document 1, Environment/one",
        f"{one} document 2, Environment/two",
        f"{other} document 1, Environment/three",
    ]
    assert {each.folder for each in documents} == {str(tmp_path)}


def test_a_folder_is_its_own_yaml_files_sorted_and_no_others(tmp_path: Path):
    write(tmp_path / "b.yaml", ENVIRONMENT % "b")
    write(tmp_path / "a.yml", ENVIRONMENT % "a")
    write(tmp_path / "notes.txt", "no: yaml: this")
    write(tmp_path / "runs/1/job.yaml", "broken: [")
    assert [each.name for each in load([tmp_path])] == ["a", "b"]


def test_a_file_named_twice_is_read_once(tmp_path: Path):
    path = write(tmp_path / "a.yaml", ENVIRONMENT % "a")
    assert len(load([path, tmp_path, path])) == 1


def test_a_folder_without_manifests_is_an_error(tmp_path: Path):
    assert sentences(tmp_path) == [f"{tmp_path}: the folder holds no .yaml or .yml file"]


def test_a_file_without_documents_is_an_error(tmp_path: Path):
    path = write(tmp_path / "a.yaml", "# nothing\n---\n")
    assert sentences(path) == [f"{path}: holds no document; add one, or pass another path"]


def test_an_absent_file_is_an_error(tmp_path: Path):
    assert sentences(tmp_path / "a.yaml") == [f"{tmp_path / 'a.yaml'}: cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [1\nb: 2\n", "line 2, column 2: expected ',' or ']', but got ':' (while parsing a flow sequence)"),
        ("a: b: c\n", "line 1, column 5: mapping values are not allowed here"),
        ("a:\n  b: 1\n  b: 2\n", "line 3, column 3: the key 'b' is given twice"),
        ("a: &x [*x]\n", "line 1, column 4: found unconstructable recursive node"),
        ("a: !!python/object:os.system {}\n", "line 1, column 4: could not determine a constructor for the tag"),
        ("{[1]: 2}\n", "line 1, column 2: found unhashable key (while constructing a mapping)"),
    ],
)
def test_a_yaml_error_is_one_sentence_with_line_and_column(tmp_path: Path, text: str, sentence: str):
    (found,) = sentences(write(tmp_path / "a.yaml", text))
    assert found.startswith(f"{tmp_path / 'a.yaml'} {sentence}")
    assert "\n" not in found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("score.py", "def run(mini_batch):\n    return [path for path in mini_batch]\n"),  # no YAML
        ("score.py", "x = 1\n"),  # YAML: a text
        ("score.py", ""),  # no document
        ("score.ipynb", '{"cells": []}'),  # YAML: a mapping
        ("score.sh", "#!/bin/sh\n"),
    ],
)
def test_a_script_in_place_of_its_manifest_is_refused(tmp_path: Path, name: str, text: str):
    path = write(tmp_path / name, text)
    assert sentences(path) == [f"{path}: is a script; pass the YAML file that names it in entryScript or scriptName"]


def test_bytes_that_are_no_text_are_one_sentence(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: \xff\xfe\x00")
    (found,) = sentences(path)
    assert found.startswith(f"{path}: is not valid YAML: ")


@pytest.mark.parametrize("text", ["a: 0b_\n", "a: " + "9" * 5000, "[" * 2000])
def test_what_yaml_trips_over_is_one_sentence(tmp_path: Path, text: str):
    (found,) = sentences(write(tmp_path / "a.yaml", text))
    assert found.startswith(f"{tmp_path / 'a.yaml'}: is not valid YAML: ")


def test_merge_keys_may_repeat_what_they_merge(tmp_path: Path):
    text = ENVIRONMENT % "a" + "---\n" + ENVIRONMENT.replace("{image:", "{variables: {<<: {A: x}, A: y}, image:") % "b"
    documents = load([write(tmp_path / "a.yaml", text)])
    found = documents.find(Environment, "b")
    assert found is not None
    assert found.resource.spec.variables == {"A": "y"}


def test_dates_stay_the_text_they_are(tmp_path: Path):
    text = ENVIRONMENT.replace("{image:", "{variables: {DAY: 2026-01-02}, image:") % "a"
    (document,) = load([write(tmp_path / "a.yaml", text)]).of(Environment)
    assert document.resource.spec.variables == {"DAY": "2026-01-02"}


def test_problems_of_all_files_are_reported_at_once(tmp_path: Path):
    write(tmp_path / "a.yaml", ENVIRONMENT % "A" + "---\n" + ENVIRONMENT % "B")
    write(tmp_path / "b.yaml", ENVIRONMENT % "C")
    assert len(sentences(tmp_path)) == 3


def test_two_of_one_kind_and_name_are_refused_and_two_kinds_of_one_name_are_not(tmp_path: Path):
    dataset = ENVIRONMENT.replace("Environment", "Dataset").replace('image: "python:3.11"', "file: {paths: [a]}")
    path = write(tmp_path / "a.yaml", ENVIRONMENT % "a" + "---\n" + dataset % "a")
    assert load([path]).find(Dataset, "a") is not None
    again = write(tmp_path / "b.yaml", ENVIRONMENT % "a")
    assert sentences(path, again) == [
        f"{again} document 1, Environment/a: metadata.name is 'a', as is that of {path} document 1, Environment/a"
    ]


def test_another_group_is_an_error(tmp_path: Path):
    path = write(tmp_path / "a.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n")
    (found,) = sentences(path)
    assert found.startswith(f"{path} document 1, Deployment/a: apiVersion is 'apps/v1': must be longshore.dev/v1alpha1")
    assert "ParallelRunStep" in found


def test_parameters_fill_documents_and_fields_turn_them_into_their_type(tmp_path: Path):
    text = ENVIRONMENT.replace("Environment", "ComputeCluster").replace('image: "python:3.11"', "maxNodes: %s")
    path = write(tmp_path / "a.yaml", text % ("a", "$(parameters.nodes)"))
    (document,) = load([path], parameters={"nodes": "7"})
    assert document.resource.spec.max_nodes == 7  # type: ignore[attr-defined]
    assert sentences(path, nodes="many")[0].endswith("spec.maxNodes is 'many': must be a whole number, 1 or more")


def test_reading_documents_imports_nothing_that_makes_a_start_slow():
    code = "import sys, longshore_planner.documents; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert not {"rich", "aiohttp", "fsspec", "pandas", "pyarrow", "numpy"} & set(done.stdout.split())


def laughs(first, level, top):
    """Return a document of ten aliases of ten aliases ..., of which `first` is the innermost."""
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{n}: &a{n} {level.format(', '.join([f'*a{n - 1}'] * 10))}" for n in range(1, 9)]
    return "\n".join([*lines, top])


@pytest.mark.parametrize(
    "text",
    [
        laughs("ha", "[{}]", ""),
        laughs("{k: ha}", "{{<<: [{}]}}", ""),
        laughs("[ha]", "[{}]", "metadata: {name: *a8}"),
        "\n".join(f"b{n}: {{x: &b{n} [{', '.join([f'*b{n - 1}'] * 20 if n else ['1'])}]}}" for n in range(7)),
        "[" + ", ".join(["&c [" + ", ".join(["1"] * 500) + "]", *["*c"] * 500]) + "]",
    ],
    ids=["lists", "merged mappings", "in a field", "nested", "one long list, often"],
)
def test_aliases_that_mean_millions_of_values_are_refused_by_their_line(tmp_path, text):
    file = tmp_path / "step.yaml"
    file.write_text(text)
    with pytest.raises(
        InvalidDocuments, match=r"step.yaml line 1, column 1: its aliases expand \d+ values to \d+; write"
    ):
        read_yaml(file)


def test_aliases_of_a_few_values_are_read(tmp_path):
    file = tmp_path / "step.yaml"
    file.write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n")
    assert read_yaml(file) == [{"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]}]
