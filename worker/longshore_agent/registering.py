"""Collect what a script registers: validate its records and upload the files of its Models. Blocking."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection

from longshore_agent.shipping import ship_folder
from longshore_protocol.registrations import CALLS, FILES, MODEL, OUTPUT, RUN, Registration, read_registration
from longshore_storage import beneath
from longshore_storage.store import Store

_LARGEST = 4 << 20  # bytes of the records
_KEPT = re.compile(rf"{RUN}{FILES}/([0-9a-f]+)/[^/]+")


def collect_registrations(folder: str, run: Store, *, outputs: Collection[str]) -> list[Registration]:
    """Upload the files of Models below the run folder; return the script's registrations in the order of its calls.

    Args:
        folder: The folder that the script's calls are recorded in, which the script can write to.
        run: Store of the run folder.
        outputs: Names of the step's outputs.

    Raises:
        ValueError: A record is invalid, or its files are missing; the message is a sentence.
        OSError: A file cannot be read or uploaded.
    """
    found = _calls(folder)
    for each in found:
        for path in each.paths:
            kept, output = _KEPT.fullmatch(path), path.removeprefix(OUTPUT).partition("/")[0]
            is_known = kept is not None if each.kind == MODEL else not path.startswith(RUN)
            if not is_known or (path.startswith(OUTPUT) and output not in outputs):
                raise ValueError(f'the path "{path}" of "{each.name}" is not one of this step')
            if kept is not None:
                _ship(folder, kept[1], run, name=each.name)
    return found


def _calls(folder: str) -> list[Registration]:
    try:
        with open(os.path.join(folder, CALLS), "rb", opener=beneath.open_file) as file:
            text = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return []
    if len(text) > _LARGEST:
        raise ValueError(f"the records of registrations are larger than {_LARGEST} bytes")
    return [read_registration(line) for line in text.decode().splitlines()]


def _ship(folder: str, key: str, run: Store, *, name: str) -> None:
    shipped: dict[str, tuple[int, int, int] | None] = {}
    ship_folder(os.path.join(folder, key), run, prefix=f"{FILES}/{key}/", shipped=shipped)
    if not shipped:
        raise ValueError(f'"{name}" has no files')


def content_digest(folder: str, registration: Registration) -> str:
    """Return a digest of the content of a registration's files. Raises OSError."""
    found = hashlib.sha256()
    for path in registration.paths:
        kept = _KEPT.fullmatch(path)
        top = "" if kept is None else os.path.join(folder, kept[1])
        for where, folders, names in os.walk(top):
            folders.sort()
            for each in sorted(names):
                file_path = os.path.join(where, each)
                found.update(f"{os.path.relpath(file_path, top)}\0".encode("utf-8", "surrogateescape"))
                with open(file_path, "rb", opener=beneath.open_file) as file:
                    found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()
