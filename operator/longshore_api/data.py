"""Where data lies (Datastore) and which data (Dataset)."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from longshore_api.base import Fields, NameRef, Resource
from longshore_api.status import ResourceStatus
from longshore_api.values import FilledString, Flag, PartitionFormatText, ResourceName, Separator, broken

Paths = Annotated[list[FilledString], Field(min_length=1)]


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise broken("must be a text encoding that Python knows, such as utf-8 or latin-1") from None
    return name


class DatastoreSpec(Fields):
    """A place that paths are relative to."""

    uri: FilledString
    """Root of the store: a URL (gs, s3, abfs, http, file, pvc), or locally a folder relative to the YAML file."""
    secret_ref: NameRef | None = None
    """Secret whose keys are environment variables of the store's client, such as AWS_ACCESS_KEY_ID,
    AZURE_STORAGE_CONNECTION_STRING or FSSPEC_GS; scripts do not see it. A local run uses its user's environment."""
    default: Flag = False
    """Take this Datastore where none is named."""


class Datastore(Resource):
    """A store of data: a bucket and prefix, or a folder."""

    kind: Literal["Datastore"]
    """Kind of the resource."""
    spec: DatastoreSpec
    """Where the store is."""
    status: ResourceStatus | None = None
    """Written by Longshore."""


class FileDataset(Fields):
    """Files; a mini-batch is a list of their paths."""

    datastore: ResourceName | None = None
    """Datastore that the paths are relative to; the default one if not given."""
    paths: Paths
    """Files, folders (with all below) or globs (`*`, `?`, `[...]`, `**`): full URLs, or relative to the Datastore."""
    partition_format: PartitionFormatText | None = None
    """What the end of each path says, from the first placeholder on: `{name}` is text, `{name:yyyy/MM/dd/HH/mm/ss}`
    or some of these a time, `*` anything in a name. The names can be `partitionKeys` of a step."""


class TabularDataset(Fields):
    """Rows in files; a mini-batch is a pandas DataFrame."""

    datastore: ResourceName | None = None
    """Datastore that the paths are relative to; the default one if not given."""
    paths: Paths
    """Files, folders (with all below) or globs (`*`, `?`, `[...]`, `**`): full URLs, or relative to the Datastore."""
    format: Literal["csv", "jsonl", "parquet"] = "csv"
    """Format of the files: delimited text, one JSON object per line, or Parquet."""
    separator: Separator = ","
    """Character between fields (csv)."""
    header: Flag = True
    """Whether the first record of each file names the columns (csv)."""
    encoding: Annotated[FilledString, AfterValidator(_known_encoding)] = "utf-8"
    """Text encoding (csv, jsonl)."""
    column_types: dict[str, str] = Field(default_factory=dict)
    """Types by column, as pandas names them (`int64`, `float32`, `string`, `datetime64[ns]`); others are inferred."""
    support_multi_line: Flag = False
    """Whether quoted fields may hold line ends (csv); costs one more pass over each file."""
    partition_format: PartitionFormatText | None = None
    """What the end of each path says, as for files; the names are columns of the rows, after those of the file."""


class DatasetSpec(Fields):
    """Exactly one of `file` and `tabular`."""

    file: FileDataset | None = None
    """Files, handed to the script as paths."""
    tabular: TabularDataset | None = None
    """Rows, handed to the script as DataFrames."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.file is None) == (self.tabular is None):
            raise broken("must have exactly one of file and tabular")
        return self


class Dataset(Resource):
    """Named data that steps take as input."""

    kind: Literal["Dataset"]
    """Kind of the resource."""
    spec: DatasetSpec
    """Which files or rows."""
    status: ResourceStatus | None = None
    """Written by Longshore."""
