"""Pages of the kinds, from their definitions: one section per object, one row per field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from docsite.field_facts import facts_about
from docsite.markdown import code, notice, table
from longshore_api import values
from longshore_api.values import INT_MAX, Matching

Schema = Mapping[str, Any]

_COLUMNS = ("Field", "Type", "Description")
_NAMES = {"array": "list"}
# Sentences of forms that schemas have as regular expressions.
_FORMS = {
    (f"^{each.pattern}$", each.longest): each.rule.removeprefix("must be ")
    for kind in vars(values).values()
    for each in get_args(kind)
    if isinstance(each, Matching)
}


def file_name(definition: Mapping[str, Any]) -> str:
    """Return the name of a kind's page."""
    return f"{definition['spec']['names']['singular']}.md"


def overview(definitions: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page that lists the kinds."""
    rows = [
        (
            f"[{each['spec']['names']['kind']}]({file_name(each)})",
            ", ".join(map(code, each["spec"]["names"]["shortNames"])),
            _schema(each)["description"],
        )
        for each in definitions.values()
    ]
    return (
        notice("operator/longshore_api")
        + "# Kinds\n\nEach document of a manifest is of one of these kinds, with `apiVersion: longshore.dev/v1alpha1`. "
        "Their pages list every field, with its type, range and default. A field may be left out "
        "unless it is *required*. Fields of Azure ML keep their names, in camelCase, and times carry their unit: "
        "`run_invocation_timeout` is `runInvocationTimeoutSeconds`. Where Azure ML has a field, the description "
        "has its name. A field counts in local runs and on a cluster unless its description limits it.\n\n"
        + table(("Kind", "Short name for kubectl", "Meaning"), rows)
    )


def page(definition: Mapping[str, Any]) -> str:
    """Return the page of one kind."""
    names, schema = definition["spec"]["names"], _schema(definition)
    short = " or ".join(map(code, names["shortNames"]))
    columns = [
        (code(each["name"]), each["description"], "with `-o wide`" if each.get("priority") else "always")
        for each in definition["spec"]["versions"][0]["additionalPrinterColumns"]
    ]
    return (
        notice("operator/longshore_api")
        + f"# {names['kind']}\n\n{schema['description']}\n\n"
        + f"```yaml\napiVersion: longshore.dev/v1alpha1\nkind: {names['kind']}\n```\n\n"
        + f"`kubectl get {names['plural']}` lists them, or {short} for short.\n"
        + "".join(_sections(names["kind"], "metadata", schema["properties"]["metadata"]))
        + "".join(_sections(names["kind"], "spec", schema["properties"]["spec"]))
        + "".join(_sections(names["kind"], "status", schema["properties"]["status"]))
        + "\n## Columns of kubectl\n\n"
        + table(("Column", "Meaning", "Shown"), columns)
    )


def _schema(definition: Mapping[str, Any]) -> Schema:
    schema: Schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _sections(kind: str, path: str, schema: Schema) -> Iterator[str]:
    """Yield the section of an object, then those of the objects below it."""
    fields: Mapping[str, Schema] = schema.get("properties", {})
    required = schema.get("required", ())
    rows = [
        (
            code(name),
            "; ".join(filter(None, _facts(each, name in required))),
            _description(kind, f"{path}.{name}", each),
        )
        for name, each in fields.items()
    ]
    level = "##" if "." not in path else "###"
    about = schema.get("description", "Kubernetes' own; of it, Longshore restricts the name.")
    yield f"\n{level} {path}\n\n{about}\n\n" + table(_COLUMNS, rows) + _rules(schema)
    for name, each in fields.items():
        below, suffix = _innermost(each)
        if "properties" in below:
            yield from _sections(kind, f"{path}.{name}{suffix}", below)


def _description(kind: str, path: str, schema: Schema) -> str:
    text = schema.get("description", "")
    return f"{text} {facts_about(kind, path, text)}".strip()


def _innermost(schema: Schema) -> tuple[Schema, str]:
    """Return the schema of the elements of a list or map, and how a path names them."""
    suffix = ""
    while True:
        if "items" in schema:
            schema, suffix = schema["items"], suffix + "[]"
        elif isinstance(schema.get("additionalProperties"), Mapping):
            schema, suffix = schema["additionalProperties"], suffix + ".NAME"
        else:
            return schema, suffix


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(code(str(each)) for each in schema["enum"])
    if "items" in schema:
        size = _size(schema.get("minItems"), schema.get("maxItems"))
        return f"list{f' of {size}' if size else ''}: {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"map of names to: {_type(schema['additionalProperties'])}"
    parts = [_base(schema), _range(schema), _FORMS.get((schema.get("pattern", ""), schema.get("maxLength", 0)), "")]
    return "; ".join(filter(None, parts))


def _base(schema: Schema) -> str:
    pattern = schema.get("pattern", "")
    if schema.get("x-kubernetes-int-or-string"):
        words = re.findall(r"\|([a-z]+)", pattern)
        # A number may be written as a string, as values of parameters are; a size or an amount may have a unit, too.
        return " or ".join(("integer", *map(code, words))) if "[+-]" in pattern else "integer or string"
    if "type" not in schema:
        return "number" if "minimum" in schema else "any value"
    name: str = "time" if schema.get("format") == "date-time" else schema["type"]
    return _NAMES.get(name, name)


def _range(schema: Schema) -> str:
    if schema.get("type") == "string":
        return ""
    high = schema.get("maximum")
    return _size(schema.get("minimum"), None if high == INT_MAX else high)


def _size(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f"{low:,} or more"
    return f"at most {high:,}" if low is None else f"{low:,} to {high:,}"


def _facts(schema: Schema, required: bool) -> Iterator[str]:  # noqa: FBT001  (of a field, as its schema is)
    yield _type(schema)
    default = schema.get("default")
    if required:
        yield "required"
    elif default is not None and default not in ({}, []):
        yield "default " + code(str(default).lower() if isinstance(default, bool) else str(default))


def _rules(schema: Schema) -> str:
    rules = schema.get("x-kubernetes-validations", ())
    return "\nRules:\n\n" + "".join(f"* {each['message']}\n" for each in rules) if rules else ""
