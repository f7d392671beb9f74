"""The folder in which a script records what it registers; `longshore_protocol.registrations` describes it."""

from __future__ import annotations

import os
from typing import List

from longshore_protocol.registrations import (
    CALLS,
    DATASET,
    FILES,
    MODEL,
    OUTPUT,
    RUN,
    Registration,
    fault,
    read_registration,
    require_room,
)
from longshore_run import metrics

__all__ = ["DATASET", "MODEL", "OUTPUT", "VARIABLE", "Registration", "calls", "keep", "record"]

VARIABLE = "LONGSHORE_REGISTRATIONS"  # names the folder in the script's environment


def calls(folder: str) -> List[Registration]:
    """Return the recorded registrations, in order. Raises OSError, ValueError."""
    try:
        with open(os.path.join(folder, CALLS), encoding="utf-8") as file:
            return [read_registration(line) for line in file]
    except FileNotFoundError:
        return []


def keep(folder: str, path: str) -> str:
    """Copy a Model's file or folder; return its path for `Registration.paths`. Raises OSError."""
    key, name = os.urandom(6).hex(), os.path.basename(os.path.abspath(path))
    target = os.path.join(folder, key, name)
    os.makedirs(os.path.dirname(target))
    if os.path.isdir(path):
        _copy_folder(path, target)
    else:
        _copy_file(path, target)
    return "{}{}/{}/{}".format(RUN, FILES, key, name)


def _copy_folder(folder: str, target: str) -> None:
    """Copy the files below a folder without their modes: the agent may be another user."""
    for where, _, names in os.walk(folder, followlinks=True):
        copies = os.path.join(target, os.path.relpath(where, folder))
        os.makedirs(copies, exist_ok=True)
        for name in names:
            _copy_file(os.path.join(where, name), os.path.join(copies, name))


def _copy_file(source: str, target: str) -> None:
    import shutil

    shutil.copyfile(source, target)


def record(folder: str, registration: Registration) -> None:
    """Record a registration; its files must be complete. Raises OSError, and ValueError for one that is invalid."""
    why = fault(registration)
    if why is not None:
        raise ValueError(why)
    require_room([*calls(folder), registration])
    os.makedirs(folder, exist_ok=True)
    metrics.append(os.path.join(folder, CALLS), registration.to_json().encode() + b"\n")
