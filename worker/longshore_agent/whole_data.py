"""What is on a machine whole before a script starts: models, side inputs, and inputs whose mode is download.

What lies elsewhere is copied below a folder, once: an agent that is started again goes on with what is there. Each copy
appears whole. Blocking.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from longshore_agent.origins import origin_of
from longshore_agent.places import StagingError
from longshore_agent.script_inputs import bring_input, names_below
from longshore_agent.trees import fetch_file_to, inside
from longshore_protocol.job import DOWNLOAD, Input, Job, Model, ScriptInput
from longshore_storage.causes import cause_of
from longshore_storage.listing import Selection, list_files
from longshore_storage.store import UNFINISHED, local_path

_AT_ONCE = 8  # files that come side by side

Say = Callable[[str], None]  # "the side input words" is what is brought from now on


@dataclass(frozen=True)
class WholeData:
    """Where a worker has what was brought whole."""

    side_inputs: dict[str, str] = field(default_factory=dict)  # paths by name
    downloads: dict[str, str] = field(default_factory=dict)  # folders by name, of inputs that were downloaded
    copies: dict[str, str] = field(default_factory=dict)  # of the files in them: paths by URL


def bring_models(models: tuple[Model, ...], folder: str, *, say: Say = lambda what: None) -> None:
    """Bring the models that lie elsewhere, where `places.model_path` finds them; `say` is told of each.

    Raises StagingError.
    """
    for model in models:
        if local_path(model.uri) is None:
            say(f"the model {model.name}")
            with _told(f"the model {model.name} {model.uri}", model.uri):
                _bring(ScriptInput(model.name, (model.uri,)), f"{folder}/{model.name}/{model.version}")


def bring_whole(job: Job, folder: str, *, say: Say = lambda what: None) -> WholeData:
    """Bring a job's side inputs, and those of its inputs that are downloaded; `say` is told of each.

    Raises StagingError.
    """
    data = WholeData()
    for side in job.side_inputs:
        what = f"the side input {side.name}"
        say(what)
        with _told(what, side.uris[0]):
            data.side_inputs[side.name] = _bring(side, os.path.join(folder, side.name), read_only=True)
    for given in job.inputs:
        if given.mode == DOWNLOAD and any(local_path(path) is None for path in given.paths):
            what, own = f"the input {given.name}", os.path.join(folder, given.name)
            say(what)
            with _told(what, given.paths[0]):
                without = (job.run_uri, job.output.uri)
                data.copies.update(_download(given, own, Selection(runs=False, without=without)))
            data.downloads[given.name] = own
    return data


def _bring(given: ScriptInput, own: str, *, read_only: bool = False) -> str:
    """Return the path of data: in place, or `file/NAME` or `folder` in a folder of its own."""
    as_folder, as_file, unfinished = f"{own}/folder", f"{own}/file", f"{own}/unfinished"
    if os.path.isdir(as_file):
        [name] = os.listdir(as_file)
        return f"{as_file}/{name}"
    if os.path.isdir(as_folder):
        return as_folder
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        path = bring_input(given, unfinished)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if read_only:
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


def _download(given: Input, folder: str, selection: Selection) -> dict[str, str]:
    """Return the copies of all files of an input that lie elsewhere, by URL."""
    found = [(path, list(list_files(path, selection))) for path in given.paths]
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


@contextmanager
def _told(what: str, uri: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each store's library raises its own
        raise StagingError(f"{what} cannot be brought: {cause_of(uri, error)}", origin_of(error)) from error
