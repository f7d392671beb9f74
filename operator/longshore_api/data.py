"""Where data lies (Datastore) and which data (Dataset)."""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from longshore_api.base import Fields, NameRef, Resource
from longshore_api.status import ResourceStatus
from longshore_api.values import (
    FilledString,
    Flag,
    KeyName,
    Matching,
    PartitionFormatText,
    ResourceName,
    Separator,
    broken,
)

Paths = Annotated[list[FilledString], Field(min_length=1)]
DateFormat = Annotated[str, Matching(r".*%[A-Za-z].*", "must be a form as strptime has it: %d/%m/%Y", longest=256)]
EscapeCharacter = Annotated[
    str, Matching(r"[!#-/:-@\[-`{-~]", "must be one sign of ASCII, such as a backslash, and no quote", longest=1)
]
ColumnType = Annotated[
    str,
    Matching(
        r"([uU]?[iI]nt(8|16|32|64)|u?int|[fF]loat(32|64)|float(16)?|complex(64|128)?|bool|boolean|str|string|object"
        r"|category|datetime|timedelta|(datetime|timedelta)64"
        r"|(datetime|datetime64|timedelta64|string|category|[pP]eriod|interval|Sparse)\[.+\]|.+\[pyarrow\]"
        r"|[<>=|]?[biufcOSU][0-9]{0,3})",
        "must be a type as pandas names it, such as int64, Int64, float32, string, boolean or datetime64[ns]",
        longest=256,
    ),
]
Query = Annotated[str, Matching(r"(?s:.*\S.*)", "must be a query that is not empty", longest=32_768)]
# In both, what CEL takes too: any URL that means a database, and the one way to write it.
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
        raise broken("must be a text encoding that Python knows, such as utf-8 or latin-1") from None
    return name


class DatastoreSpec(Fields):
    """A place that paths are relative to."""

    uri: FilledString
    """Root of the store: a URL (gs, s3, abfs, http, file, pvc), or locally a folder relative to the YAML file. Or a
    database, whose rows tabular data of format sql reads: postgresql://HOST:PORT/DATABASE, mssql://HOST:PORT/DATABASE."""
    secret_ref: NameRef | None = None
    """Secret whose keys are environment variables of the store's client, such as AWS_ACCESS_KEY_ID,
    AZURE_STORAGE_CONNECTION_STRING, FSSPEC_GS, PGPASSWORD or LONGSHORE_SQL_PASSWORD; scripts do not see it. A local run
    uses its user's environment."""
    service_account_name: ResourceName | None = None
    """ServiceAccount of the pods that use the store, whose cloud identity the store's client then has; `default` if not
    given. All that the pods of one run use must agree on it. A local run has its user's identity."""
    default: Flag = False
    """Take this Datastore where none is named."""

    @model_validator(mode="after")
    def _has_no_password(self) -> Self:
        if re.match(OF_DATABASE, self.uri) and not re.fullmatch(DATABASE, self.uri):
            # A sentence that begins with "is" is not put behind the value: there may be a password in that.
            raise broken(f"is wrong: it {DATABASE_RULE}", field="uri")
        return self


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
    or some of these a time, `*` anything in a name. Or `hive`: folders `name=value` right above the files. The names
    can be `partitionKeys` of a step."""


class TabularDataset(Fields):
    """Rows in files, or of a database; a mini-batch is a pandas DataFrame."""

    datastore: ResourceName | None = None
    """Datastore that the paths are relative to, or whose database is asked; the default one if not given."""
    paths: Paths = Field(default_factory=list)
    """Files, folders (with all below) or globs (`*`, `?`, `[...]`, `**`): full URLs, or relative to the Datastore.
    Required, but for format sql."""
    format: Literal["csv", "jsonl", "parquet", "sql"] = "csv"
    """Format of the files: delimited text, one JSON object per line, or Parquet; or `sql`, rows of a database."""
    query: Query | None = None
    """SELECT statement whose rows these are (sql). It may be asked many times: let it give the same rows each time."""
    split_by: FilledString | None = None
    """Column of the query's rows that cuts them into mini-batches, by ranges of its values (sql); best one that is
    indexed and unique. One mini-batch if not given."""
    separator: Separator = ","
    """Character between fields (csv)."""
    header: Flag = True
    """Whether the first record of each file names the columns (csv)."""
    only_first_file_has_header: Flag = False
    """Whether only the first file has that record, by the order of full paths, whose columns all files have (csv)."""
    encoding: Annotated[FilledString, AfterValidator(_known_encoding)] = "utf-8"
    """Text encoding (csv, jsonl)."""
    column_types: dict[str, ColumnType] = Field(default_factory=dict)
    """Types by column, as pandas names them (`int64`, `float32`, `string`, `datetime64[ns]`); others are inferred.
    Integers with missing values are `Int64`. Times are ISO 8601, or as `dateFormats` says; one without an offset is
    local to the zone of its type, as in `datetime64[ns, Europe/Berlin]`. The first csv or Parquet file must have each
    column."""
    date_formats: dict[str, DateFormat] = Field(default_factory=dict)
    """Forms of times by column, as strptime has them (`%d/%m/%Y`), where they are not ISO 8601; each column needs a
    datetime type in `columnTypes`."""
    keep_default_na: Flag = True
    """Whether empty fields, NA, N/A, NULL, null, None, NaN, nan and their like mean missing values (csv), as pandas has
    it."""
    na_values: list[str] = Field(default_factory=list)
    """Further texts that mean missing values (csv)."""
    infer_column_types: Flag = True
    """Whether columns without a type in `columnTypes` have one that their texts tell; else they are text (csv)."""
    path_column: KeyName | None = None
    """Name of a further column, with the path or URL of each row's file (csv, jsonl, parquet)."""
    rows_as: Literal["dataframe", "dicts"] = "dataframe"
    """What the script is given: a pandas DataFrame, or a list with a dict for each line (jsonl), without pandas."""
    support_multi_line: Flag = False
    """Whether quoted fields may hold line ends (csv); costs one more pass over each file."""
    escape_character: EscapeCharacter | None = None
    """Character that makes a quote, separator or line end behind it an ordinary one (csv), as the backslash does in
    what Spark and MySQL write. Two quotes inside of quotes still mean one, and a field that is it and N is missing."""
    partition_format: PartitionFormatText | None = None
    """What the end of each path says, as for files; the names are columns of the rows, after those of the file."""

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
