"""Conversion of a pydantic model into a structural schema: no references, no nulls, one type for each field.

A field is left out by being absent, never by null: has() in a rule is true for null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from longshore_api.crdgen.descriptions import Described
from longshore_api.crdgen.rules import RULES

Schema = dict[str, Any]

_KNOWN = (  # to API servers from 1.20 on, in the order of reading; x-kubernetes-validations, to 1.25 and later
    "description",
    "type",
    "format",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "anyOf",
    "enum",
    "default",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "items",
    "additionalProperties",
    "properties",
    "required",
    "x-kubernetes-validations",
)
_RULES = {model.__name__: rules for model, rules in RULES.items()}
_NULL = {"type": "null"}


def structural(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a model's objects, rules included.

    Raises:
        ValueError: if the model has a type that no structural schema can express: a tuple, or a union other than
            integer-or-string.
    """
    raw = model.model_json_schema(schema_generator=Described)
    models = raw.pop("$defs", {})
    return _inlined({**raw, **_rules_of(model.__name__)}, models, path=model.__name__)


def observed(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a status.

    Only the keys of lists are required, and no field has a default. So a status that an older Longshore wrote never
    prevents changes of its object after an upgrade, and a status contains only what Longshore observed.
    """
    return _relaxed(structural(model))


def _inlined(raw: Schema, models: Mapping[str, Schema], *, path: str) -> Schema:
    node = _without_null(raw, path=path)
    if "$ref" in node:
        name = node.pop("$ref").rpartition("/")[2]
        node = {**models[name], **_rules_of(name), **node}  # the field's own description takes precedence
    node = _respelt(node)
    if unknown := node.keys() - set(_KNOWN):
        raise ValueError(f"{path}: a structural schema has no {', '.join(sorted(unknown))}")
    for key in ("items", "additionalProperties"):
        if key in node:
            node[key] = _inlined(node[key], models, path=f"{path}.{key}")
    if "properties" in node:
        fields = node["properties"].items()
        node["properties"] = {name: _inlined(each, models, path=f"{path}.{name}") for name, each in fields}
    return {key: node[key] for key in _KNOWN if key in node}


def _without_null(raw: Schema, *, path: str) -> Schema:
    """Return the schema with "X or null" replaced by X; the field's own description and default stay."""
    if "anyOf" not in raw or "x-kubernetes-int-or-string" in raw:
        return dict(raw)
    variants = [each for each in raw["anyOf"] if each != _NULL]
    if len(variants) != 1:
        raise ValueError(f"{path}: a structural schema has no union but integer-or-string")
    return {**variants[0], **{key: each for key, each in raw.items() if key != "anyOf"}}


def _respelt(raw: Schema) -> Schema:
    """Return the schema with keywords of Kubernetes where it has any; the caller refuses all others."""
    node = dict(raw)
    node.pop("title", None)
    if node.get("additionalProperties") is False:
        del node["additionalProperties"]  # the API server prunes unknown fields, or refuses them where asked to
    if node.get("default") in (None, ""):
        node.pop("default", None)  # equal to absence
    if "patternProperties" in node:  # only the values can be described, not the pattern of the names
        (node["additionalProperties"],) = node.pop("patternProperties").values()
        node.pop("propertyNames", None)
    if "description" in node:
        node["description"] = " ".join(node["description"].split())
    if "const" in node:
        node["enum"] = [node.pop("const")]
    return node


def _rules_of(name: str) -> Schema:
    rules = [{"rule": each.cel, "message": each.message} for each in _RULES.get(name, ())]
    return {"x-kubernetes-validations": rules} if rules else {}


def _relaxed(node: Schema) -> Schema:
    kept = {key: each for key, each in node.items() if key not in ("default", "required")}
    for key in ("items", "additionalProperties"):
        if key in kept:
            kept[key] = _relaxed(kept[key])
    if "properties" in kept:
        kept["properties"] = {name: _relaxed(each) for name, each in kept["properties"].items()}
    if keys := kept.get("x-kubernetes-list-map-keys"):
        kept["items"]["required"] = keys
    return kept
