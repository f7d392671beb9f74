"""The job: a ParallelRunStep with all references resolved, as coordinator and agents use it.

The operator or `longshore run` resolves the custom resources into a `Job` and passes it to the coordinator, which sends
the same JSON to each agent that registers. Durations are in seconds, sizes in bytes, and locations are absolute local
paths or fsspec URLs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Dict, List, Optional, Tuple

from longshore_protocol.reading import read_text
from longshore_protocol.registrations import Registration

FILES, BYTES, ROWS = "files", "bytes", "rows"
MOUNT, DOWNLOAD = "mount", "download"
APPEND_ROW, SUMMARY_ONLY = "append_row", "summary_only"


@dataclass(frozen=True)
class TabularFormat:
    """How to read the rows of a tabular input."""

    format: str  # "csv", "jsonl", "parquet" or "sql"
    separator: str = ","
    header: bool = True  # the first record of each file names the columns (csv)
    one_header: bool = False  # only the first file of the input has a header, and its columns are those of all (csv)
    names: List[str] = field(default_factory=list)  # of the columns of one file without a header, see `slices` (csv)
    encoding: str = "utf-8"
    column_types: Dict[str, str] = field(default_factory=dict)  # column name -> pandas dtype name
    date_formats: Dict[str, str] = field(default_factory=dict)  # column name -> strptime format; others are ISO 8601
    keep_default_na: bool = True  # pandas' own texts for missing values count, see `cells.missing_texts` (csv)
    na_values: List[str] = field(default_factory=list)  # further texts for missing values (csv)
    infer_types: bool = True  # infer the types of columns without one; otherwise they are text (csv)
    path_column: Optional[str] = None  # the name of a column with the path of each row's file
    multi_line: bool = False  # quoted fields may hold newlines (csv)
    escape: Optional[str] = None  # makes the following character an ordinary one (csv)
    as_dicts: bool = False  # pass a list of dicts to the script instead of a DataFrame (jsonl)
    query: Optional[str] = None  # a SELECT statement (sql)
    split_by: Optional[str] = None  # the column that splits the rows; None: all rows are one mini-batch (sql)
    database: str = ""  # name of its Datastore, part of the names of the variables with user and password (sql)

    def type_of(self, column: str) -> Optional[str]:
        """Return the declared pandas dtype of a column, or None to infer it."""
        return self.column_types.get(column, None if self.infer_types else "str")


@dataclass(frozen=True)
class Input:
    """One partitioned input. Its files are in the order of their full paths."""

    name: str
    paths: Tuple[str, ...]  # absolute local paths or URLs: a file, a folder (read recursively) or a glob (`**` too);
    # of a query, one URL: that of the database
    mode: str = "mount"  # "mount", "download" or "direct"
    tabular: Optional[TabularFormat] = None  # None: a file input
    partition_format: Optional[str] = None  # values in the end of a file's path, see `partition_format`


@dataclass(frozen=True)
class ScriptInput:
    """Data at a local path of the script, which replaces `$(inputs.NAME)` in its arguments.

    One URI is that file or folder. Globs and several URIs become a folder with all of their files.
    """

    name: str
    uris: Tuple[str, ...]  # files, folders (read recursively) or globs
    mode: str = MOUNT  # "mount": used in place if local; "download": always a copy
    tabular: Optional[TabularFormat] = None  # how to read the rows of a tabular Dataset; None: files


@dataclass(frozen=True)
class MiniBatchSize:
    """The size of a mini-batch: `unit` is "files" (file inputs), "bytes" or "rows" (tabular inputs)."""

    unit: str
    value: int


@dataclass(frozen=True)
class Output:
    """The output folder and the format of its rows."""

    action: str  # "append_row" or "summary_only"
    uri: str  # the output folder; it exists when the script starts
    file_name: str = "parallel_run_step.txt"  # with append_row only
    format: str = "text"  # "text", "csv", "tsv", "jsonl" or "parquet"
    header: bool = False  # write the column names as first line
    separator: Optional[str] = None  # None: the format's own (text " ", csv ",", tsv tab)
    name: str = "output"
    registration: Optional[Registration] = None  # of the folder, after success


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of permanent failures at which a step fails; -1 and None disable a threshold."""

    error_threshold: int = -1  # failed items
    allowed_failed_count: int = -1  # failed mini-batches
    allowed_failed_percent: Optional[float] = None  # failed mini-batches in percent of all, once all are known
    failed_items_warning_percent: float = 10.0  # failed items in percent, above which a success is one with failures
    chosen: bool = False  # the user gave one of the first three, switched off or not: failures within it are expected


@dataclass(frozen=True)
class Timeouts:
    """Timeouts in seconds."""

    run_invocation: float = 60.0  # one call of run()
    task_overhead: float = 30.0  # loading a mini-batch and returning its result
    init: float = 600.0  # import of the entry script and init()
    first_task_creation: Optional[float] = (
        None  # the first mini-batch must be cut within this; None: while listing halts
    )
    progress_update: Optional[float] = None  # None: 3 x (run_invocation + task_overhead)
    storage: float = 600.0  # without any success while a store fails


@dataclass(frozen=True)
class Model:
    """A registered model that the script finds under AZUREML_MODEL_DIR and azureml-models/<name>/<version>."""

    name: str
    version: int
    uri: str  # file or folder


@dataclass(frozen=True)
class Datastore:
    """A Datastore that the script may use by name."""

    name: str
    uri: str  # its root
    default: bool = False
    read_only: bool = False  # it is on a volume that the step's pods only read


@dataclass(frozen=True)
class Job:
    """One resolved ParallelRunStep."""

    name: str
    run_id: str
    run_uri: str  # the run's folder: state/ (epochs, plan, ledger, segments), logs/, failed.jsonl
    inputs: Tuple[Input, ...]
    mini_batch: MiniBatchSize
    output: Output
    source_uri: str  # folder with the entry script
    entry_script: str  # path inside the source folder
    arguments: Tuple[str, ...] = ()
    variables: Dict[str, str] = field(default_factory=dict)  # environment of the user's process
    models: Tuple[Model, ...] = ()
    datastores: Tuple[Datastore, ...] = ()
    catalogue: str = ""  # what the script may ask for by name, see `longshore_protocol.catalogue`
    side_inputs: Tuple[ScriptInput, ...] = ()
    workers: int = 1
    processes_per_worker: int = 1
    concurrency_per_process: int = 16  # mini-batches at once in a process of an async entry script
    partition_keys: Tuple[str, ...] = ()  # each combination of their values is a mini-batch, whatever `mini_batch` is
    coalesce: bool = False  # tabular inputs: a mini-batch may have the rows of several small files
    gpus_per_worker: int = 0  # distributed among its processes; 0: they inherit the environment
    max_tries: int = 3
    thresholds: Thresholds = field(default_factory=Thresholds)
    timeouts: Timeouts = field(default_factory=Timeouts)
    logging_level: str = "INFO"
    resource_monitor_interval: float = 600.0  # 0: off
    profiling_module: Optional[str] = None  # "cProfile" or "profile"
    metrics_name_prefix: str = ""
    container_log: str = "failures"  # what the logs of workers' containers get: "failures", "all" or "none"
    sample: Optional[int] = None  # run only this many mini-batches
    experiment: str = ""  # the pipeline of the step
    parent_id: str = ""  # id of the pipeline's run
    pipeline_parameters: Dict[str, str] = field(default_factory=dict)  # values of the pipeline's parameters
    retry_failed: bool = False  # resume a run that succeeded, too, to retry its failed mini-batches
    accept_changed_code: bool = False  # resume a run though its code or settings changed
    code: Dict[str, str] = field(default_factory=dict)  # file of the source -> digest; {}: unknown, see code_uri
    code_uri: str = ""  # location of the source that workers fetch, which the coordinator lists
    runtime: str = ""  # the interpreter or image that runs the script

    def to_json(self) -> str:
        """Return the job as one JSON document that `from_json` reads back."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Job:
        """Read what `to_json` wrote, in this version or an adjacent one. Raises ValueError."""
        return read_text(Job, text)
