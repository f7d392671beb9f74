"""Stores of data (Datastore) and named data in them (Dataset)."""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from longshore_api.base import Fields, NameRef, Resource
from longshore_api.registrations import AssetStatus
from longshore_api.status import ResourceStatus
from longshore_api.values import (
    AssetName,
    FilledString,
    Flag,
    KeyName,
    Matching,
    PartitionFormatText,
    ResourceName,
    Separator,
    Whole,
    broken,
)

Paths = Annotated[list[FilledString], Field(min_length=1)]
DateFormat = Annotated[str, Matching(r".*%[A-Za-z].*", "must be a strptime format, such as %d/%m/%Y", longest=256)]
EscapeCharacter = Annotated[
    str,
    Matching(
        r"[!#-/:-@\[-`{-~]",
        "must be one ASCII punctuation character, such as a backslash, and no quote",
        longest=1,
    ),
]
ColumnType = Annotated[
    str,
    Matching(
        r"([uU]?[iI]nt(8|16|32|64)|u?int|[fF]loat(32|64)|float(16)?|complex(64|128)?|bool|boolean|str|string|object"
        r"|category|datetime|timedelta|(datetime|timedelta)64"
        r"|(datetime|datetime64|timedelta64|string|category|[pP]eriod|interval|Sparse)\[.+\]|.+\[pyarrow\]"
        r"|[<>=|]?[biufcOSU][0-9]{0,3})",
        "must be a pandas type, such as int64, Int64, float32, string, boolean or datetime64[ns]",
        longest=256,
    ),
]
Query = Annotated[str, Matching(r"(?s:.*\S.*)", "must be a query that is not empty", longest=32_768)]
# Both are valid in CEL, too. The first matches every database URL, the second the only accepted form.
OF_DATABASE = r"(?i)(postgres|postgresql|mssql|sqlserver)([+][a-z0-9_]+)?:"
DATABASE = r"(postgresql|mssql)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/[^/?#@\s]+"
DATABASE_RULE = (
    "must be postgresql://HOST:PORT/DATABASE or mssql://HOST:PORT/DATABASE: user, password and options are keys of "
    "the Secret, and in a local run variables of its environment"
)
ONLY_LINES, WITH_DICTS = "must be dataframe, but with format jsonl", "must be left out with rowsAs dicts"
WITH_SQL, WITHOUT_SQL = "must be left out with format sql", "must be left out: it belongs to format sql"
NO_SEPARATOR = "must be another character than separator"
NO_HEADER = "must be left out with header false"
ONLY_CSV = "must be left out: it belongs to format csv"
_WITHOUT_TYPE = "must have a datetime type in columnTypes for each, such as datetime64[ns]"


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise broken("must be a text encoding of Python, such as utf-8 or latin-1") from None
    return name


class DatastoreSpec(Fields):
    """The store that paths are relative to, and access to it."""

    uri: FilledString
    """Root of the store: a URL (gs, s3, abfs, http, file, pvc), or in local runs a folder relative to the YAML file.
    For tabular data of format sql a database: postgresql://HOST:PORT/DATABASE or mssql://HOST:PORT/DATABASE."""
    secret_ref: NameRef | None = None
    """Secret whose keys are environment variables of the store's client, such as AWS_ACCESS_KEY_ID,
    AZURE_STORAGE_CONNECTION_STRING, FSSPEC_GS, PGPASSWORD or LONGSHORE_SQL_PASSWORD; hidden from scripts. A local run
    uses your environment instead."""
    service_account_name: ResourceName | None = None
    """ServiceAccount of the pods that use the store; its cloud identity authenticates the store's client. `default` if
    not given. All Datastores of one run must name the same. A local run uses your identity instead."""
    default: Flag = False
    """Whether this Datastore is used where none is named."""

    @model_validator(mode="after")
    def _has_no_password(self) -> Self:
        if re.match(OF_DATABASE, self.uri) and not re.fullmatch(DATABASE, self.uri):
            # A rule that begins with "is" is printed without the value, which may contain a password.
            raise broken(f"is wrong: it {DATABASE_RULE}", field="uri")
        return self


class Datastore(Resource):
    """A store of data: a bucket and prefix, or a folder."""

    kind: Literal["Datastore"]
    """Kind of the resource."""
    spec: DatastoreSpec
    """Location of the store, and access to it."""
    status: ResourceStatus | None = None
    """Written by Longshore."""


class FileDataset(Fields):
    """Files; a mini-batch is a list of their paths."""

    datastore: ResourceName | None = None
    """Datastore that the paths are relative to; the default one if not given."""
    paths: Paths
    """Files, folders (with all below) or globs (`*`, `?`, `[...]`, `**`): full URLs, or relative to the Datastore."""
    partition_format: PartitionFormatText | None = None
    """Pattern of the end of each path, which extracts values: `{name}` matches text, `{name:yyyy/MM/dd/HH/mm/ss}` or
    a part of it a time, `*` any text within a name. Or `hive`, for folders `name=value` directly above the files. The
    names can be `partitionKeys` of a step."""


class TabularDataset(Fields):
    """Rows of files or of a database; a mini-batch is a pandas DataFrame."""

    datastore: ResourceName | None = None
    """Datastore that the paths are relative to, or whose database is queried; the default one if not given."""
    paths: Paths = Field(default_factory=list)
    """Files, folders (with all below) or globs (`*`, `?`, `[...]`, `**`): full URLs, or relative to the Datastore.
    Required, except for format sql."""
    format: Literal["csv", "jsonl", "parquet", "sql"] = "csv"
    """Format of the files: delimited text, one JSON object per line, or Parquet; or `sql`, rows of a database."""
    query: Query | None = None
    """SELECT statement that returns the rows (sql). It may run many times and must return the same rows each time."""
    split_by: FilledString | None = None
    """Column whose value ranges divide the query's rows into mini-batches (sql); preferably indexed and unique. If not
    given, all rows are one mini-batch."""
    separator: Separator = ","
    """Character between fields (csv)."""
    header: Flag = True
    """Whether the first record of each file names the columns (csv)."""
    only_first_file_has_header: Flag = False
    """Whether only the first file, in order of full paths, has that record; all files have its columns (csv)."""
    encoding: Annotated[FilledString, AfterValidator(_known_encoding)] = "utf-8"
    """Text encoding (csv, jsonl)."""
    column_types: dict[str, ColumnType] = Field(default_factory=dict)
    """pandas types by column (`int64`, `float32`, `string`, `datetime64[ns]`); types of other columns are inferred.
    Integers with missing values are `Int64`. Times are ISO 8601 or have their format in `dateFormats`; a time without
    an offset is local to the zone of its type, as in `datetime64[ns, Europe/Berlin]`. The first csv or Parquet file
    must have all these columns."""
    date_formats: dict[str, DateFormat] = Field(default_factory=dict)
    """strptime formats by column (`%d/%m/%Y`), for times that are not ISO 8601; each column needs a datetime type in
    `columnTypes`."""
    keep_default_na: Flag = True
    """Whether empty fields and NA, N/A, NULL, null, None, NaN, nan and similar are missing values (csv), as in
    pandas."""
    na_values: list[str] = Field(default_factory=list)
    """Further texts that are read as missing values (csv)."""
    infer_column_types: Flag = True
    """Whether types of columns that are not in `columnTypes` are inferred from their text; else they are text (csv)."""
    path_column: KeyName | None = None
    """Name of an additional column that holds the path or URL of each row's file (csv, jsonl, parquet)."""
    rows_as: Literal["dataframe", "dicts"] = "dataframe"
    """Type of a mini-batch: a pandas DataFrame, or a list with one dict per line (jsonl), which needs no pandas."""
    support_multi_line: Flag = False
    """Whether quoted fields may contain line ends (csv); costs one more pass over each file."""
    escape_character: EscapeCharacter | None = None
    """Character that escapes a quote, separator or line end (csv), such as the backslash in files of Spark and MySQL.
    Two quotes inside quotes are still one quote; a field of this character and N is a missing value."""
    partition_format: PartitionFormatText | None = None
    """Pattern of the end of each path, as for files; its values become columns, after those of the file."""

    @model_validator(mode="after")
    def _dicts_are_lines(self) -> Self:
        if self.rows_as == "dicts" and self.format != "jsonl":
            raise broken(ONLY_LINES, field="rowsAs")
        if self.rows_as == "dicts" and self.column_types:
            raise broken(WITH_DICTS, field="columnTypes")
        return self

    @model_validator(mode="after")
    def _dates_are_typed(self) -> Self:
        if not all(self.column_types.get(name, "").startswith("datetime") for name in self.date_formats):
            raise broken(_WITHOUT_TYPE, field="dateFormats")
        return self

    @model_validator(mode="after")
    def _belongs_to_csv(self) -> Self:
        for field, is_given in (
            ("keepDefaultNa", not self.keep_default_na),
            ("naValues", bool(self.na_values)),
            ("escapeCharacter", self.escape_character is not None),
            ("inferColumnTypes", not self.infer_column_types),
            ("onlyFirstFileHasHeader", self.only_first_file_has_header),
        ):
            if is_given and self.format != "csv":
                raise broken(ONLY_CSV, field=field)
        if self.escape_character == self.separator:
            raise broken(NO_SEPARATOR, field="escapeCharacter")
        if self.only_first_file_has_header and not self.header:
            raise broken(NO_HEADER, field="onlyFirstFileHasHeader")
        return self

    @model_validator(mode="after")
    def _format_agrees(self) -> Self:
        if self.format != "sql":
            if not self.paths:
                raise broken("is missing: it is required", field="paths")
            for field, given in (("query", self.query), ("splitBy", self.split_by)):
                if given is not None:
                    raise broken(WITHOUT_SQL, field=field)
            return self
        if self.query is None:
            raise broken("is missing: format sql needs one", field="query")
        for field, is_given in (
            ("paths", bool(self.paths)),
            ("separator", self.separator != ","),
            ("header", not self.header),
            ("encoding", self.encoding != "utf-8"),
            ("supportMultiLine", self.support_multi_line),
            ("partitionFormat", self.partition_format is not None),
            ("pathColumn", self.path_column is not None),
        ):
            if is_given:
                raise broken(WITH_SQL, field=field)
        return self


class DatasetSpec(Fields):
    """Exactly one of `file` and `tabular`."""

    name: AssetName | None = None
    """Name that scripts and steps use; the resource's own name if not given."""
    version: Annotated[int, Whole(1)] = 1
    """Version; scripts and steps that name none use the highest."""
    description: str = ""
    """Free text."""
    tags: dict[str, str] = Field(default_factory=dict)
    """Texts by name, which scripts read as `tags`."""
    file: FileDataset | None = None
    """Files, passed to the script as paths."""
    tabular: TabularDataset | None = None
    """Rows, passed to the script as DataFrames."""

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
    status: AssetStatus | None = None
    """Written by Longshore."""
