"""What a step's inputs and outputs are, once it is known what the job, its component and the pipeline say of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DATA_TYPES = ("uri_folder", "uri_file", "mltable", "mlflow_model", "custom_model", "triton_model", "path", "data")
FILE_TYPES = ("uri_file",)
_MODES = {"ro_mount": "mount", "rw_mount": "mount", "mount": "mount", "download": "download"}


@dataclass(frozen=True)
class Value:
    """A literal, or a reference to a parameter: what the argument becomes."""

    value: Any


@dataclass(frozen=True)
class Data:
    """Data: a Dataset of ours, or the output of another step."""

    source: dict[str, str]  # {"dataset": NAME} or {"from": $(steps.STEP.outputs.NAME)}
    mode: str = ""  # as Azure ML has it
    tabular: bool = False
    below: str = ""  # file or folder inside of it that is meant: "" is all of it


@dataclass(frozen=True)
class Absent:
    """An optional input that is not given."""


Binding = Value | Data | Absent


@dataclass(frozen=True)
class Output:
    """An output of theirs: a folder of ours, or something below one."""

    port: str
    below: str = ""  # file or folder inside of it that is meant: "" is all of it
    mode: str = ""
    datastore: str | None = None  # ours


def our_mode(mode: str) -> str | None:
    """Return how data reaches the script, in our words; None for what has no counterpart."""
    return _MODES.get(mode)


def joined(folder: str, below: str) -> str:
    """Return a path below a folder that a reference stands for."""
    return f"{folder}/{below}" if below else folder
