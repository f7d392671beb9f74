"""Download models, side inputs and inputs of mode download completely before a script starts. Blocking.

Each copy is moved to its final path only when it is complete, so a restarted agent continues with the finished ones.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from longshore_agent.file_names import require_distinct
from longshore_agent.origins import origin_of
from longshore_agent.paths import StagingError
from longshore_agent.script_inputs import names_below, stage_input
from longshore_agent.trees import fetch_file_to, inside
from longshore_protocol.job import DOWNLOAD, Input, Job, Model, ScriptInput
from longshore_storage.causes import cause_of
from longshore_storage.listing import Selection, list_files
from longshore_storage.store import UNFINISHED, local_path

_AT_ONCE = 8  # parallel downloads

Begin = Callable[[str], None]  # called with a description when a download begins


@dataclass(frozen=True)
class DownloadedData:
    """Local paths of the downloaded data of a worker."""

    side_inputs: dict[str, str] = field(default_factory=dict)  # name -> path
    downloads: dict[str, str] = field(default_factory=dict)  # name of an input of mode download -> folder
    copies: dict[str, str] = field(default_factory=dict)  # URL of each file in them -> path


def download_models(models: tuple[Model, ...], folder: str, *, begin: Begin = lambda what: None) -> None:
    """Download the models that are not local to the paths that `paths.model_path` returns.

    Args:
        models: The models of the run.
        folder: The folder of all downloaded models.
        begin: Called with a description of each download.

    Raises:
        StagingError: A model cannot be downloaded.
    """
    for model in models:
        if local_path(model.uri) is None:
            begin(f'model "{model.name}"')
            with _staging_errors(f'model "{model.name}" ({model.uri})', model.uri):
                _download_once(ScriptInput(model.name, (model.uri,)), f"{folder}/{model.name}/{model.version}")


def download_inputs(job: Job, folder: str, *, begin: Begin = lambda what: None) -> DownloadedData:
    """Download the side inputs of a job and its inputs of mode download; return their local paths.

    Args:
        job: The job of the run.
        folder: The folder of all downloaded inputs.
        begin: Called with a description of each download.

    Raises:
        StagingError: An input cannot be downloaded.
    """
    data = DownloadedData()
    for side in job.side_inputs:
        what = f'side input "{side.name}"'
        begin(what)
        with _staging_errors(what, side.uris[0]):
            require_distinct(folder, [*data.side_inputs, side.name])
            data.side_inputs[side.name] = _download_once(side, os.path.join(folder, side.name), read_only=True)
    for given in job.inputs:
        if given.mode == DOWNLOAD and any(local_path(path) is None for path in given.paths):
            what, own = f'input "{given.name}"', os.path.join(folder, given.name)
            begin(what)
            with _staging_errors(what, given.paths[0]):
                require_distinct(folder, [*data.side_inputs, *data.downloads, given.name])
                without = (job.run_uri, job.output.uri)
                data.copies.update(_download(given, own, Selection(runs=False, without=without)))
            data.downloads[given.name] = own
    return data


def _download_once(given: ScriptInput, own: str, *, read_only: bool = False) -> str:
    """Return the local path of an input: its own, or `file/NAME` or `folder` below `own`, downloaded if absent."""
    as_folder, as_file, unfinished = f"{own}/folder", f"{own}/file", f"{own}/unfinished"
    if os.path.isdir(as_file):
        [name] = os.listdir(as_file)
        return f"{as_file}/{name}"
    if os.path.isdir(as_folder):
        return as_folder
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        path = stage_input(given, unfinished)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if read_only:
        protect(unfinished)
    if path == unfinished:
        os.rename(unfinished, as_folder)
        return as_folder
    if os.path.dirname(path) != unfinished:
        return path  # a local path, used in place
    os.rename(unfinished, as_file)
    return f"{as_file}/{os.path.basename(path)}"


def protect(folder: str) -> None:
    """Remove write permission from a copy that several processes share."""
    for parent, _, names in os.walk(folder):
        os.chmod(parent, 0o755)  # noqa: S103  (the host may run as another user)
        for name in names:
            path = os.path.join(parent, name)
            if not os.path.islink(path):  # its target is not part of the copy
                os.chmod(path, 0o444)


def _download(given: Input, folder: str, selection: Selection) -> dict[str, str]:
    """Download all files of an input that are not local; return their paths by URL."""
    found = [(path, list(list_files(path, selection))) for path in given.paths]
    names = names_below(found)
    require_distinct(folder, names)
    targets = {file: inside(folder, name) for name, file in names.items() if local_path(file) is None}
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        sizes = list(threads.map(_fetch, targets, targets.values()))
    text = f'input "{given.name}": downloaded {len(sizes)} files, {sum(sizes)} bytes'
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
def _staging_errors(what: str, uri: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each store's library raises its own
        raise StagingError(f"{what} cannot be downloaded: {cause_of(uri, error)}", origin_of(error)) from error
