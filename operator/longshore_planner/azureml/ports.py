"""Inputs and outputs of a step, as declared by its job, component and pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longshore_api.errors import shown
from longshore_planner.azureml.resources import Resources
from longshore_planner.azureml.section import Section, truth

DATA_TYPES = ("uri_folder", "uri_file", "mltable", "mlflow_model", "custom_model", "triton_model", "path", "data")
FILE_TYPES = ("uri_file",)
_MODES = {"ro_mount": "mount", "rw_mount": "mount", "mount": "mount", "download": "download"}
_CHECKED_IN_SCRIPT = "only the types of parameters are checked; check the value in the script"
INPUT_LOST = {
    **dict.fromkeys(("min", "max", "enum"), _CHECKED_IN_SCRIPT),
    **dict.fromkeys(("description", "version", "intellectual_property"), ""),
}
_MODEL_TYPES = ("mlflow_model", "custom_model", "triton_model")


@dataclass(frozen=True)
class Value:
    """A literal, or a reference to a parameter, for an argument."""

    value: Any


@dataclass(frozen=True)
class Data:
    """Data of an input: a Dataset, or the output of another step."""

    source: dict[str, str]  # {"dataset": NAME} or {"from": $(steps.STEP.outputs.NAME)}
    mode: str = ""  # Azure ML's name of the mode
    tabular: bool = False
    below: str = ""  # path of a file or folder within it; "" for all of it


@dataclass(frozen=True)
class Absent:
    """An optional input without a value."""


Binding = Value | Data | Absent


@dataclass(frozen=True)
class Output:
    """An output of Azure ML's job: an output folder of the step, or a path below one."""

    port: str
    below: str = ""  # path of a file or folder within it; "" for all of it
    mode: str = ""
    datastore: str | None = None  # name of the Datastore
    type: str = ""
    registered: str = ""  # the name that it is registered under

    def registration(self) -> dict[str, str] | None:
        """Return `registerOnComplete` of the output; None if it is not registered."""
        if not self.registered:
            return None
        kind = {"kind": "Model"} if self.type in _MODEL_TYPES else {}
        return {**kind, "name": self.registered}


def our_mode(mode: str) -> str | None:
    """Return the mode of an input that corresponds to Azure ML's `mode`, or None."""
    return _MODES.get(mode)


def joined(folder: str, below: str) -> str:
    """Join the reference to a folder and a path below it."""
    return f"{folder}/{below}" if below else folder


def bound(name: str, given: Any, resources: Resources, *, type_: str, folder: str, origin: str) -> Binding:
    """Translate an input that is given in place; `type_` is its declared type, if any."""
    if isinstance(given, list) or given is None:
        resources.notes.lost(origin, f"it is {shown(given)}, but must be a path, a value or a mapping")
        return Absent()
    if not isinstance(given, Mapping):
        if type_ in DATA_TYPES or (isinstance(given, str) and given.startswith("azureml:")):
            return _data(
                name, str(given), resources, type_=type_ or "uri_folder", mode="", folder=folder, origin=origin
            )
        return Value(given)
    section = Section(given, origin, resources.notes)
    own_type, mode, path = section.text("type") or type_, section.text("mode"), section.text("path")
    value = next((each for each in map(section.take, ("value", "default")) if each is not None), None)
    optional = section.take("optional")
    section.rest(INPUT_LOST)
    if path or own_type in DATA_TYPES:
        path = path or (value if isinstance(value, str) else "")
        if path:
            return _data(name, path, resources, type_=own_type or "uri_folder", mode=mode, folder=folder, origin=origin)
    if value is not None:
        return Value(value)
    if truth(optional) is not True:
        resources.notes.add(origin, "has neither path nor value; it is left empty")
    return Absent()


def output_fields(given: Any, resources: Resources, *, origin: str) -> dict[str, str]:
    """Return type, mode, path, registered name and Datastore of an output that is described in place."""
    section = Section(given, origin, resources.notes)
    fields = {name: section.text(name) for name in ("type", "mode", "path", "name")}
    section.rest(INPUT_LOST)
    if fields["path"] and "datastores/" in fields["path"]:
        location = resources.location(fields["path"], folder="", origin=origin)
        fields["datastore"] = resources.datastore(location.datastore) if location.datastore else ""
    if fields["path"]:
        resources.notes.lost(
            f"{origin}.path", "each run writes to its own folder in the Datastore, longshore/RUN/OUTPUT"
        )
    if fields["mode"] == "direct":
        resources.notes.add(f"{origin}.mode", "direct became mount")
    return fields


def _data(name: str, path: str, resources: Resources, *, type_: str, mode: str, folder: str, origin: str) -> Data:
    dataset, tabular = resources.dataset(name, path, type_=type_, folder=folder, origin=origin)
    return Data({"dataset": dataset}, mode, tabular)
