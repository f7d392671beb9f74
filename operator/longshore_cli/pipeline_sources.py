"""The code of a pipeline's steps, frozen when the run begins: a copy in the run folder, and its digests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from longshore_agent.fetch_source import SourceError
from longshore_agent.source_copies import LARGE, copy_source, largest_of
from longshore_api.errors import InvalidDocuments, Problem
from longshore_cli.scratch import scratch_folder
from longshore_planner.pipelines.frozen import Code, FrozenStep
from longshore_storage.contents import contents_of
from longshore_storage.listing import folder_of


def copy_code(steps: Iterable[FrozenStep], folder: str, *, among: Iterable[FrozenStep]) -> dict[str, FrozenStep]:
    """Copy the sources of steps below a folder, each once, and return the steps with them, by name.

    Folders that steps of the pipeline, which are those `among` them, read as inputs are no code, but for the modules
    in them. A source that is large is reported on stderr. Raises InvalidDocuments for a source that cannot be read, or
    is too large to be code alone; OSError when the folder cannot be written to.
    """
    frozen: dict[str, Code] = {}
    steps, data = list(steps), _data_folders(among)
    for source in dict.fromkeys(each.source for each in steps if each.source is not None):
        target = _free_name(folder)
        with _told(source):
            frozen[source] = _copied(source, target, data)
    return {each.name: each if each.source is None else each.with_code(frozen[each.source]) for each in steps}


def look_at_code(steps: Iterable[FrozenStep], *, among: Iterable[FrozenStep]) -> dict[str, FrozenStep]:
    """Return the steps as `copy_code` does, and leave no copy. Raises InvalidDocuments."""
    with scratch_folder("source") as folder:
        return copy_code(steps, str(folder / "sources"), among=among)


def look_at_contents(steps: Iterable[FrozenStep], *, by: str) -> dict[str, FrozenStep]:
    """Return the steps that may be reused with what the files of their inputs and models hold now, by name.

    Places that several steps read are listed once. `by` is STAMPS or DIGESTS.
    """
    seen: dict[tuple[str, ...], dict[str, Any]] = {}
    found = {}
    for step in steps:
        if step.allow_reuse and step.locations:
            for locations in map(tuple, step.locations.values()):
                seen[locations] = seen.get(locations) or asdict(contents_of(locations, by=by))
            contents = {name: seen[tuple(locations)] for name, locations in step.locations.items()}
            found[step.name] = step.with_contents(contents, by=by)
    return found


def _data_folders(steps: Iterable[FrozenStep]) -> set[str]:
    """Return the folders of this machine that inputs and models of steps are in, as far as they are named."""
    locations = {path for step in steps for paths in step.locations.values() for path in paths}
    return {folder for each in locations if (folder := folder_of(each)) is not None}


def _copied(source: str, target: str, data: set[str]) -> Code:
    copied = copy_source(source, target, data=data)
    size = copied.sizes.total()
    if size > LARGE:
        text = f"the source {source} holds {size >> 20} MB, which each run copies ({largest_of(copied.sizes)})"
        print(f"longshore: {text}: name what is no code in a file .amlignore there", file=sys.stderr)
    return Code(target, copied.files, copied.git)


def _free_name(folder: str) -> str:
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, str(len(os.listdir(folder))))


@contextmanager
def _told(source: str) -> Iterator[None]:
    try:
        yield
    except (SourceError, ValueError) as error:
        raise InvalidDocuments([Problem(f"source {source}", "", str(error))]) from None
    except OSError as error:
        text = f"cannot be read: {error.strerror or error}"
        raise InvalidDocuments([Problem(f"source {source}", "", text)]) from None
