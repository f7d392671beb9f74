"""The code of a pipeline's steps, frozen when a run begins: copies in the run folder and their digests."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from longshore_agent.fetch_source import SourceError
from longshore_agent.source_copies import LARGE, copy_source, largest_of
from longshore_api.errors import InvalidDocuments, Problem
from longshore_cli.scratch import scratch_folder
from longshore_cli.terminal import print_error
from longshore_planner.pipelines.frozen import Code, FrozenStep
from longshore_storage.contents import contents_of
from longshore_storage.listing import folder_of


def copy_code(steps: Iterable[FrozenStep], folder: str, *, among: Iterable[FrozenStep]) -> dict[str, FrozenStep]:
    """Copy each source of `steps` once and return the steps with the copies, by name.

    Of folders that any step of the pipeline reads as input, only the modules are copied. Warns on stderr about a large
    source.

    Args:
        steps: the steps whose sources are copied.
        folder: parent folder of the copies.
        among: all steps of the pipeline.

    Raises:
        InvalidDocuments: a source cannot be read or is too large.
        OSError: `folder` cannot be written.
    """
    frozen: dict[str, Code] = {}
    steps, data = list(steps), _data_folders(among)
    for source in dict.fromkeys(each.source for each in steps if each.source is not None):
        target = _free_name(folder)
        with _as_invalid_documents(source):
            frozen[source] = _copy(source, target, data)
    return {each.name: each if each.source is None else each.with_code(frozen[each.source]) for each in steps}


def digest_code(steps: Iterable[FrozenStep], *, among: Iterable[FrozenStep]) -> dict[str, FrozenStep]:
    """Return the result of `copy_code` without keeping the copies. Raises InvalidDocuments."""
    with scratch_folder("source") as folder:
        return copy_code(steps, str(folder / "sources"), among=among)


def digest_contents(steps: Iterable[FrozenStep], *, by: str) -> dict[str, FrozenStep]:
    """Return the reusable steps, by name, with fingerprints of the current contents of their inputs and models.

    A location that several steps read is listed once. `by` is STAMPS or DIGESTS.
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
    """Return the local folders that contain inputs or models of the steps."""
    locations = {path for step in steps for paths in step.locations.values() for path in paths}
    return {folder for each in locations if (folder := folder_of(each)) is not None}


def _copy(source: str, target: str, data: set[str]) -> Code:
    copied = copy_source(source, target, data=data)
    size = copied.sizes.total()
    if size > LARGE:
        text = f"the source {source} has {size >> 20} MB, which each run copies ({largest_of(copied.sizes)})"
        print_error(f"{text}; list the files that are not code in a file .amlignore there")
    return Code(target, copied.files, copied.git)


def _free_name(folder: str) -> str:
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, str(len(os.listdir(folder))))


@contextmanager
def _as_invalid_documents(source: str) -> Iterator[None]:
    """Convert errors of reading a source to InvalidDocuments."""
    try:
        yield
    except (SourceError, ValueError) as error:
        raise InvalidDocuments([Problem(f"source {source}", "", str(error))]) from None
    except OSError as error:
        text = f"cannot be read: {error.strerror or error}"
        raise InvalidDocuments([Problem(f"source {source}", "", text)]) from None
