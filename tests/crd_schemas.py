"""The schemas of crds/, and the rules of Kubernetes for them: structure, defaults, and rules in CEL."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import celpy
import jsonschema
import re2
import yaml
from manifests import ROOT

FILES = sorted((ROOT / "crds").iterdir())
CRDS: dict[str, dict[str, Any]] = {
    each["spec"]["names"]["kind"]: each for each in (yaml.safe_load(file.read_text()) for file in FILES)
}
SCHEMAS = {
    kind: each["spec"]["versions"][0]["schema"]["openAPIV3Schema"]  # each has one version
    for kind, each in CRDS.items()
}
KEYWORDS_OF_1_20 = {
    *("type", "format", "enum", "default", "pattern", "minLength", "maxLength", "minimum", "maximum"),
    *("items", "minItems", "maxItems", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    *("properties", "required", "additionalProperties", "x-kubernetes-preserve-unknown-fields"),
    *("description", "anyOf", "x-kubernetes-int-or-string"),
}
INTEGER_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def parts(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a schema and all below it, each with its path."""
    yield path, schema
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from parts(schema[key], f"{path}[]")
    for name, each in schema.get("properties", {}).items():
        yield from parts(each, f"{path}.{name}")


def breaches(schema: dict[str, Any]) -> list[str]:
    """Return where a schema is not what Kubernetes 1.20 calls structural, once x-kubernetes-validations is pruned."""
    root_metadata = schema.get("properties", {}).get("metadata", {})
    found = ["the root is not an object"] if schema.get("type") != "object" else []
    if "additionalProperties" in schema:
        found.append("additionalProperties at the root")
    if root_metadata.keys() - {"type", "properties"} or set(root_metadata.get("properties", {})) - {"name"}:
        found.append("metadata restricts more than the name")
    return found + [f"{path}: {each}" for path, part in parts(schema) for each in breaches_of(part)]


def breaches_of(part: dict[str, Any]) -> Iterator[str]:
    if unknown := part.keys() - KEYWORDS_OF_1_20 - {"x-kubernetes-validations"}:
        yield f"unknown keywords {sorted(unknown)}"
    if "default" in part and not is_valid(part, part["default"]):
        yield "its default is not valid"
    yield from breaches_of_type(part)
    yield from breaches_below(part)


def breaches_of_type(part: dict[str, Any]) -> Iterator[str]:
    either = part.get("x-kubernetes-int-or-string", False)
    anything = part.get("x-kubernetes-preserve-unknown-fields", False)
    is_open = anything and part.get("type") == "object"  # of Kubernetes' own
    if ("type" in part) + either + anything != 1 + is_open:
        yield "not exactly one of a type, an integer or string, or anything"
    if "anyOf" in part and not (either and part["anyOf"] == INTEGER_OR_STRING):
        yield "a union other than integer-or-string"
    if (part.get("type") == "array") != ("items" in part):
        yield "items if and only if it is an array"
    if "pattern" in part:
        yield from not_in_re2(part["pattern"])


def breaches_below(part: dict[str, Any]) -> Iterator[str]:
    if "properties" in part and "additionalProperties" in part:
        yield "both properties and additionalProperties"
    if not isinstance(part.get("additionalProperties", {}), dict):
        yield "additionalProperties is no schema"
    if missing := set(part.get("required", ())) - set(part.get("properties", ())):
        yield f"requires unknown fields {sorted(missing)}"
    for key in part.get("x-kubernetes-list-map-keys", ()):
        fields = part["items"].get("properties", {})
        if key not in part["items"].get("required", ()) or fields[key].get("type") not in ("string", "integer"):
            yield f"its key {key} is not a required scalar"


def not_in_re2(pattern: str) -> Iterator[str]:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        yield f"its pattern is none of Go's: {error}"


def plain(schema: Any) -> Any:
    """Return the schema as any JSON schema tool reads it: without Kubernetes' extensions."""
    if isinstance(schema, dict):
        kept = {key: each for key, each in schema.items() if not key.startswith("x-kubernetes-")}
        return {key: plain(each) for key, each in kept.items()}
    return schema


def is_valid(schema: dict[str, Any], value: Any) -> bool:
    return jsonschema.Draft7Validator(plain(schema)).is_valid(value)


def with_defaults(schema: dict[str, Any], value: Any) -> Any:
    """Fill in defaults and prune unknown fields, as the API server does before it looks at the rules."""
    if isinstance(value, list):
        return [with_defaults(schema.get("items", {}), each) for each in value]
    if not isinstance(value, dict):
        return value
    if "properties" not in schema:
        return {name: with_defaults(schema.get("additionalProperties", {}), each) for name, each in value.items()}
    fields = schema["properties"]
    given = {name: with_defaults(fields[name], each) for name, each in value.items() if name in fields}
    defaults = {name: each["default"] for name, each in fields.items() if "default" in each}
    return {**defaults, **given}


@cache
def program(rule: str) -> celpy.Runner:
    environment = celpy.Environment()
    return environment.program(environment.compile(rule))


def broken_rules(schema: dict[str, Any], value: Any) -> Iterator[str]:
    """Yield the message of each rule that the value, defaults filled in, breaks."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if not program(rule["rule"]).evaluate({"self": celpy.json_to_cel(value)}):
            yield rule["message"]
    if isinstance(value, list):
        for each in value:
            yield from broken_rules(schema.get("items", {}), each)
    elif isinstance(value, dict):
        for name, each in value.items():
            below = schema.get("properties", {}).get(name) or schema.get("additionalProperties", {})
            yield from broken_rules(below, each)


def field_paths(schema: dict[str, Any], value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each field that the value holds, written as `parts` does."""
    if path:
        yield path
    if isinstance(value, list):
        for each in value:
            yield from field_paths(schema["items"], each, f"{path}[]")
    elif isinstance(value, dict):
        for name, each in value.items():
            if "properties" in schema:
                yield from field_paths(schema["properties"][name], each, f"{path}.{name}")
            elif "additionalProperties" in schema:
                yield from field_paths(schema["additionalProperties"], each, f"{path}[]")
