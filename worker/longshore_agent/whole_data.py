"""Inputs that are on a worker whole before any init(): side inputs, and inputs of mini-batches with mode download.

What lies elsewhere is copied below a folder, once: an agent that is started again goes on with what is there. Each copy
appears whole. Blocking.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from longshore_agent.places import StagingError
from longshore_agent.script_inputs import bring_input, names_below
from longshore_agent.trees import fetch_file_to, inside
from longshore_protocol.job import DOWNLOAD, Input, Job, ScriptInput
from longshore_storage.listing import list_files
from longshore_storage.store import UNFINISHED, local_path

_AT_ONCE = 8  # files that come side by side


class WholeData:
    """Where a worker has what was brought whole."""

    def __init__(
        self,
        side_inputs: dict[str, str] | None = None,
        downloads: dict[str, str] | None = None,
        copies: dict[str, str] | None = None,
    ) -> None:
        self.side_inputs = side_inputs or {}  # paths by name
        self.downloads = downloads or {}  # folders by name, of inputs that were downloaded
        self.copies = copies or {}  # of the files in them: paths by URL


def bring_whole(job: Job, folder: str, *, say: Callable[[str], None] = lambda what: None) -> WholeData:
    """Bring a job's side inputs, and those of its inputs that are downloaded; `say` is told of each.

    Raises StagingError.
    """

    def told(what: str, bring: Callable[[Any, str], Any], given: Any, folder: str) -> Any:
        say(what)
        return _told(what, bring, given, folder)

    side = {each.name: told(f"the side input {each.name}", _bring_side, each, folder) for each in job.side_inputs}
    downloads: dict[str, str] = {}
    copies: dict[str, str] = {}
    for given in job.inputs:
        if given.mode == DOWNLOAD and any(local_path(path) is None for path in given.paths):
            downloads[given.name] = os.path.join(folder, given.name)
            copies.update(told(f"the input {given.name}", _download, given, downloads[given.name]))
    return WholeData(side, downloads, copies)


def _bring_side(given: ScriptInput, folder: str) -> str:
    """Return the path of a side input: in place, or `file/NAME` or `folder` in a folder of its own."""
    own = os.path.join(folder, given.name)
    as_folder, as_file, unfinished = f"{own}/folder", f"{own}/file", f"{own}/unfinished"
    if os.path.isdir(as_file):
        [name] = os.listdir(as_file)
        return f"{as_file}/{name}"
    if os.path.isdir(as_folder):
        return as_folder
    shutil.rmtree(unfinished, ignore_errors=True)
    path = bring_input(given, unfinished)
    _protect(unfinished)
    if path == unfinished:
        os.rename(unfinished, as_folder)
        return as_folder
    if os.path.dirname(path) != unfinished:
        return path  # it is read where it is
    os.rename(unfinished, as_file)
    return f"{as_file}/{os.path.basename(path)}"


def _protect(folder: str) -> None:
    """Keep processes, which share a copy, from writing to it by mistake; where they are another user, at all."""
    for parent, _, names in os.walk(folder):
        os.chmod(parent, 0o755)  # noqa: S103  (the host may run as another user)
        for name in names:
            path = os.path.join(parent, name)
            if not os.path.islink(path):  # what it leads to is not ours
                os.chmod(path, 0o444)


def _download(given: Input, folder: str) -> dict[str, str]:
    """Return the copies of all files of an input that lie elsewhere, by URL."""
    found = [(path, list(list_files(path))) for path in given.paths]
    names = names_below(found)
    targets = {file: inside(folder, name) for name, file in names.items() if local_path(file) is None}
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        sizes = list(threads.map(_fetch, targets, targets.values()))
    text = f"input {given.name}: {len(sizes)} files of {sum(sizes)} bytes are on this worker"
    print(text, file=sys.stderr)  # noqa: T201  (the agent's log)
    return targets


def _fetch(url: str, target: str) -> int:
    if not os.path.exists(target):
        parent, name = os.path.split(target)
        unfinished = f"{parent}/{UNFINISHED}{name}"
        fetch_file_to(url, unfinished)
        os.replace(unfinished, target)
    return os.path.getsize(target)


def _told(what: str, bring: Callable[[Any, str], Any], given: Any, folder: str) -> Any:
    try:
        return bring(given, folder)
    except Exception as error:  # each store's library raises its own
        cause = " ".join(str(error).split()).rstrip(".")
        raise StagingError(f"{what} cannot be brought: {type(error).__name__}: {cause}") from error
