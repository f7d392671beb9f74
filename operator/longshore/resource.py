"""Base of the objects that stand for documents: arguments in, a checked document out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields, is_dataclass
from pathlib import PurePath
from typing import Any, ClassVar, Self, TypeVar

import yaml
from pydantic import BaseModel
from pydantic.alias_generators import to_snake

from longshore.values import Output, Outputs, Parameter, StepOutput
from longshore_api import API_VERSION, KINDS, InvalidDocuments, Problem, parse
from longshore_api.base import NameRef
from longshore_api.registrations import RegisterOnComplete
from longshore_api.validation import model_in

Text = str | Parameter
Integer = int | str | Parameter
Decimal = float | str | Parameter
Switch = bool | str | Parameter
Folder = str | PurePath | Parameter

T = TypeVar("T")
_WORD = re.compile(r"\b[a-z]+(?:[A-Z][a-z0-9]*)+\b")
_PARAMETER = "$(parameters."


class InvalidArgument(ValueError):
    """Arguments that break a rule; `problems` has a sentence for each, with argument, value and rule."""

    def __init__(self, subject: str, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(f"{subject}: {each}" if subject else each for each in self.problems))


@dataclass(frozen=True, eq=False)
class Resource:
    """An object of one kind, such as a step or a Dataset. It cannot be changed; `replace` returns a changed copy."""

    _: KW_ONLY
    namespace: str | None = None
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None

    kind: ClassVar[str]
    renamed: ClassVar[Mapping[str, str]] = {}  # fields of the spec whose arguments have other names

    def __post_init__(self) -> None:
        object.__setattr__(self, "_folder", os.getcwd())
        self.check()

    @property
    def reference(self) -> str:
        """The name by which other objects refer to this one. Raises InvalidArgument for data without a name."""
        if self.__dict__["name"] is None:
            raise InvalidArgument(self.subject, ["name is missing: pass name=..., so that others can refer to it"])
        return str(self.__dict__["name"])

    def to_dict(self) -> dict[str, Any]:
        """Return the document of this object, as YAML would have it."""
        metadata = {key: self.__dict__[key] for key in ("name", "namespace", "labels", "annotations")}
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": {key: value for key, value in metadata.items() if value is not None},
            "spec": self.to_spec(),
        }

    def to_spec(self) -> dict[str, Any]:
        """Return the document's `spec`."""
        return self.fields_of(self.spec_model())

    def to_yaml(self) -> str:
        """Return the document, and those of all objects that it refers to, as YAML that `longshore run` accepts."""
        return to_yaml(self.documents())

    def documents(self) -> list[Resource]:
        """Return this object and all objects that it refers to, each once."""
        found: dict[tuple[str, str], Resource] = {(self.kind, self.reference): self}  # raises for data without a name
        for each in contained(self, Resource):
            if each.__dict__["name"] is not None:  # others are described in place
                found.setdefault((each.kind, each.reference), each)
        return list(found.values())

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other values of the named arguments. Raises InvalidArgument and TypeError."""
        names = [each.name for each in fields(self)]
        copy = type(self)(**{name: getattr(self, name) for name in names} | changes)
        object.__setattr__(copy, "_folder", self.folder)
        return copy

    @property
    def folder(self) -> str:
        """Absolute path of the folder that relative paths start from: the current one when the object was made."""
        return str(self.__dict__["_folder"])

    @classmethod
    def spec_model(cls) -> type[BaseModel]:
        """Return the API's model of the spec."""
        found = model_in(KINDS[cls.kind].model_fields["spec"].annotation)
        assert found is not None, "every kind has a spec"
        return found

    @classmethod
    def argument(cls, field: str) -> str:
        """Return the name of the argument for a field of the spec."""
        return cls.renamed.get(field, field)

    def fields_of(self, model: type[BaseModel], values: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the given arguments as fields of `model`; `values` replace arguments of the same name."""
        found = {}
        for name, field in model.model_fields.items():
            argument = self.argument(name)
            value = (values or {}).get(argument, getattr(self, argument, None))
            if value is not None:
                found[field.alias or name] = plain(value, field.annotation)
        return found

    def check(self) -> None:
        """Raise InvalidArgument for arguments that break a rule of the kind."""
        self.check_document(self.to_dict())

    def check_document(self, document: dict[str, Any]) -> None:
        """Raise InvalidArgument for the problems of a document; values that refer to parameters are left out."""
        try:
            parse(document)
        except InvalidDocuments as error:
            unknown = tuple(_paths_of_references(document, ""))
            problems = [each for each in error.problems if not each.path.startswith(unknown)]
            if problems:
                raise self.invalid(problems, document) from None

    def invalid(self, problems: Iterable[Problem], document: Mapping[str, Any]) -> InvalidArgument:
        """Return the error for problems of the document, with arguments in place of fields."""
        words = {field for field in _aliases(KINDS[self.kind]) if field != to_snake(field)}
        sentences = []
        for each in problems:
            path = self.argument_path(each.path, document)
            text = _WORD.sub(lambda found: to_snake(found[0]) if found[0] in words else found[0], each.text)
            text = text.replace("spec.", "")
            sentences.append(f"{path} {text}".strip())
        return InvalidArgument(self.subject, sentences)

    @property
    def subject(self) -> str:
        """Kind and name, which begin messages."""
        name = self.__dict__.get("name")
        return type(self).__name__ if name is None else f'{type(self).__name__} "{name}"'

    def argument_path(self, path: str, document: Mapping[str, Any]) -> str:
        """Return the path of a field in the document as that of an argument: `inputs["images"].mode`."""
        parts: list[str] = []
        at: Any = document
        for part in re.findall(r"[^.\[\]]+", path):
            at = at[int(part)] if isinstance(at, list) else at.get(part) if isinstance(at, Mapping) else None
            if part.isdigit() and isinstance(at, Mapping) and "name" in at:
                parts[-1] += f'["{at["name"]}"]'
            elif part.isdigit():
                parts[-1] += f"[{part}]"
            else:
                parts.append(to_snake(part))
        if parts[:1] == ["spec"] and parts[1:]:
            return ".".join([self.argument(parts[1]), *parts[2:]])
        return ".".join(parts).removeprefix("metadata.")


def plain(value: Any, annotation: Any = None) -> Any:
    """Return an argument as the value of a document; `annotation` is the type of the API's field."""
    model = model_in(annotation)
    text = _text_of(value, model)
    if text is not None:
        return {"name": text} if model in (NameRef, RegisterOnComplete) else text
    if isinstance(value, Outputs):
        return plain(value.declared, annotation)
    if isinstance(value, Mapping):
        return {_alias(key, model): plain(each, _annotation(key, model)) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [plain(each, annotation) for each in value]
    if is_dataclass(value):
        given = {each.name: getattr(value, each.name) for each in fields(value)}
        return plain({name: each for name, each in given.items() if each is not None}, annotation)
    return value


def _text_of(value: Any, model: type[BaseModel] | None) -> str | None:
    """Return the text that stands for a value, such as a reference; None for a value that is no text."""
    if isinstance(value, Resource):
        return value.reference
    is_text = isinstance(value, str | PurePath | Parameter | StepOutput) or (isinstance(value, Output) and not model)
    return str(value) if is_text else None


def _alias(key: Any, model: type[BaseModel] | None) -> Any:
    field = None if model is None else model.model_fields.get(key)
    return key if field is None else field.alias or key


def _annotation(key: Any, model: type[BaseModel] | None) -> Any:
    if model is None:
        return None
    by_alias = {field.alias: field.annotation for field in model.model_fields.values()}
    return by_alias.get(_alias(key, model))


def contained(value: Any, kind: type[T]) -> Iterator[T]:
    """Yield the objects of a type in the arguments of an object, at any depth."""
    if is_dataclass(value) and not isinstance(value, type):
        inside: Iterable[Any] = (getattr(value, each.name) for each in fields(value))
    elif isinstance(value, Outputs):
        inside = value.declared
    elif isinstance(value, Mapping):
        inside = value.values()
    elif isinstance(value, list | tuple):
        inside = value
    else:
        return
    for each in inside:
        if isinstance(each, kind):
            yield each
        yield from contained(each, kind)


def to_yaml(resources: Iterable[Resource]) -> str:
    """Return the documents of several objects as one YAML text."""
    return yaml_of(each.to_dict() for each in resources)


def yaml_of(documents: Iterable[dict[str, Any]]) -> str:
    """Return documents as one YAML text."""
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=120)


def _paths_of_references(value: Any, path: str) -> Iterator[str]:
    """Yield the paths of values that refer to a parameter, whose values no rule can be checked for."""
    match value:
        case str() if _PARAMETER in value:
            yield path
        case dict():
            for key, each in value.items():
                yield from _paths_of_references(each, f"{path}.{key}".lstrip("."))
        case list():
            for index, each in enumerate(value):
                yield from _paths_of_references(each, f"{path}[{index}]")
        case _:
            return


def _aliases(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name
        inner = None if name == "status" else model_in(field.annotation)
        if inner is not None:
            yield from _aliases(inner)
