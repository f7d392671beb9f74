"""The definitions in crds/ and manifests before the real server of custom resources, of the newest release there is."""

from __future__ import annotations

import copy
import itertools
import uuid
from typing import Any

import pytest
import yaml
from bad_manifests import BY_KEY, BY_RULE, BY_SCHEMA
from crd_server import DEFINITIONS, Server, eventually, resources_of
from manifests import ROOT, covers, manifest, of_data, of_documentation, of_examples, of_tests, step

CRDS: dict[str, dict[str, Any]] = {
    each["spec"]["names"]["kind"]: each
    for each in (yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").iterdir()))
}
FOUND = (*of_examples(), *of_documentation(), *of_data(), *of_tests())
BROKEN_RULES = [
    pytest.param(raw, message, id=f"{message}-{number}")
    for (_, message), all_ in BY_RULE.items()
    for number, raw in enumerate(all_)
]
REFUSED = [pytest.param(raw, field, id=f"{raw['kind']}-{field}") for raw, field in (*BY_SCHEMA, *BY_KEY)]
ALL_BAD = [*itertools.chain(*BY_RULE.values()), *(raw for raw, _ in BY_SCHEMA if raw["metadata"]["name"] == "sample")]
KEYWORDS = {  # that restrict a value without giving the type, and that a later definition may add
    *("x-kubernetes-validations", "enum", "pattern", "minLength", "maxLength"),
    *("minimum", "maximum", "minItems", "maxItems", "default"),
}

per_kind = pytest.mark.parametrize("kind", CRDS)


@pytest.fixture(scope="module")
def defined(server: Server) -> dict[str, dict[str, Any]]:
    """Return the definitions as the server keeps them, by kind."""
    return {kind: server.define(each) for kind, each in CRDS.items()}


@pytest.fixture
def served(server: Server, defined: dict[str, dict[str, Any]]) -> Server:
    """Return a server that has all definitions."""
    assert defined.keys() == CRDS.keys()
    return server


def create(server: Server, raw: dict[str, Any], **query: str):
    """Create a resource in a namespace of its own; return the answer, and the path of the namespace's resources."""
    path = resources_of(CRDS[raw["kind"]], f"test-{uuid.uuid4().hex[:8]}")
    body = {**raw, "metadata": {key: each for key, each in raw["metadata"].items() if key != "namespace"}}
    return server.request("POST", path, body, **query), path


# The definitions


@per_kind
def test_a_definition_is_taken_as_it_is_and_served(defined: dict[str, dict[str, Any]], kind: str):
    kept = defined[kind]
    conditions = {each["type"]: each["status"] for each in kept["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}  # NonStructuralSchema would be a third
    assert covers(kept["spec"], CRDS[kind]["spec"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda inputs: inputs.pop("maxItems"), "exceeds budget"),
        (lambda inputs: inputs["items"].update(nullable=True, type=None), "type"),
        (lambda inputs: inputs.update({"x-kubernetes-list-map-keys": ["alias"]}), "x-kubernetes-list-map-keys"),
        (lambda inputs: inputs["items"]["properties"]["name"].update(pattern="(?!a)b"), "pattern"),
        (
            lambda inputs: inputs.update({"x-kubernetes-validations": [{"rule": "self.all(", "message": "m"}]}),
            "compilation failed",
        ),
    ],
    ids=["a rule that may cost too much", "no type", "an unknown key", "a pattern of another dialect", "no CEL"],
)
def test_a_definition_that_breaks_todays_rules_is_refused(server: Server, change: Any, message: str):
    """Or what the tests above show would be little."""
    bad = moved(CRDS["ParallelRunStep"], "broken.longshore.dev")
    change(schema_of(bad)["properties"]["spec"]["properties"]["inputs"])
    answer = server.request("POST", DEFINITIONS, bad, dryRun="All")
    assert answer.code == 422
    assert message in answer.message


def moved(definition: dict[str, Any], group: str) -> dict[str, Any]:
    """Return the same definition in another group."""
    new = copy.deepcopy(definition)
    new["metadata"]["name"] = f"{new['spec']['names']['plural']}.{group}"
    new["spec"]["group"] = group
    return new


def schema_of(definition: dict[str, Any]) -> dict[str, Any]:
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


# Manifests


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in FOUND])
def test_a_manifest_of_examples_documentation_and_tests_is_taken_and_loses_nothing(served: Server, raw: dict[str, Any]):
    answer, _ = create(served, raw, fieldValidation="Strict")
    assert answer.code == 201, answer.message
    assert covers(answer.body["spec"], raw["spec"])


@pytest.mark.parametrize(("raw", "message"), BROKEN_RULES)
def test_a_manifest_that_breaks_a_rule_is_refused_with_its_message(served: Server, raw: dict[str, Any], message: str):
    answer, path = create(served, raw)
    assert answer.code == 422
    assert len(answer.fields) == 1
    assert f": {message}" in answer.message
    assert served.request("GET", path).body["items"] == []


@pytest.mark.parametrize(("raw", "field"), REFUSED)
def test_a_manifest_that_breaks_a_schema_is_refused_with_its_field(served: Server, raw: dict[str, Any], field: str):
    answer, path = create(served, raw)
    assert answer.code == 422
    assert field in answer.fields
    assert served.request("GET", path).body["items"] == []


def test_a_misspelt_field_is_refused_where_that_is_asked_for_and_pruned_otherwise(served: Server):
    refused, _ = create(served, step(nodeCounts=2), fieldValidation="Strict")
    assert refused.code == 400
    assert 'unknown field "spec.nodeCounts"' in refused.message
    kept, _ = create(served, step(nodeCounts=2))
    assert "nodeCounts" not in kept.body["spec"]


def test_what_is_not_given_gets_its_default(served: Server):
    kept, _ = create(served, manifest("ComputeCluster", {}))
    assert kept.body["spec"] == {
        "vmPriority": "dedicated",
        "minNodes": 0,
        "maxNodes": 4,
        "idleSecondsBeforeScaleDown": 1800,
    }


# Stricter definitions over stored resources (ratcheting)


EARLIER = "earlier.longshore.dev"
STATUS = {"observedGeneration": 1, "conditions": []}


@pytest.fixture(scope="module")
def stored(server: Server) -> dict[str, list[str]]:
    """Store what today's definitions refuse, under looser ones that today's then replace; return the paths by kind."""
    definitions = {kind: moved(each, EARLIER) for kind, each in CRDS.items()}
    for each in definitions.values():
        looser = copy.deepcopy(each)
        loosen(schema_of(looser))
        server.define(looser)
    bad = [
        {**raw, "apiVersion": f"{EARLIER}/v1alpha1", "metadata": {"name": f"bad-{n}"}} for n, raw in enumerate(ALL_BAD)
    ]
    taken = [raw for raw in bad if server.request("POST", resources_of(definitions[raw["kind"]]), raw).code == 201]
    for kind, each in definitions.items():
        replace(server, each, [raw for raw in taken if raw["kind"] == kind])
    names = {kind: [raw["metadata"]["name"] for raw in taken if raw["kind"] == kind] for kind in CRDS}
    return {kind: [f"{resources_of(definitions[kind])}/{name}" for name in names[kind]] for kind in CRDS}


def loosen(schema: Any) -> None:
    """Take away all but the structure and what is required."""
    if isinstance(schema, list):
        for each in schema:
            loosen(each)
    elif isinstance(schema, dict):
        for name in KEYWORDS & schema.keys():
            if not isinstance(schema[name], dict):  # as the schema of a field of that name would be
                del schema[name]
        for each in schema.values():
            loosen(each)


def replace(server: Server, definition: dict[str, Any], stored: list[dict[str, Any]]) -> None:
    """Replace a definition, and return when the server goes by the new one, which refuses what is stored."""
    path = f"{DEFINITIONS}/{definition['metadata']['name']}"
    version = server.request("GET", path).body["metadata"]["resourceVersion"]
    body = {**definition, "metadata": {**definition["metadata"], "resourceVersion": version}}
    answer = server.request("PUT", path, body)
    assert answer.code == 200, answer.message
    for raw in stored[:1]:
        new = {**raw, "metadata": {"name": "new-one"}}
        eventually(lambda new=new: server.request("POST", resources_of(definition), new, dryRun="All").code == 422)


# Not of Pipelines and PipelineRuns: an object that keeps unknown fields, as their steps do, is never equal to what it
# was. So a rule of theirs that is added later keeps the operator from the status of what it refuses.
@pytest.mark.parametrize("kind", ["ComputeCluster", "Dataset", "Datastore", "ParallelRunStep", "ScriptStep"])
def test_an_object_that_an_earlier_definition_accepted_still_takes_a_status_and_labels(
    server: Server, stored: dict[str, list[str]], kind: str
):
    assert stored[kind]
    for path in stored[kind]:
        for where, patch in ((f"{path}/status", {"status": STATUS}), (path, {"metadata": {"labels": {"a": "b"}}})):
            answer = server.request("PATCH", where, patch)
            assert answer.code == 200, answer.message
        assert server.request("GET", path).body["status"] == STATUS
