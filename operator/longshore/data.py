"""Data of steps: Datastores, datasets, and inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import PurePath
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from longshore.resource import Folder, Integer, InvalidArgument, Resource, Switch, Text, plain
from longshore.values import DataPath, Parameter, StepOutput
from longshore_api.data import FileDataset as FileFields
from longshore_api.data import TabularDataset as TabularFields

Paths = str | PurePath | Parameter | Sequence[str | PurePath | Parameter]


@dataclass(frozen=True, eq=False)
class Datastore(Resource):
    """A store of data: a bucket and prefix, a folder, or a database.

    Example:
        store = Datastore("images", "s3://bucket/images")
        FileDataset("2024/*.png", datastore=store)
    """

    kind: ClassVar[str] = "Datastore"

    name: str
    uri: Folder
    _: KW_ONLY
    secret_ref: Text | None = None
    service_account_name: Text | None = None
    default: Switch | None = None

    def path(self, path: str | PurePath) -> DataPath:
        """Return a file or folder in this Datastore, for a TransferStep or a Parameter."""
        return DataPath(path, self)


@dataclass(frozen=True, eq=False)
class _Dataset(Resource):
    """Data with a name, or without one: then the step that reads it has its description.

    `dataset_name` is the name that scripts use: `name`, if not given.
    """

    kind: ClassVar[str] = "Dataset"
    renamed: ClassVar[Mapping[str, str]] = {"name": "dataset_name"}
    described_as: ClassVar[str]
    model: ClassVar[type[BaseModel]]

    _: KW_ONLY
    name: str | None = None
    dataset_name: Text | None = None
    version: Integer | None = None
    description: str | None = None
    tags: Mapping[str, str] | None = None

    def to_spec(self) -> dict[str, Any]:
        return {**self.fields_of(self.spec_model()), self.described_as: self.to_description()}

    def to_description(self) -> dict[str, Any]:
        """Return the description of the data, as a step has it in place."""
        fields = self.fields_of(self.model)
        paths = fields.get("paths")
        return {**fields, "paths": [paths]} if isinstance(paths, str) else fields

    def check(self) -> None:
        document = self._document()
        name = document["metadata"].get("name")
        self.check_document({**document, "metadata": {**document["metadata"], "name": name or "unnamed"}})

    def to_dict(self) -> dict[str, Any]:
        """Return the Dataset document. Raises InvalidArgument for data without a name."""
        if self.__dict__["name"] is None:
            raise InvalidArgument(self.subject, ["name is missing: pass name=..., so that others can refer to it"])
        return self._document()

    def _document(self) -> dict[str, Any]:
        return super().to_dict()

    def argument_path(self, path: str, document: Mapping[str, Any]) -> str:
        return super().argument_path(path, document).removeprefix(f"{self.described_as}.")


@dataclass(frozen=True, eq=False)
class FileDataset(_Dataset):
    """Files; a mini-batch is a list of their paths.

    Paths are files, folders or globs: URLs, or relative to the Datastore; without one, to the current directory.

    Example:
        FileDataset("images/*.png")               # described in the step that reads it
        FileDataset(["a/", "b/"], name="images")  # a Dataset of its own, which steps refer to by name
    """

    described_as: ClassVar[str] = "file"
    model: ClassVar[type[BaseModel]] = FileFields

    paths: Paths
    _: KW_ONLY
    datastore: str | Datastore | Parameter | None = None
    partition_format: Text | None = None


@dataclass(frozen=True, eq=False)
class TabularDataset(_Dataset):
    """Rows of files or of a database; a mini-batch is a pandas DataFrame.

    Example:
        TabularDataset("sales/*.csv", separator=";")
        TabularDataset(format="sql", datastore="sales", query="SELECT id, x FROM orders", split_by="id")
    """

    described_as: ClassVar[str] = "tabular"
    model: ClassVar[type[BaseModel]] = TabularFields

    paths: Paths | None = None
    _: KW_ONLY
    datastore: str | Datastore | Parameter | None = None
    format: Literal["csv", "jsonl", "parquet", "sql"] | Parameter | None = None
    query: Text | None = None
    split_by: Text | None = None
    separator: Text | None = None
    header: Switch | None = None
    only_first_file_has_header: Switch | None = None
    encoding: Text | None = None
    column_types: Mapping[str, str] | None = None
    date_formats: Mapping[str, str] | None = None
    keep_default_na: Switch | None = None
    na_values: Sequence[str] | None = None
    infer_column_types: Switch | None = None
    path_column: Text | None = None
    rows_as: Literal["dataframe", "dicts"] | Parameter | None = None
    support_multi_line: Switch | None = None
    escape_character: Text | None = None
    partition_format: Text | None = None


InputData = FileDataset | TabularDataset | StepOutput | Parameter | str


@dataclass(frozen=True)
class Input:
    """Data that a step reads under a name. `{name: data}` does where the defaults fit.

    In the arguments of the step, `str(input)` is the local path of the data, `$(inputs.NAME)`.

    Args:
        name: Name of the input; unique in the step.
        data: A dataset, the name of a Dataset, an output of another step, or a Parameter of the type dataset.
        mode: How the script receives the data: mount or download for files, direct for rows.
        partition_format: Pattern of the end of each path; replaces that of the dataset.
    """

    name: str
    data: InputData
    _: KW_ONLY
    mode: Literal["mount", "download", "direct"] | Parameter | None = None
    partition_format: Text | None = None

    def __str__(self) -> str:
        return f"$(inputs.{self.name})"

    def to_dict(self) -> dict[str, Any]:
        """Return the input as a step's document has it."""
        settings = {"mode": self.mode, "partitionFormat": self.partition_format}
        given = {key: plain(value) for key, value in settings.items() if value is not None}
        return {"name": self.name, **self._data(), **given}

    def _data(self) -> dict[str, Any]:
        match self.data:
            case StepOutput():
                return {"from": str(self.data)}
            case str() if self.data.startswith("$(steps."):
                return {"from": self.data}
            case FileDataset() | TabularDataset() if self.data.name is None:
                return {self.data.described_as: self.data.to_description()}
            case _:
                return {"dataset": plain(self.data)}


Inputs = Mapping[str, InputData] | Sequence[Input | FileDataset | TabularDataset]


def listed_inputs(given: Inputs, subject: str, argument: str) -> tuple[Input, ...]:
    """Return inputs, which may be given as data by name or as datasets with names, as `Input`s.

    Raises InvalidArgument, which names the step (`subject`) and its argument.
    """
    if isinstance(given, Mapping):
        return tuple(Input(name, data) for name, data in given.items())
    listed = [_named(each) for each in given] if isinstance(given, list | tuple) else [None]
    found = tuple(each for each in listed if each is not None)
    if len(found) < len(listed):
        rule = (
            'must be data by name, or a list of Input(NAME, DATA) and of datasets that have names: pass {"NAME": DATA}'
        )
        raise InvalidArgument(subject, [f"{argument} {rule}"])
    return found


def _named(given: Any) -> Input | None:
    if isinstance(given, FileDataset | TabularDataset) and given.name is not None:
        return Input(given.name, given)
    return given if isinstance(given, Input) else None
