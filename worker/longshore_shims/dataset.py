"""Dataset: the inputs of a step by name, as files and tables."""

from __future__ import annotations

import atexit
import glob
import os
import re
import shutil
import stat
import tempfile
from typing import Any, Dict, Iterator, List, Optional, Tuple

from longshore_run import context
from longshore_run.context import Given
from longshore_shims.absent import Refusing
from longshore_shims.errors import InputNotFoundException, UserErrorException
from longshore_shims.named import Known, ask, is_answered
from longshore_shims.tables import read_table

_URL = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_WILD = re.compile(r"[*?\[]")


class Dataset(Refusing):
    """Access to the datasets of a step."""

    @staticmethod
    def get_by_name(workspace: Any, name: str, version: Any = "latest") -> StepDataset:
        """Return the input of the step with this name, or the Dataset that existed when the run began.

        Raises:
            InputNotFoundException: There is neither.
            UserErrorException: The step may not use the Datastore of the Dataset.
        """
        number = None if version in (None, "latest") else int(version)
        if not is_answered() or (number is None and _is_local_input(name)):
            return StepDataset(given(name))
        return NamedDataset(ask("find-dataset", InputNotFoundException, name=name, version=number))

    @staticmethod
    def get_all(workspace: Any) -> Dict[str, StepDataset]:
        """Return the inputs of the step, and the latest version of each Dataset that it may use, by name."""
        step = context.current()
        known: Dict[str, StepDataset] = {}
        for each in ask("find-datasets") if is_answered() else []:
            known.setdefault(each["name"], NamedDataset(each))
        known.update({each.name: StepDataset(each) for each in (() if step is None else step.inputs)})
        return Known(known, lambda name: Dataset.get_by_name(workspace, name))


class StepDataset(Refusing):
    """One input of the step, or a part of its files or rows."""

    def __init__(self, given: Given, parts: Tuple[slice, ...] = ()) -> None:
        self._given = given
        self._parts = parts  # the slices of take() and skip(), in order
        self.name = given.name

    def __repr__(self) -> str:
        return "<input {} of the step: {}>".format(self.name, ", ".join(self._given.paths))

    def take(self, count: int) -> StepDataset:
        """Return the first `count` files, or rows of a table."""
        return self._restricted(slice(0, count))

    def skip(self, count: int) -> StepDataset:
        """Return all but the first `count` files, or rows of a table."""
        return self._restricted(slice(count, None))

    def to_path(self) -> List[str]:
        """Return the files' paths relative to the dataset, with a leading slash. Raises UserErrorException."""
        return ["/" + name for name, _ in self._files()]

    def mount(self, mount_point: Optional[str] = None, **_: Any) -> MountContext:
        """Return a context manager that provides the files at a mount point."""
        return MountContext(self, mount_point)

    def download(self, target_path: Optional[str] = None, overwrite: bool = False, **_: Any) -> List[str]:
        """Copy the files to a folder, by default a temporary one; return the paths of the copies.

        Raises:
            UserErrorException: A file exists already and `overwrite` is False; nothing is copied then.
        """
        folder = _temporary_folder() if target_path is None else os.path.abspath(target_path)
        files = [(os.path.join(folder, name), path) for name, path in self._files()]
        there = next((target for target, _ in files if os.path.lexists(target)), None)
        if there is not None and not overwrite:
            raise UserErrorException("{} exists already; set overwrite=True to replace it.".format(there))
        for target, path in files:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(path, target)
            os.chmod(target, os.stat(target).st_mode | stat.S_IWUSR)  # the copies of the worker are read-only
        return [target for target, _ in files]

    def to_pandas_dataframe(self, *_: Any, **__: Any) -> Any:
        """Return the rows of all files (csv, tsv, jsonl, parquet) as one pandas.DataFrame.

        Raises UserErrorException for other files.
        """
        is_table = self._given.tabular is not None
        files = self._all_files() if is_table else self._files()
        frame = read_table([path for _, path in files], self._given.tabular)
        for part in self._parts if is_table else ():
            frame = frame.iloc[part].reset_index(drop=True)
        return frame

    def link_files(self, folder: Optional[str]) -> Tuple[str, Optional[str]]:
        """Provide the files under one path; return it, and the folder that was created for it, if any.

        A single file or folder is used in place. Otherwise, the path is a folder of symbolic links: `folder`, by
        default a temporary one.
        """
        path = self._given.paths[0]
        if folder is None and len(self._given.paths) == 1 and not self._parts and os.path.exists(path):
            return path, None
        made = _temporary_folder() if folder is None else os.path.abspath(folder)
        if os.path.isdir(made) and os.listdir(made):  # stop() deletes the folder
            raise UserErrorException("{} is not empty, so a dataset cannot be mounted there.".format(made))
        for name, path in self._files():
            target = os.path.join(made, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(path, target)
        return made, made

    def _restricted(self, part: slice) -> StepDataset:
        return StepDataset(self._given, (*self._parts, part))

    def _files(self) -> List[Tuple[str, str]]:
        """Return (path relative to the dataset, path) of each file."""
        files = self._all_files()
        for part in self._parts if self._given.tabular is None else ():
            files = files[part]
        return files

    def _all_files(self) -> List[Tuple[str, str]]:
        files: Dict[str, str] = {}
        for path in local_paths(self._given):
            files.update({found: os.path.relpath(found, base_of(path)) for found in _found(path)})
        if not files:
            raise UserErrorException("The input {} has no files at {}.".format(self.name, ", ".join(self._given.paths)))
        return [(name, path) for path, name in sorted(files.items())]


class NamedDataset(StepDataset):
    """A Dataset that is no input of the step: `name`, `version`, `description`, `tags`.

    The step's agent downloads its files when they are first used, once for all processes of the worker.
    """

    def __init__(self, shown: Dict[str, Any], parts: Tuple[slice, ...] = ()) -> None:
        super().__init__(Given(shown["name"], (), shown["tabular"]), parts)
        self._shown = shown
        self.version: int = shown["version"]
        self.description: str = shown["description"]
        self.tags: Dict[str, str] = shown["tags"]

    def __repr__(self) -> str:
        return "<Dataset {} version {}>".format(self.name, self.version)

    def as_named_input(self, name: str) -> NamedDataset:
        """Return the dataset itself: in a step, it has its data already."""
        return self

    def as_mount(self, path_on_compute: Optional[str] = None) -> MountContext:
        """Return what mount() returns."""
        return self.mount(path_on_compute)

    as_download = as_mount

    def link_files(self, folder: Optional[str]) -> Tuple[str, Optional[str]]:
        self._fetch()
        return super().link_files(folder)

    def _restricted(self, part: slice) -> StepDataset:
        return NamedDataset(self._shown, (*self._parts, part))

    def _all_files(self) -> List[Tuple[str, str]]:
        self._fetch()
        return super()._all_files()

    def _fetch(self) -> None:
        """Have the files on this machine. Raises UserErrorException."""
        if not self._given.paths:
            found = ask("fetch-dataset", InputNotFoundException, name=self.name, version=self.version)
            self._given = Given(self.name, tuple(found["paths"]), self._given.tabular)


class MountContext:
    """A context manager that provides the files of a dataset at `mount_point` between start() and stop()."""

    def __init__(self, dataset: StepDataset, mount_point: Optional[str]) -> None:
        self._dataset = dataset
        self._wanted = mount_point
        self._mount_point = mount_point or ""
        self._made: Optional[str] = None

    @property
    def mount_point(self) -> str:
        """The folder, or the file of a single-file dataset; empty before start()."""
        return self._mount_point

    def start(self) -> None:
        """Provide the files. Raises UserErrorException, for example for a mount point that is not empty."""
        self._mount_point, self._made = self._dataset.link_files(self._wanted)

    def stop(self) -> None:
        """Delete the links that start() created; the files stay."""
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)
            self._made = None

    def __enter__(self) -> MountContext:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _is_local_input(name: str) -> bool:
    """Return whether a name is that of an input of the step whose files are on this machine."""
    step = context.current()
    found = [each for each in (() if step is None else step.inputs) if each.name == name]
    return any(not any(map(is_url, each.paths)) for each in found)


def given(name: str) -> Given:
    """Return an input of the step. Raises InputNotFoundException."""
    step = context.current()
    inputs = {} if step is None else {each.name: each for each in step.inputs}
    if name not in inputs:
        names = ", ".join(inputs) or "none"
        raise InputNotFoundException('Input "{}" does not exist; the step\'s inputs are: {}.'.format(name, names))
    return inputs[name]


def as_script_input(given: Given) -> Any:
    """Return an input as scripts receive it: the path of files, or the dataset of a table.

    For globs and several locations, the path is their common folder. Raises UserErrorException.
    """
    if given.tabular is not None:
        return StepDataset(given)
    bases = [path if os.path.exists(path) else base_of(path) for path in local_paths(given)]
    return bases[0] if len(bases) == 1 else os.path.commonpath(bases)


def local_paths(given: Given) -> Tuple[str, ...]:
    """Return the local paths of an input. Raises UserErrorException if it is in a store or a database."""
    url = next(filter(is_url, given.paths), None)
    if given.tabular is not None and given.tabular.get("query") is not None:
        message = "The input {} is a query of a database; only run() receives its rows, in mini-batches."
        raise UserErrorException(message.format(given.name))
    if url is not None:
        raise UserErrorException(
            "The input {} is in a store, at {}, and has no local path: run() receives its files in mini-batches, "
            "and a script step receives a copy.".format(given.name, url)
        )
    return given.paths


def is_url(location: str) -> bool:
    """Return whether a location is in a store."""
    return _URL.match(location) is not None


def base_of(path: str) -> str:
    """Return the folder that the names of a path's files are relative to."""
    if os.path.isdir(path):
        return path
    wild = None if os.path.exists(path) else _WILD.search(path)
    return os.path.dirname(path if wild is None else path[: wild.start()] + "x")


def _found(path: str) -> Iterator[str]:
    if os.path.isdir(path):
        for folder, _, names in os.walk(path):
            yield from (os.path.join(folder, name) for name in names)
    elif os.path.exists(path):
        yield path
    else:
        yield from filter(os.path.isfile, glob.iglob(path, recursive=True))


def _temporary_folder() -> str:
    folder = tempfile.mkdtemp(prefix="longshore-dataset-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
