"""Plain scalars of YAML keep the text that they are written as, where a field holds text."""

from pathlib import Path

import pytest
import yaml

from longshore_planner.azureml import plain, translate
from longshore_planner.documents import load, read_yaml
from longshore_planner.pipelines.choose import choose
from longshore_planner.pipelines.freeze import freeze
from longshore_planner.pipelines.frozen import Options

# Each is something else, or nothing, to YAML.
TEXTS = [
    "NO",
    "on",
    "Yes",
    "12:30:00",
    "01234",
    "1.10",
    "0x10",
    "1_000",
    ".5",
    "1.0e+3",
    "2024-01-02",
    "true",
    "-0",
    ".inf",
]


def content(tmp_path: Path, text: str):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    (found,) = read_yaml(path)
    return found


@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_fields_that_hold_text_are_kept(tmp_path: Path, text: str):
    fields = ("arguments", "naValues", "partitionKeys")
    found = content(tmp_path, "".join(f"{name}: [{text}, 'x']\n" for name in fields))
    assert found == {name: [text, "x"] for name in fields}
    fields = ("params", "environmentVariables", "environment_variables", "variables", "labels", "tags", "columnTypes")
    found = content(tmp_path, "".join(f"{name}: {{{text}: {text}}}\n" for name in fields))
    assert found == {name: {text: text} for name in fields}


@pytest.mark.parametrize("text", TEXTS)
def test_values_of_the_type_string_are_kept(tmp_path: Path, text: str):
    for name in ("default", "value"):
        assert content(tmp_path, f"{{type: string, {name}: {text}}}") == {"type": "string", name: text}
        assert content(tmp_path, f"{{type: number, {name}: {text}}}")[name] == yaml.load(text, _loader())
    assert content(tmp_path, f"parameters: {{a: {text}}}") == {"parameters": {"a": text}}


WORDS = {"true": True, "True": True, "FALSE": False, "null": None, "-1": -1, "0.25": 0.25, "1.0": 1.0, "0": 0}


@pytest.mark.parametrize("text", [each for each in TEXTS if each != "true"])
def test_as_written_a_scalar_is_the_text_that_it_is_unless_its_value_is_written_like_that(tmp_path: Path, text: str):
    path = tmp_path / "a.yaml"
    path.write_text(f"a: {text}\nb: [{text}]\nc: {{d: {text}}}\n")
    assert read_yaml(path, as_written=True) == [{"a": text, "b": [text], "c": {"d": text}}]


@pytest.mark.parametrize("text", WORDS)
def test_as_written_a_scalar_whose_value_is_written_like_that_is_the_value(tmp_path: Path, text: str):
    path = tmp_path / "a.yaml"
    path.write_text(f"a: {text}\n")
    ((found,),) = (each.values() for each in read_yaml(path, as_written=True))
    assert (found, type(found)) == (WORDS[text], type(WORDS[text]))


@pytest.mark.parametrize("text", ["NO", "12:30:00", "01234", "1.10", "0b_", "1_000"])
@pytest.mark.parametrize("declared", ["", "type: string"], ids=lambda each: each or "undeclared")
def test_a_literal_of_azure_mls_yaml_reaches_the_script_as_it_is_written(tmp_path: Path, text: str, declared: str):
    path = tmp_path / "job.yml"
    given = f"{{{declared}, default: {text}}}" if declared else text
    path.write_text(
        f"type: pipeline\ninputs:\n  of_all: {given}\njobs:\n  one:\n    type: command\n    inputs:\n"
        f"      own: {text}\n      outer: ${{{{parent.inputs.of_all}}}}\n    code: .\n    environment: azureml:e:1\n"
        "    command: python x.py ${{inputs.own}} ${{inputs.outer}}\n"
    )
    (content,) = read_yaml(path, as_written=True)
    (pipeline, *_) = map(plain, translate(content, name="job").documents)
    (step,) = pipeline["spec"]["steps"]
    (parameter,) = pipeline["spec"]["parameters"]
    assert step["script"]["arguments"] == [text, "$(parameters.of_all)"]
    assert parameter["default"] == text


def _loader():
    from longshore_planner.documents import _Loader

    return _Loader


@pytest.mark.parametrize("null", ["null", "~", "Null"])
def test_null_is_a_text_in_arguments_and_nothing_elsewhere(tmp_path: Path, null: str):
    found = content(tmp_path, f"arguments: [{null}]\nvariables: {{A: {null}}}\nparameters: {{a: {null}}}")
    assert found == {"arguments": [null], "variables": {"A": None}, "parameters": {"a": None}}
    assert content(tmp_path, "arguments:\n- \n- a") == {"arguments": [None, "a"]}


def test_all_else_is_read_as_yaml_states(tmp_path: Path):
    found = content(tmp_path, "a: NO\nb: [1.10]\nvariables: {A: [1.10], B: {C: 1.10}}\nparameters: [{default: 1.10}]")
    assert found["a"] is False
    assert found["b"] == [1.1]
    assert found["variables"] == {"A": [1.1], "B": {"C": 1.1}}
    assert found["parameters"] == [{"default": 1.1}]


def test_aliases_and_merged_mappings_are_texts_where_they_are_used(tmp_path: Path):
    text = "a: &a 1.10\nb: &b {X: NO, Y: 1}\narguments: [*a]\nvariables: {<<: *b, Y: on}\nparams: {<<: [*b]}\n"
    found = content(tmp_path, text)
    assert found["a"] == 1.1
    assert found["b"] == {"X": False, "Y": 1}
    assert found["arguments"] == ["1.10"]
    assert found["variables"] == {"X": "NO", "Y": "on"}
    assert found["params"] == {"X": "NO", "Y": "1"}


@pytest.mark.parametrize("text", TEXTS)
def test_an_argument_gets_the_text_of_a_parameter_from_whatever_document(tmp_path: Path, text: str):
    manifest = f"""
apiVersion: longshore.dev/v1alpha1
kind: Pipeline
metadata: {{name: p}}
spec:
  parameters: [{{name: a, type: string, default: {text}}}, {{name: b, type: string}}]
  steps:
  - name: one
    script: {{scriptName: a.py, arguments: [$(parameters.a), -$(parameters.b), {text}], params: {{x: $(parameters.b)}}}}
---
apiVersion: longshore.dev/v1alpha1
kind: PipelineRun
metadata: {{name: r}}
spec: {{pipelineRef: {{name: p}}, parameters: {{b: {text}}}}}
"""
    (tmp_path / "p.yaml").write_text(manifest)
    documents = load([tmp_path / "p.yaml"])
    chosen = choose(documents, name=None, assigned={})
    frozen = freeze(chosen.pipeline, chosen.given, documents, run_id="r", run_uri="/r", cores=1, options=Options())
    job = frozen.step("one").job
    assert list(job["arguments"]) == [text, f"-{text}", text]
    assert job["params"] == {"x": text}
