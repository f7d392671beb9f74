"""Validation of a mapping (parsed YAML or JSON): the result is a typed resource, or sentences about its errors."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from longshore_api.base import API_VERSION, Resource
from longshore_api.data import Dataset, Datastore
from longshore_api.errors import InvalidDocuments, Problem, listed, shown
from longshore_api.parallel_run_step import ParallelRunStep
from longshore_api.pipeline import Pipeline, PipelineRun
from longshore_api.resources import ComputeCluster, Environment, Model
from longshore_api.tasks import ScriptStep, TransferStep

KINDS: Mapping[str, type[Resource]] = {
    "Pipeline": Pipeline,
    "PipelineRun": PipelineRun,
    "ParallelRunStep": ParallelRunStep,
    "ScriptStep": ScriptStep,
    "TransferStep": TransferStep,
    "ComputeCluster": ComputeCluster,
    "Datastore": Datastore,
    "Dataset": Dataset,
    "Environment": Environment,
    "Model": Model,
}
Loc = tuple[int | str, ...]


def label(raw: Any) -> str:
    """Return "Kind/name", or the one of them that the mapping contains, else ""."""
    if not isinstance(raw, Mapping):
        return ""
    metadata = raw.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return "/".join(str(part) for part in (raw.get("kind"), name) if isinstance(part, str))


def parse(raw: Any, *, where: str = "", kinds: Mapping[str, type[Resource]] = KINDS) -> Resource:
    """Validate one document; return its resource.

    Args:
        raw: The document, parsed.
        where: Name of the document, such as "steps.yaml document 2"; begins every sentence.
        kinds: Models of the accepted kinds.

    Raises:
        InvalidDocuments: with every problem of the document.
    """
    subject = ", ".join(filter(None, [where, label(raw)]))
    model = _model(raw, subject, kinds)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InvalidDocuments(problems_of(error, model=model, where=subject)) from None


def problems_of(error: ValidationError, *, model: type[BaseModel], where: str) -> list[Problem]:
    """Translate pydantic's errors about `model` into problems, whose paths begin at that model."""
    return [_problem(each, model=model, where=where) for each in error.errors(include_url=False)]


def field_path(loc: Loc) -> str:
    """Return ("spec", "inputs", 0, "mode") as "spec.inputs[0].mode"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def _model(raw: Any, subject: str, kinds: Mapping[str, type[Resource]]) -> type[Resource]:
    """Return the model of a document's kind; raise InvalidDocuments, with the known kinds, if none matches."""
    known = f"{listed(sorted(kinds))} of {API_VERSION}"
    if not isinstance(raw, Mapping):
        raise InvalidDocuments([Problem(subject, "", f"is {shown(raw)}: must be a mapping with apiVersion and kind")])
    for path in ("apiVersion", "kind"):
        if not isinstance(raw.get(path), str):
            text = f"is {shown(raw[path])}: must be a string" if path in raw else "is missing"
            raise InvalidDocuments([Problem(subject, path, f"{text}; the known kinds are {known}")])
    if raw["apiVersion"] != API_VERSION:
        text = f"is {shown(raw['apiVersion'])}: must be {API_VERSION}; the known kinds are {known}"
        raise InvalidDocuments([Problem(subject, "apiVersion", text)])
    if raw["kind"] not in kinds:
        text = f"is {shown(raw['kind'])}:{_near(raw['kind'], kinds)} the known kinds are {known}"
        raise InvalidDocuments([Problem(subject, "kind", text)])
    return kinds[raw["kind"]]


def _problem(detail: ErrorDetails, *, model: type[BaseModel], where: str) -> Problem:
    loc = tuple(part for part in detail["loc"] if part != "[key]")
    text = _text(detail, loc, model)
    field = detail.get("ctx", {}).get("field")
    if field:
        loc = (*loc, field)
    return Problem(where, field_path(loc), text)


def _text(detail: ErrorDetails, loc: Loc, model: type[BaseModel]) -> str:
    context = detail.get("ctx", {})
    value = detail.get("input")
    match detail["type"]:
        case "missing":
            return "is missing: it is required"
        case "extra_forbidden":
            return f"is not a known field:{_meant(str(loc[-1]), _fields(_model_at(model, loc[:-1])))}"
        case "rule":
            return _rule(context["rule"], field=context["field"], value=value)
        case "literal_error":
            rule = f"must be {context['expected'].replace(chr(39), '')}"
        case "string_type":
            rule = "must be a string" + ("; put it in quotes" if isinstance(value, bool | int | float) else "")
        case "list_type":
            rule = "must be a list"
        case "dict_type" | "model_type" | "model_attributes_type":
            rule = "must be a mapping of fields"
        case "too_short":
            return f"must hold at least {context['min_length']} element"
        case "too_long":
            return f"holds {context['actual_length']} elements: must hold at most {context['max_length']}"
        case _:
            rule = detail["msg"][:1].lower() + detail["msg"][1:]
    return f"is {shown(value)}: {rule}"


def _rule(rule: str, *, field: str, value: Any) -> str:
    """Return the rule, after the value if the value is neither absent nor a mapping or list."""
    if field and isinstance(value, Mapping):
        value = value.get(field)
    if value is None or isinstance(value, Mapping | list) or rule.startswith("is "):
        return rule
    return f"is {shown(value)}: {rule}"


def _meant(name: str, known: typing.Iterable[str]) -> str:
    """Return the question whether a similar field was meant, or the list of known fields."""
    names = list(known)
    return _near(name, names) or f" the known fields are {listed(sorted(names))}"


def _near(name: str, known: typing.Iterable[str]) -> str:
    """Return the question whether a similar name was meant, or "" if no name is similar."""
    spelt = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.replace("_", "").lower(), spelt, n=1, cutoff=0.7)
    return f" did you mean {spelt[near[0]]}?" if near else ""


def _fields(model: type[BaseModel] | None) -> list[str]:
    return [] if model is None else [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """Return the model that the fields at `loc` belong to."""
    found: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, int):
            continue  # an element of a list has the model of the field
        fields = {} if found is None else {field.alias: field.annotation for field in found.model_fields.values()}
        found = model_in(fields.get(part))
    return found


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in a field's type: of the field, or of its elements; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(model_in, typing.get_args(annotation))), None)
