"""Dataset.File and Dataset.Tabular: datasets that a script defines, to register them."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from longshore_run import context
from longshore_run.context import Given
from longshore_run.registrations import DATASET, OUTPUT, Registration
from longshore_shims import dataset, registering
from longshore_shims.absent import Refusing
from longshore_shims.dataset import StepDataset, is_url
from longshore_shims.errors import UserErrorException


class FileDatasetFactory(Refusing):
    """Makes datasets of files."""

    @staticmethod
    def from_files(path: Any, validate: bool = True, **_: Any) -> MadeDataset:
        """Return a dataset of files; nothing is read. Raises UserErrorException for an unsupported path."""
        return _made("Dataset.File.from_files", path, None)


class TabularDatasetFactory(Refusing):
    """Makes datasets of tables."""

    @staticmethod
    def from_delimited_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        infer_column_types: bool = True,
        set_column_types: Any = None,
        separator: str = ",",
        header: Any = True,
        partition_format: Optional[str] = None,
        support_multi_line: bool = False,
        empty_as_string: bool = False,
        encoding: str = "utf8",
        **_: Any,
    ) -> MadeDataset:
        """Return a dataset of delimited files; nothing is read. Raises UserErrorException for an unsupported path."""
        has_header = header if isinstance(header, bool) else "NO_HEADER" not in str(header).upper()
        form = {"format": "csv", "separator": separator, "header": has_header, "encoding": _encoding(encoding)}
        return _made("Dataset.Tabular.from_delimited_files", path, form)

    @staticmethod
    def from_parquet_files(path: Any, validate: bool = True, **_: Any) -> MadeDataset:
        """Return a dataset of Parquet files; nothing is read. Raises UserErrorException for an unsupported path."""
        return _made("Dataset.Tabular.from_parquet_files", path, {"format": "parquet"})

    @staticmethod
    def from_json_lines_files(path: Any, validate: bool = True, encoding: str = "utf8", **_: Any) -> MadeDataset:
        """Return a dataset of JSON lines; nothing is read. Raises UserErrorException for an unsupported path."""
        form = {"format": "jsonl", "encoding": _encoding(encoding)}
        return _made("Dataset.Tabular.from_json_lines_files", path, form)


class MadeDataset(StepDataset):
    """A dataset that the script defined; its files can be read if they are in an output of the step."""

    def __init__(self, given: Given, datastore: str, paths: Tuple[str, ...]) -> None:
        super().__init__(given)
        self._datastore, self._registered_paths = datastore, paths
        self.version: Optional[int] = None  # once it is registered, the version that it will probably have
        self.description: Optional[str] = None
        self.tags: Dict[str, str] = {}

    def register(
        self,
        workspace: Any = None,
        name: str = "",
        description: Optional[str] = None,
        tags: Optional[Mapping[str, Any]] = None,
        create_new_version: bool = False,
    ) -> MadeDataset:
        """Register the dataset under a name once the step has succeeded; return it with name and version.

        Each call makes a new version, whatever `create_new_version` is. Raises UserErrorException.
        """
        form = self._given.tabular
        given = Registration(
            DATASET,
            name,
            self._registered_paths,
            datastore=self._datastore,
            description=description or "",
            tags=registering.texts(tags),
            tabular=None if form is None else dict(form),
        )
        made = MadeDataset(Given(name, self._given.paths, form), self._datastore, self._registered_paths)
        made.version = registering.record(
            registering.folder("Dataset.register"), given, registering.known_versions("find-dataset", name)
        )
        made.description, made.tags = description, registering.texts(tags)
        return made


class Dataset(dataset.Dataset):
    """Access to the datasets of a step, and definition of new ones."""

    File = FileDatasetFactory
    Tabular = TabularDatasetFactory


def _made(call: str, path: Any, form: Optional[Dict[str, Any]]) -> MadeDataset:
    parts = list(path) if isinstance(path, (list, set)) else [path]
    stores, paths, local = set(), [], []
    for each in parts:
        store, below, here = _located(call, each)
        stores.add(store)
        paths.append(below)
        local.append(here)
    if len(stores) != 1:
        raise UserErrorException("{} needs at least one path, and all in one datastore.".format(call))
    return MadeDataset(Given("", tuple(local), form), stores.pop(), tuple(paths))


def _located(call: str, path: Any) -> Tuple[str, str, str]:
    """Return Datastore, path of the registration, and the location for this process."""
    if isinstance(path, tuple) and len(path) == 2:
        store, relative = getattr(path[0], "name", path[0]), str(path[1]).lstrip("/")
        return str(store), relative, "datastore://{}/{}".format(store, relative)
    below = getattr(path, "path_on_datastore", None)
    if below is not None:
        store = getattr(getattr(path, "datastore", None), "name", None) or getattr(path, "datastore_name", "")
        return _located(call, (store, below))
    if isinstance(path, (str, os.PathLike)):
        text = os.fspath(path)
        if is_url(text):
            return "", text, text
        for name, below in _outputs_at(text):
            return "", "{}{}/{}".format(OUTPUT, name, below) if below else OUTPUT + name, os.path.abspath(text)
    shape = "(datastore, path), a URL, or a path below an output of the step"
    raise UserErrorException("{} does not support the path {!r}; use {}.".format(call, path, shape))


def _outputs_at(path: str) -> Iterator[Tuple[str, str]]:
    """Yield the outputs of the step that a path is in, with the path's rest."""
    step = context.current()
    whole = os.path.abspath(path)
    for name, root in ({} if step is None else step.outputs).items():
        below: List[str] = os.path.relpath(whole, os.path.abspath(root)).split(os.sep)
        if below[0] != os.pardir:
            yield name, "" if below == [os.curdir] else "/".join(below)


def _encoding(name: str) -> str:
    return {"utf8": "utf-8", "iso88591": "iso-8859-1", "latin1": "latin-1"}.get(name, name)
