"""The code of a pipeline's steps, frozen when the run begins: a copy in the run folder, and its digests."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from longshore_agent.fetch_source import SourceError
from longshore_agent.source_copies import copy_source
from longshore_api.errors import InvalidDocuments, Problem
from longshore_cli.scratch import scratch_folder
from longshore_planner.pipelines.frozen import Code, FrozenStep
from longshore_storage.contents import contents_of


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
    with scratch_folder("source") as folder:
        return copy_code(steps, str(folder / "sources"))


def look_at_contents(steps: Iterable[FrozenStep], *, by: str) -> dict[str, FrozenStep]:
    """Return the steps that may be reused with what the files of their inputs and models hold now, by name.

    Places that several steps read are listed once. `by` is STAMPS or DIGESTS.
    """
    seen: dict[tuple[str, ...], dict[str, Any]] = {}
    found = {}
    for step in steps:
        if step.allow_reuse and step.places:
            for places in map(tuple, step.places.values()):
                seen[places] = seen.get(places) or asdict(contents_of(places, by=by))
            contents = {name: seen[tuple(places)] for name, places in step.places.items()}
            found[step.name] = step.with_contents(contents, by=by)
    return found


def _copied(source: str, target: str) -> Code:
    copied = copy_source(source, target)
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
