"""The files in crds/: fresh, structural, readable, and of one mind with the models."""

from __future__ import annotations

import copy
import re
from typing import Any

import jsonschema
import pytest
import yaml
from bad_manifests import BY_RULE, BY_SCHEMA
from crd_schemas import CRDS, FILES, SCHEMAS, breaches, broken_rules, field_paths, is_valid, parts, plain, with_defaults
from manifests import ROOT, covers, of_data, of_documentation, of_examples, of_tests, step

from longshore_api import KINDS, InvalidDocuments, ParallelRunStepStatus, PipelineRunStatus, TaskStatus, parse
from longshore_api.crdgen.__main__ import texts
from longshore_api.crdgen.rules import RULES, Rule
from longshore_api.registrations import AssetStatus
from longshore_api.status import ResourceStatus

EVERY_FIELD = ROOT / "tests" / "data" / "manifests" / "every_field.yaml"
KEYS = "x-kubernetes-list-map-keys"
YAML_1_1_BOOLEANS = {"n", "y", "on", "off", "no", "yes", "true", "false"}

VALUES = ("*", "a", "a.b", "1", "1Gi", "auto", "$(parameters.a)", "https://a", "pvc://a/b", "3.11", "")

per_kind = pytest.mark.parametrize("kind", CRDS)


# The files
def test_the_files_are_those_that_make_crds_writes():
    assert {each.name: each.read_text() for each in FILES} == texts(), "crds/ is stale: run `make crds`"


def test_each_kind_has_a_definition():
    assert CRDS.keys() == KINDS.keys()


@per_kind
def test_a_definition_names_its_kind_as_kubernetes_wants_it(kind: str):
    crd = CRDS[kind]
    names = crd["spec"]["names"]
    assert crd["metadata"]["name"] == f"{names['plural']}.longshore.dev"
    assert names["categories"] == ["longshore"]
    assert [each["name"] for each in crd["spec"]["versions"]] == ["v1alpha1"]
    assert crd["spec"]["versions"][0]["subresources"] == {"status": {}}


def test_no_two_kinds_are_called_alike():
    names = [each["spec"]["names"] for each in CRDS.values()]
    called = [name for each in names for name in (each["plural"], each["singular"], *each["shortNames"])]
    assert len(called) == len(set(called))
    assert {"prs", "parallelrun", "amlcompute", "lspipeline", "lsrun"} <= set(called)


def test_no_short_name_is_one_of_tektons():
    short = {name for each in CRDS.values() for name in each["spec"]["names"]["shortNames"]}
    assert not short & {"pr", "pipeline", "pipelinerun", "run", "task", "tr"}


# The schemas
@per_kind
def test_a_schema_is_structural(kind: str):
    assert breaches(SCHEMAS[kind]) == []


@pytest.mark.parametrize(
    "field",
    [
        {},
        {"$ref": "#/definitions/Other"},
        {"type": "string", "title": "Field"},
        {"type": "string", "nullable": True},
        {"type": "array"},
        {"type": "array", "items": {}},
        {"type": "object", "additionalProperties": False},
        {"type": "object", "additionalProperties": {"type": "string"}, "properties": {"a": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]},
        {"type": "string", "anyOf": [{"minLength": 1}]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"type": "string", "x-kubernetes-int-or-string": True},
        {"type": "integer", "default": "1"},
        {"type": "string", "pattern": "(?!a)b"},
        {
            "type": "array",
            "items": {"type": "object", "properties": {"a": {"type": "string"}}},
            "x-kubernetes-list-map-keys": ["a"],
        },
    ],
    ids=str,
)
def test_the_walker_finds_what_is_not_structural(field: dict[str, Any]):
    assert breaches({"type": "object", "properties": {"field": field}})


def test_the_walker_finds_a_bad_root():
    assert breaches({"type": "string"})
    assert breaches({"type": "object", "additionalProperties": {"type": "string"}})
    assert breaches({"type": "object", "properties": {"metadata": {"type": "object", "description": "Mine."}}})


@per_kind
def test_a_pattern_describes_the_whole_value(kind: str):
    """`^a|b$` would accept everything that begins with a or ends with b."""
    for path, part in parts(SCHEMAS[kind]):
        if pattern := part.get("pattern"):
            for whole in re.split(r"(?<=\$)\|(?=\^)", pattern):
                text = whole.removeprefix("^").removesuffix("$")
                extended = [f"{before}{value}{after}" for value in VALUES for before, after in (("?", ""), ("", "?"))]
                for value in (*VALUES, *extended):
                    assert bool(re.search(whole, value)) == bool(re.fullmatch(text, value)), f"{path}: {whole}, {value}"


@per_kind
def test_every_field_explains_itself(kind: str):
    nameless = {".metadata"}  # Kubernetes explains it, and lets nobody else
    fields = [(path, each) for path, each in parts(SCHEMAS[kind]) if not path.endswith("[]")]
    assert [path for path, each in fields if not each.get("description") and path not in nameless] == []


@per_kind
def test_no_field_reads_as_a_boolean_in_old_yaml(kind: str):
    names = {name.lower() for _, each in parts(SCHEMAS[kind]) for name in each.get("properties", ())}
    assert not names & YAML_1_1_BOOLEANS


@per_kind
def test_conditions_merge_by_type(kind: str):
    conditions = SCHEMAS[kind]["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


@per_kind
def test_a_status_requires_only_keys_and_defaults_nothing(kind: str):
    status = SCHEMAS[kind]["properties"]["status"]
    assert [path for path, each in parts(status) if "default" in each] == []
    keys = {f"{path}[]": each["x-kubernetes-list-map-keys"] for path, each in parts(status) if KEYS in each}
    assert keys[".conditions[]"] == ["type"]
    assert {path: each["required"] for path, each in parts(status) if "required" in each} == keys


SINCE = "2026-01-01T00:00:00Z"
OBSERVED = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Succeeded",
            "status": "False",
            "reason": "ErrorThresholdExceeded",
            "message": "11 items failed.",
            "lastTransitionTime": SINCE,
            "observedGeneration": 1,
        }
    ],
    "startTime": SINCE,
    "runId": "a",
}
GIT = {"repository": "https://git.example/code", "branch": "main", "commit": "0" * 40, "dirty": True}
REGISTERED = [{"kind": "Model", "name": "digits v2", "version": 3, "resource": "digits-v2-1c2d3e4f-3"}]
TASK = {
    **OBSERVED,
    "outputs": [{"name": "model", "uri": "file:///out/model"}],
    "metrics": {"loss": 0.1, "epochs": [1, 2], "best": {"epoch": 2, "early": False}},
    "exitCode": -9,
    "git": GIT,
    "registered": REGISTERED,
    "losses": 1,
    "completionTime": SINCE,
    "runUri": "file:///runs/a",
}
ASSET = {
    **{key: OBSERVED[key] for key in ("observedGeneration", "conditions")},
    "origin": {
        "runId": "nightly-1c2d",
        "runUri": "s3://bucket/longshore/nightly-1c2d/steps/train",
        "kind": "ScriptStep",
        "step": "train",
        "pipeline": "nightly",
        "resource": "nightly-train",
        "code": "0" * 64,
        "git": GIT,
        "environment": "python:3.11-slim",
        "arguments": ["--rate", "0.5"],
        "parameters": {"rate": "0.5"},
        "inputs": [{"name": "raw", "uris": ["s3://bucket/raw"]}],
        "models": ["base 2"],
    },
}
STATUSES: dict[str, tuple[type[ResourceStatus], dict[str, Any]]] = {
    "ParallelRunStep": (
        ParallelRunStepStatus,
        {
            **OBSERVED,
            "progress": {
                "miniBatches": {"total": 40, "scheduled": 40, "succeeded": 30, "failed": 2},
                "items": {"total": 160, "succeeded": 149, "failed": 11},
                "workers": {"wanted": 2, "ready": 2},
                "ratePerMinute": 12.5,
                "estimatedRemainingSeconds": 30,
                "lastProgressTime": SINCE,
                "observedTime": SINCE,
                "columns": {"done": "32/40", "failed": "2", "rate": "12/min", "eta": "30s", "workers": "2/2"},
            },
            "firstError": {"category": "UserError", "message": "ValueError: bad", "miniBatch": 3, "pod": "w-0"},
            "output": {"uri": "file:///out", "file": "rows.txt", "rows": 149},
            "registered": REGISTERED,
        },
    ),
    "ScriptStep": (TaskStatus, TASK),
    "TransferStep": (TaskStatus, TASK),
    "Pipeline": (ResourceStatus, {key: OBSERVED[key] for key in ("observedGeneration", "conditions")}),
    "PipelineRun": (
        PipelineRunStatus,
        {
            **OBSERVED,
            "pipeline": "nightly",
            "parameters": {"share": 0.5, "place": {"path": "scans"}},
            "steps": [
                {
                    "name": "train",
                    "state": "Succeeded",
                    "resource": "ScriptStep/nightly-train",
                    "reason": "Reused",
                    "reusedFrom": {"runId": "b", "step": "train"},
                    "outputs": [{"name": "model", "uri": "file:///out/model"}],
                    "metrics": {"loss": 0.1},
                    "git": GIT,
                    "registered": REGISTERED,
                    "attempts": 2,
                    "notReused": "",
                    "fingerprint": {"digest": "0" * 64, "parts": {"code": {"train.py": "0" * 64}, "arguments": [1]}},
                },
            ],
            "columns": {"steps": "3/5", "current": "train, score (120/400)"},
            "pipelineSpec": {"steps": [{"name": "train", "script": {"scriptName": "train.py"}}]},
        },
    ),
    "Dataset": (AssetStatus, ASSET),
    "Model": (AssetStatus, ASSET),
}


@pytest.mark.parametrize(("kind", "status"), [(kind, status) for kind, (_, status) in STATUSES.items()], ids=STATUSES)
def test_a_status_that_the_models_write_fits_and_loses_nothing(kind: str, status: dict[str, Any]):
    model, _ = STATUSES[kind]
    written = model.model_validate(status).to_dict()
    assert covers(written, status)
    schema = SCHEMAS[kind]["properties"]["status"]
    jsonschema.Draft7Validator(plain(schema)).validate(written)
    assert with_defaults(schema, written) == written


# The columns
def field_at(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the schema that a column's JSON path leads to; KeyError if it leads nowhere."""
    found = schema
    for part in path.removeprefix(".").replace(".type==", "type==").split("."):
        name, _, wanted = part.partition("[?(@type==")
        found = found["properties"][name]
        if wanted:
            assert found["x-kubernetes-list-map-keys"] == ["type"]
            assert wanted.removesuffix(")]").strip('"') in {"Succeeded", "Ready", "Stalled", "Finished"}
            found = found["items"]
    return found


@per_kind
def test_each_column_shows_a_field_of_its_type(kind: str):
    *columns, age = CRDS[kind]["spec"]["versions"][0]["additionalPrinterColumns"]
    assert (age["name"], age["type"], age["jsonPath"]) == ("AGE", "date", ".metadata.creationTimestamp")
    for each in columns:
        field = field_at(SCHEMAS[kind], each["jsonPath"])
        printable = {"integer", "boolean"} & {field.get("type")} or {"string"}  # what is no scalar is printed as text
        assert {each["type"]} == printable, each


def test_a_column_that_leads_nowhere_is_found():
    with pytest.raises(KeyError):
        field_at(SCHEMAS["ParallelRunStep"], ".status.progress.columns.speed")


@pytest.mark.parametrize(
    ("kind", "shown", "wide"),
    [
        (
            "ParallelRunStep",
            ["SUCCEEDED", "REASON", "DONE", "FAILED", "RATE", "ETA", "WORKERS", "AGE"],
            ["COMPUTE", "OUTPUT", "MESSAGE"],
        ),
        ("ScriptStep", ["SUCCEEDED", "REASON", "AGE"], ["COMPUTE", "EXIT", "MESSAGE"]),
        ("TransferStep", ["SUCCEEDED", "REASON", "AGE"], ["MESSAGE"]),
        ("Pipeline", ["READY", "REASON", "AGE"], ["MESSAGE"]),
        ("PipelineRun", ["SUCCEEDED", "REASON", "STEPS", "CURRENT", "AGE"], ["PIPELINE", "MESSAGE"]),
        ("Model", ["MODEL", "VERSION", "STEP", "RUN", "AGE"], ["PATH", "DATASTORE"]),
        ("Dataset", ["DATASET", "VERSION", "FILES", "ROWS", "STEP", "RUN", "AGE"], ["FORMAT", "QUERY"]),
    ],
)
def test_the_columns_of_steps_and_runs_are_those_people_watch(kind: str, shown: list[str], wide: list[str]):
    columns = CRDS[kind]["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [each["name"] for each in columns if not each.get("priority")] == shown
    assert [each["name"] for each in columns if each.get("priority")] == wide


# Manifests
FOUND = [*of_examples(), *of_data(), *of_tests()]


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in (*FOUND, *of_documentation())])
def test_the_schema_takes_a_manifest_of_examples_documentation_and_tests(raw: dict[str, Any]):
    schema = SCHEMAS[raw["kind"]]
    jsonschema.Draft7Validator(plain(schema)).validate(raw)
    filled = with_defaults(schema["properties"]["spec"], raw["spec"])
    assert covers(filled, raw["spec"])
    assert list(broken_rules(schema["properties"]["spec"], filled)) == []


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in FOUND])
def test_the_models_take_a_manifest_with_the_defaults_of_the_schema(raw: dict[str, Any]):
    parse({**raw, "spec": with_defaults(SCHEMAS[raw["kind"]]["properties"]["spec"], raw["spec"])})


def every_field() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(EVERY_FIELD.read_text()))


@per_kind
def test_every_field_is_tried(kind: str):
    schema = SCHEMAS[kind]["properties"]["spec"]
    tried = {path for raw in every_field() if raw["kind"] == kind for path in field_paths(schema, raw["spec"])}
    assert tried == {path for path, _ in parts(schema) if path}


# Rules, and their twins in the models
TWINS = {(model.__name__, rule.message): rule for model, rules in RULES.items() for rule in rules}


def test_each_rule_has_a_twin_and_each_twin_a_rule():
    assert list(TWINS) == list(BY_RULE)


def test_the_definitions_hold_each_rule_and_no_other():
    held = {
        (rule["rule"], rule["message"])
        for schema in SCHEMAS.values()
        for _, part in parts(schema)
        for rule in part.get("x-kubernetes-validations", ())
    }
    assert held == {(each.cel, each.message) for each in TWINS.values()}


@pytest.mark.parametrize(
    ("rule", "raw"),
    [pytest.param(TWINS[key], raw, id=f"{key[1]}-{n}") for key, all_ in BY_RULE.items() for n, raw in enumerate(all_)],
)
def test_a_bad_manifest_is_refused_by_rule_and_model_alike(rule: Rule, raw: dict[str, Any]):
    schema = SCHEMAS[raw["kind"]]["properties"]["spec"]
    jsonschema.Draft7Validator(plain(schema)).validate(raw["spec"])  # or the rule would be needless
    assert list(broken_rules(schema, with_defaults(schema, raw["spec"]))) == [rule.message]
    with pytest.raises(InvalidDocuments) as caught:
        parse(raw)
    (problem,) = caught.value.problems
    assert rule.text in problem.text
    assert problem.path.endswith(rule.field)


@pytest.mark.parametrize("raw", [raw for raw, _ in BY_SCHEMA], ids=[field for _, field in BY_SCHEMA])
def test_what_a_schema_can_express_is_refused_by_schema_and_model_alike(raw: dict[str, Any]):
    assert not is_valid(SCHEMAS[raw["kind"]], raw)
    with pytest.raises(InvalidDocuments):
        parse(copy.deepcopy(raw))


def test_inputs_are_distinguished_by_the_lists_key():
    inputs = SCHEMAS["ParallelRunStep"]["properties"]["spec"]["properties"]["inputs"]
    assert inputs["x-kubernetes-list-map-keys"] == ["name"]
    with pytest.raises(InvalidDocuments, match="must have unique names: 'scans' is used twice"):
        parse(step(inputs=[{"name": "scans", "dataset": "a"}, {"name": "scans", "dataset": "b"}]))


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("ScriptStep", ".spec.inputs"),
        ("ScriptStep", ".spec.outputs"),
        ("Pipeline", ".spec.parameters"),
        ("Pipeline", ".spec.steps"),
        ("PipelineRun", ".spec.pipelineSpec.parameters"),
        ("PipelineRun", ".spec.pipelineSpec.steps"),
        ("PipelineRun", ".status.steps"),
    ],
)
def test_what_a_list_holds_is_distinguished_by_its_name(kind: str, path: str):
    found = dict(parts(SCHEMAS[kind]))[path]
    assert (found["x-kubernetes-list-type"], found[KEYS]) == ("map", ["name"])


@pytest.mark.parametrize("kind", ["Pipeline", "PipelineRun"])
def test_any_value_of_a_step_in_a_pipeline_may_be_a_parameter(kind: str):
    """Its model knows what it is once the parameters are filled in: the API server keeps all of it as it is."""
    fields = dict(parts(SCHEMAS[kind]))
    steps = ".spec.steps[]" if kind == "Pipeline" else ".spec.pipelineSpec.steps[]"
    for name in ("parallelRun", "script", "transfer"):
        found = {key: each for key, each in fields[f"{steps}.{name}"].items() if key != "description"}
        assert found == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def looked_through(rule: str) -> set[str]:
    """Return the lists that a rule goes through element by element."""
    macros = (".all(", ".exists(", ".map(", ".filter(")
    return {rule[: rule.index(each)].rpartition("self.")[2] for each in macros if each in rule}


@per_kind
def test_a_rule_looks_through_bounded_lists_and_is_below_bounded_ones(kind: str):
    """Else the API server refuses the whole definition: the rule might cost too much."""
    unbounded = {path for path, each in parts(SCHEMAS[kind]) if each.get("type") == "array" and "maxItems" not in each}
    for path, each in parts(SCHEMAS[kind]):
        for rule in each.get("x-kubernetes-validations", ()):
            assert not {f"{path}.{name}" for name in looked_through(rule["rule"])} & unbounded
            assert not any(path.startswith(f"{above}[]") for above in unbounded)
