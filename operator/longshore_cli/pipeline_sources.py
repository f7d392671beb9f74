"""The code of a pipeline's steps, frozen when the run begins: a copy in the run folder, and its digests."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from longshore_agent.git_state import git_state
from longshore_api.errors import InvalidDocuments, Problem
from longshore_planner.pipelines.frozen import Code, FrozenStep
from longshore_storage.errors import StorageError
from longshore_storage.files import file_stamp
from longshore_storage.listing import list_files
from longshore_storage.source_files import source_files
from longshore_storage.store import local_path

LARGEST = 300 * 1024**2  # bytes of one source: what is larger has data in it

_PART = 1 << 20  # bytes
_DIGITS = 32


def copy_code(steps: Iterable[FrozenStep], folder: str) -> dict[str, FrozenStep]:
    """Copy the sources of steps below a folder, each once, and return the steps with them, by name.

    Raises InvalidDocuments for a source that cannot be read, or is too large to be code alone.
    """
    frozen: dict[str, Code] = {}
    steps = list(steps)
    for source in dict.fromkeys(each.source for each in steps if each.source is not None):
        with _told(source):
            frozen[source] = _copied(source, _free_name(folder))
    return {each.name: each if each.source is None else each.with_code(frozen[each.source]) for each in steps}


def look_at_code(steps: Iterable[FrozenStep]) -> dict[str, FrozenStep]:
    """Return the steps as `copy_code` does, and leave no copy. Raises InvalidDocuments."""
    with TemporaryDirectory(prefix="longshore-source-") as folder:
        return copy_code(steps, folder)


def look_at_contents(steps: Iterable[FrozenStep]) -> dict[str, FrozenStep]:
    """Return the steps with what their inputs hold now, by name; outputs of other steps are told by who made them."""
    return {each.name: each.with_contents(_contents(each)) for each in steps}


def _copied(source: str, target: str) -> Code:
    local = local_path(source)
    if local is None or local.lower().endswith(".zip"):
        from longshore_agent.fetch_source import SourceError, fetch_source  # late: most sources are at hand

        try:
            fetch_source(source, target)
        except SourceError as error:
            raise ValueError(str(error)) from error
        return Code(target, {name: _digest(os.path.join(target, name)) for name in source_files(target)})
    os.makedirs(target)
    files, size = {}, 0
    for name in list(source_files(local)):  # all, before any is copied: the target may be inside of the source
        path = os.path.join(target, name)
        size += os.path.getsize(os.path.join(local, name))
        if size > LARGEST:
            raise ValueError(f"holds more than {LARGEST >> 20} MB: name what is no code in a file .amlignore there")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copy(os.path.join(local, name), path)
        files[name] = _digest(path)  # of the copy: it is what runs
    return Code(target, files, git_state(local))


def _digest(path: str) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_PART):
            found.update(part)
    return found.hexdigest()[:_DIGITS]


def _free_name(folder: str) -> str:
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, str(len(os.listdir(folder))))


def _contents(step: FrozenStep) -> dict[str, str]:
    inputs = step.parts.get("inputs", {})
    paths = {name: [each] if isinstance(each, str) else each["paths"] for name, each in inputs.items()}
    return {name: _content(places) for name, places in paths.items()}


def _content(places: list[str]) -> str:
    found = hashlib.sha256()
    for place in places:
        try:
            for path in list_files(place):
                found.update(f"{path}\0{file_stamp(path)}\n".encode("utf-8", "surrogateescape"))
        except (OSError, StorageError, ValueError, ImportError):
            found.update(
                f"{place}\0\n".encode("utf-8", "surrogateescape")
            )  # the step itself says what is wrong with it
    return found.hexdigest()[:_DIGITS]


@contextmanager
def _told(source: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise InvalidDocuments([Problem(f"source {source}", "", str(error))]) from None
    except OSError as error:
        text = f"cannot be read: {error.strerror or error}"
        raise InvalidDocuments([Problem(f"source {source}", "", text)]) from None
