"""The page of the Python API, from the docstrings and signatures of what `longshore` exports."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import longshore
from docsite.markdown import code, notice, table
from longshore.data import FileDataset, TabularDataset
from longshore.resource import Resource
from longshore_api.crdgen.definitions import definitions

_GROUPS: Mapping[str, tuple[str, ...]] = {
    "Workspaces": ("Workspace",),
    "Runs": ("Run", "StepRun", "RunOutput", "Progress", "Failure", "Log"),
    "Steps and pipelines": ("ParallelRunStep", "ScriptStep", "TransferStep", "Pipeline", "PipelineRun", "Parameter"),
    "Data": ("FileDataset", "TabularDataset", "Datastore", "DataPath", "Input", "Output", "StepOutput"),
    "What steps run on and with": ("Environment", "ComputeCluster", "Model"),
    "Functions": ("parallel_run", "debug", "load"),
    "Documents": ("Documents", "Resource", "Step"),
    "Errors": ("InvalidArgument", "RunFailed", "ApiError"),
}
_OF_EVERY_RESOURCE = {
    "namespace": "Namespace of the cluster; ignored by local runs.",
    "labels": "Kubernetes labels.",
    "annotations": "Kubernetes annotations.",
}
_NAME = "Name of the object; unique among those of its kind."
# Of an object that stands for a document; its other methods serve this package.
_OF_RESOURCES = {"reference", "folder", "to_dict", "to_yaml", "documents", "replace"}
_OF_PIPELINES = "In a Pipeline: "
_OPENING = """\
# Python API

Everything that `import longshore` offers; other modules and names may change in any release.
[Ten minutes from Python](../start/python.md) introduces it. Arguments with a `*` are given by name. An argument that is
None is left out of the document, so its default is that of the kind.
"""
_SECTION = re.compile(r"^(Args|Returns|Raises|Example):$")
_ITEM = re.compile(r"(\w+): (.*)")


def page() -> str:
    """Return the page."""
    parts = [notice("the docstrings of operator/longshore") + _OPENING]
    for group, names in _GROUPS.items():
        parts.append(f"\n## {group}\n")
        parts += [part for name in names for part in _object(name, getattr(longshore, name))]
    return "\n".join(parts).rstrip("\n") + "\n"


def _object(name: str, value: Any) -> Iterator[str]:
    yield f"\n### {name}\n"
    if inspect.isclass(value) and dataclasses.is_dataclass(value):
        yield _prose(value, arguments=False)
        yield table(("Argument", "Type", "Description"), list(_arguments(value)))
    else:
        if inspect.isfunction(value):
            yield f"```python\n{name}{_signature(value)}\n```\n"
        yield _prose(value)
    if inspect.isclass(value):
        for member, found in _members(value):
            yield f"\n#### {name}.{member}\n"
            if not isinstance(found, property):
                yield f"```python\n{member}{_signature(found)}\n```\n"
            yield _prose(found.fget if isinstance(found, property) else found)


def _members(made: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that a class defines, or inherits from the objects of documents."""
    ours = (each for each in made.__mro__ if each.__module__.startswith("longshore"))
    bases = [each for each in ours if each is made or each is not Resource]  # whose methods are listed once
    seen = set()
    for base in bases:
        for name, value in vars(base).items():
            function = value.__func__ if isinstance(value, staticmethod) else value
            is_internal = issubclass(base, Resource)
            is_public = not name.startswith("_") and name not in seen
            if is_internal and name not in _OF_RESOURCES | {"outputs", "path"}:
                continue
            if is_public and (inspect.isfunction(function) or isinstance(value, property)) and _is_documented(function):
                seen.add(name)
                yield name, function


def _is_documented(value: Any) -> bool:
    return bool((value.fget if isinstance(value, property) else value).__doc__)


def _signature(function: Any) -> str:
    """Return the signature of a function, with types as they are written."""
    found = inspect.signature(function)
    parameters = [each.replace(annotation=_Plain(each.annotation)) for each in found.parameters.values()]
    returned = "" if found.return_annotation in ("None", found.empty) else f" -> {found.return_annotation}"
    shown = inspect.Signature([each for each in parameters if each.name != "self"])
    return f"{shown}{returned}"


class _Plain:
    """An annotation that is shown without quotes."""

    def __init__(self, text: Any) -> None:
        self._text = str(text)

    def __repr__(self) -> str:
        return self._text


def _arguments(made: Any) -> Iterator[tuple[str, str, str]]:
    descriptions = _descriptions(made)
    own = _sections(inspect.getdoc(made) or "").get("Args", {})
    for field in sorted(dataclasses.fields(made), key=_order):
        description = own.get(field.name) or descriptions.get(field.name) or _OF_EVERY_RESOURCE.get(field.name, _NAME)
        star = "" if not field.kw_only else "* "
        type_ = str(field.type).removesuffix(" | None") if "OutputsField" not in str(field.type) else "GivenOutputs"
        yield f"{star}{code(field.name)}", code(type_), description


def _order(field: dataclasses.Field[Any]) -> tuple[bool, bool]:
    return bool(field.kw_only), field.name in _OF_EVERY_RESOURCE


def _descriptions(made: Any) -> dict[str, str]:
    """Return the descriptions of a class's arguments, as the definition of its kind has them."""
    steps = _of_pipeline_steps() if issubclass(made, longshore.Step) else {}
    kind = getattr(made, "kind", None)
    if kind is None:
        return steps
    schema = next(each for each in definitions().values() if each["spec"]["names"]["kind"] == kind)
    spec = schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    found = dict(spec)
    if made in (FileDataset, TabularDataset):
        found |= spec[made.described_as]["properties"]
    return steps | {made.argument(_snake(name)): each.get("description", "") for name, each in found.items()}


def _of_pipeline_steps() -> dict[str, str]:
    """Return the descriptions of the settings that a step has in a Pipeline only."""
    pipeline = next(each for each in definitions().values() if each["spec"]["names"]["kind"] == "Pipeline")
    spec = pipeline["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields = spec["steps"]["items"]["properties"]
    return {_snake(key): _OF_PIPELINES + each["description"] for key, each in fields.items() if key != "name"}


def _snake(name: str) -> str:
    return re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", name)


def _prose(value: Any, *, arguments: bool = True) -> str:
    """Return a docstring as Markdown."""
    sections = _sections(inspect.getdoc(value) or "")
    lines = [str(sections[""]).strip(), ""]
    for title in ("Args", "Returns", "Raises"):
        items = sections.get(title)
        if isinstance(items, dict) and (arguments or title != "Args"):
            lines += [f"{title.replace('Args', 'Arguments')}:", ""]
            lines += [f"* {code(name)}: {text}" for name, text in items.items()]
            lines.append("")
        elif items and title != "Args":
            lines += [f"{title}: {items}", ""]
    if "Example" in sections:
        lines += ["```python", str(sections["Example"]).rstrip(), "```", ""]
    return "\n".join(lines)


def _sections(text: str) -> dict[str, Any]:
    """Return the sections of a docstring in Google's style: the prose under "", items as mappings, others as text."""
    found: dict[str, list[str]] = {"": []}
    title = ""
    for line in text.splitlines():
        heading = _SECTION.match(line)
        if heading:
            title = heading[1]
            found[title] = []
        elif title and line and not line.startswith(" "):
            title = ""
            found[""] += ["", line]
        else:
            found[title].append(line)
    return {title: "\n".join(lines) if title == "" else _body(title, lines) for title, lines in found.items()}


def _body(title: str, lines: Iterable[str]) -> Any:
    text = inspect.cleandoc("\n".join(["", *lines]))
    if title == "Example":
        return text
    items: dict[str, str] = {}
    for line in text.splitlines():
        item = _ITEM.fullmatch(line)
        if item:
            items[item[1]] = item[2]
        elif items and line.strip():
            items[list(items)[-1]] += f" {line.strip()}"
        elif line.strip():
            return " ".join(text.split())
    return items
