"""Mappings that track which fields were read, and builders of specs that validate each value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from longshore_api.errors import shown
from longshore_planner.azureml.notes import Notes, Remarked

# Fields for readers, or for Azure ML's catalogue of jobs and components.
DESCRIPTIVE = {
    "$schema": "",
    "type": "",
    "name": "",
    "version": "",
    "display_name": "",
    "experiment_name": "Longshore has no experiments",
    "tags": "set them as metadata.labels or metadata.annotations",
    "properties": "set them as metadata.annotations",
    "is_anonymous": "",
}


_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def truth(value: Any) -> bool | None:
    """Parse a boolean, or a word for one such as yes or off; return None for anything else."""
    return _TRUTHS.get(str(value).strip().lower())


class Section:
    """Fields of the mapping at `path` that notes its unread fields, in `rest` or at the end of the translation."""

    def __init__(self, content: Any, path: str, notes: Notes) -> None:
        self.path, self.notes = path, notes
        notes.at_end.append(lambda: self.rest({}))
        if content is not None and not isinstance(content, Mapping):
            notes.lost(path, f"it is {shown(content)}, but must be a mapping of fields")
        self._content: dict[str, Any] = (
            {str(key): value for key, value in content.items()} if isinstance(content, Mapping) else {}
        )
        self._read: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return self._content.get(name) is not None

    def field_path(self, name: str) -> str:
        """Return the path of a field: "jobs.train.resources"."""
        return f"{self.path}.{name}" if self.path else name

    def take(self, name: str) -> Any:
        """Return a field's value, or None; the field counts as read."""
        self._read.add(name)
        return self._content.get(name)

    def text(self, name: str) -> str:
        """Return a field's text, or ""; note a value that is no text."""
        value = self.take(name)
        if isinstance(value, str | int | float):
            return str(value).strip()
        if value is not None:
            self.notes.lost(self.field_path(name), f"it is {shown(value)}, but must be a string")
        return ""

    def flag(self, name: str) -> bool | None:
        """Return a field's boolean, or None; note a value that is no boolean."""
        value = self.take(name)
        flag = truth(value)
        if flag is None and value is not None:
            self.notes.lost(self.field_path(name), f"it is {shown(value)}, but must be true or false")
        return flag

    def section(self, name: str) -> Section:
        """Return the mapping in a field as a section; an empty one if the field is absent."""
        return Section(self.take(name), self.field_path(name), self.notes)

    def items(self) -> list[tuple[str, Any]]:
        """Return all fields with their values; all count as read."""
        self._read |= self._content.keys()
        return list(self._content.items())

    def rest(self, known: Mapping[str, str]) -> None:
        """Note each unread field, with its reason and remedy in `known`; fields with an empty reason are not noted."""
        for name, value in self._content.items():
            if name in self._read or value in (None, {}, []):
                continue
            why = known.get(name, DESCRIPTIVE.get(name, "Longshore has no such field"))
            if why:
                self.notes.lost(self.field_path(name), why)
        self._read |= self._content.keys()


class SpecBuilder:
    """Builder of a spec; notes and leaves out each value that the model would refuse."""

    def __init__(self, model: type[BaseModel], notes: Notes) -> None:
        self._model, self._notes = model, notes
        self._values: dict[str, Any] = {}

    def put(self, name: str, value: Any, *, origin: str = "", remark: str = "") -> None:
        """Set a field, unless the value is None; `origin` is the path of Azure ML's field, `remark` a comment."""
        if value is None:
            return
        rule = "" if not origin or _refers(value) else self._refusal(name, value)
        if rule:
            self._notes.lost(origin, f"it is {shown(value)}, but {name} {rule}")
            return
        self._values[name] = Remarked(value, remark) if remark else value

    def spec(self) -> dict[str, Any]:
        """Return the fields that were set, in the model's order."""
        order = [field.alias or name for name, field in self._model.model_fields.items()]
        return {name: self._values[name] for name in order if name in self._values}

    def _refusal(self, name: str, value: Any) -> str:
        field = next(each for key, each in self._model.model_fields.items() if name in (each.alias, key))
        of_field: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        try:
            TypeAdapter(of_field).validate_python(value)
        except ValidationError as error:
            return error.errors(include_url=False)[0]["msg"]
        return ""


def _refers(value: Any) -> bool:
    return isinstance(value, str) and "$(" in value
