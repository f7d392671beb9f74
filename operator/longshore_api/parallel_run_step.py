"""ParallelRunStep: inputs cut into mini-batches, an entry script run on each, results collected."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.alias_generators import to_camel

from longshore_api.base import Fields, Metadata, NameRef, Resource, keyed_by
from longshore_api.data import FileDataset, TabularDataset
from longshore_api.inputs import ScriptInput
from longshore_api.status import ParallelRunStepStatus
from longshore_api.values import (
    TIMEOUT_MAX,
    Argument,
    FileName,
    FilledString,
    Flag,
    KeyNames,
    Number,
    PartitionFormatText,
    PortName,
    ProcessCount,
    ResourceName,
    Seconds,
    Separator,
    Size,
    StepResourceName,
    Variables,
    Whole,
    broken,
)

INPUTS_MAX, SIDE_INPUTS_MAX = 256, 32  # bound what it costs an API server to check the rules of each
PRIORITY_MAX = 1_000_000
PRIORITY_RULE = f"must be a whole number from {-PRIORITY_MAX} to {PRIORITY_MAX}"
SEPARATED = ("text", "csv", "tsv")  # output formats with a separator and a header line


class StepInput(Fields):
    """One input of mini-batches: a Dataset by name, or described in place."""

    name: PortName
    """Unique among the step's inputs and its output."""
    dataset: ResourceName | None = None
    """Name of a Dataset."""
    file: FileDataset | None = None
    """Files, described in place."""
    tabular: TabularDataset | None = None
    """Rows, described in place."""
    mode: Literal["mount", "download", "direct"] | None = None
    """How data reaches the script: `mount` or `download` for files (`mount` if not given), `direct` for rows."""
    partition_format: PartitionFormatText | None = None
    """What the end of each path says, in the place of the data's own `partitionFormat`."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(each is not None for each in (self.dataset, self.file, self.tabular)) != 1:
            raise broken("must have exactly one of dataset, file and tabular")
        return self


class StepOutput(Fields):
    """The output folder, and how `append_row` writes rows."""

    name: PortName
    """Name of the folder; unique among the step's inputs and its output."""
    datastore: ResourceName | None = None
    """Datastore that holds the folder; the default one if not given."""
    format: Literal["text", "csv", "tsv", "jsonl", "parquet"] = "text"
    """Format of the rows; `text` is Azure ML's own: one element per line, fields separated by spaces."""
    header: Flag = False
    """Whether the columns' names are written, once, as first line (text, csv, tsv)."""
    separator: Separator | None = None
    """Character between fields; if not given a space (text), a comma (csv) or a tab (tsv)."""

    @model_validator(mode="after")
    def _format_agrees(self) -> Self:
        if self.name in ("state", "logs"):
            raise broken("must be another name: the run keeps its own files in state and logs", field="name")
        if self.format not in SEPARATED and self.separator is not None:
            raise broken(f"must be left out with format {self.format}", field="separator")
        if self.format not in SEPARATED and self.header:
            raise broken(f"must be left out with format {self.format}, which names its columns anyway", field="header")
        return self


class Source(Fields):
    """The folder with the entry script and all that it imports; exactly one of the fields."""

    uri: FilledString | None = None
    """Folder or .zip: a URL; on a cluster also pvc:CLAIM/FOLDER in a Datastore, in a local run a path relative to the
    YAML file."""
    config_map: ResourceName | None = None
    """ConfigMap whose keys are the files."""
    image: FilledString | None = None
    """Absolute path of a folder inside the environment's image."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(each is not None for each in (self.uri, self.config_map, self.image)) != 1:
            raise broken("must have exactly one of uri, configMap and image")
        return self


class MiniBatch(Fields):
    """The size of a mini-batch with its unit; exactly one of the fields."""

    files: Annotated[int, Whole(1)] | None = None
    """Files (file inputs)."""
    bytes: Size | None = None
    """Source data in bytes, such as 1024, 1024KB, 10MB or 1GB (tabular inputs)."""
    rows: Annotated[int, Whole(1)] | None = None
    """Rows (tabular inputs); of format sql 10,000 if not given."""

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if sum(each is not None for each in (self.files, self.bytes, self.rows)) != 1:
            raise broken("must have exactly one of files, bytes and rows")
        return self


class StepModel(Fields):
    """A Model that the script may ask for."""

    name: PortName
    """The model's name (`spec.name` of a Model), or the name of the Model resource."""
    version: Annotated[int, Whole(1)] | None = None
    """The highest one if not given."""


class ParallelRunStepSpec(Fields):
    """The settings of Azure ML's ParallelRunConfig and ParallelRunStep, in camelCase, times with their unit."""

    description: str = ""
    """Free text."""
    inputs: Annotated[list[StepInput], Field(min_length=1, max_length=INPUTS_MAX, json_schema_extra=keyed_by("name"))]
    """Worked off one after another; all of one kind, files or rows. A mini-batch never mixes inputs."""
    side_inputs: Annotated[list[ScriptInput], Field(max_length=SIDE_INPUTS_MAX, json_schema_extra=keyed_by("name"))] = (
        Field(default_factory=list)
    )
    """Data that every worker has whole, under a path, before init(); `$(inputs.NAME)` in arguments is that path."""
    output: StepOutput | None = None
    """Required with `append_row`."""
    models: list[StepModel] = Field(default_factory=list)
    """Models to lay out under AZUREML_MODEL_DIR and azureml-models/."""
    source: Source | None = None
    """Folder of the entry script; in a local run the YAML file's own folder if not given."""
    entry_script: FilledString
    """Path of the script below the source folder; it defines `run(mini_batch)`, and `init()` if it needs to."""
    arguments: list[Argument] = Field(default_factory=list)
    """The script's command line; numbers and booleans become strings."""
    environment: NameRef | None = None
    """Environment; a cluster needs one, a local run without one takes the interpreter that runs Longshore."""
    environment_variables: Variables = Field(default_factory=dict)
    """Environment variables of the entry script's process."""
    compute_target: ResourceName | None = None
    """ComputeCluster; a local run without one takes this machine."""
    node_count: Annotated[int, Whole(1)] = 1
    """Workers."""
    process_count_per_node: ProcessCount = 1
    """Processes per worker; `auto` means one per processor core, or per GPU where the node has them."""
    max_concurrency_per_process: Annotated[int, Whole(1)] = 16
    """Mini-batches that a process works on at once, where the entry script is asynchronous; any other takes one."""
    mini_batch_size: Size | None = None
    """Files (file inputs, 10 if not given) or bytes such as 1024, 1024KB, 10MB or 1GB (tabular inputs, 1MB if not
    given); not together with `miniBatch`, and not for format sql, whose mini-batches have `miniBatch.rows`."""
    mini_batch: MiniBatch | None = None
    """The size of a mini-batch with its unit; not together with `miniBatchSize`."""
    partition_keys: KeyNames | None = None
    """Each combination of their values that exists is one mini-batch: names in the `partitionFormat` of every input, or
    columns of rows. Not together with `miniBatchSize` or `miniBatch`."""
    coalesce_small_files: Flag = False
    """Whether a mini-batch may hold the rows of several files, up to its size (tabular inputs)."""
    output_action: Literal["append_row", "summary_only"]
    """`append_row` collects what run() returns into one file; `summary_only` counts it."""
    append_row_file_name: FileName = "parallel_run_step.txt"
    """Name of that file in the output folder; without meaning under `summary_only`."""
    error_threshold: Annotated[int, Whole(-1, rule="must be -1 (ignore errors) or more")] = -1
    """Failed items above which the step fails; -1 ignores them."""
    allowed_failed_count: Annotated[int, Whole(-1, rule="must be -1 (no limit) or more")] = -1
    """Failed mini-batches above which the step fails; -1 is no limit."""
    allowed_failed_percent: Annotated[float, Number(0, 100)] | None = None
    """Failed mini-batches, in percent of all, above which the step fails; checked once all are known."""
    failed_items_warning_percent: Annotated[float, Number(0, 100)] = 10
    """Failed items, in percent of all, above which a step that succeeds has the reason SucceededWithFailures. A local
    run then ends with exit code 3, unless one of the three thresholds is given; 100 switches the warning off."""
    run_invocation_timeout_seconds: Seconds = 60
    """Time limit of one call of run()."""
    run_max_try: Annotated[int, Whole(1)] = 3
    """Tries of a mini-batch, the first one included."""
    task_overhead_timeout_seconds: Seconds = 30
    """Time limit of loading a mini-batch and handing over its result."""
    init_timeout_seconds: Seconds = 600
    """Time limit of importing the script and init()."""
    first_task_creation_timeout_seconds: Seconds | None = None
    """Time within which the first mini-batch must be cut; if not given, the step fails when listing its inputs makes no
    progress for 600 seconds before that."""
    progress_update_timeout_seconds: Seconds | None = None
    """The step fails when no mini-batch ends for this long; if not given three times the sum of
    `runInvocationTimeoutSeconds` and `taskOverheadTimeoutSeconds`."""
    storage_timeout_seconds: Seconds = 600
    """How long a step waits for a store or disk that fails before it ends as StorageError or InputError; no mini-batch
    loses a try meanwhile."""
    logging_level: Literal["WARNING", "INFO", "DEBUG"] = "INFO"
    """Level of the entry script's logger."""
    resource_monitor_interval_seconds: Annotated[
        int,
        Whole(0, TIMEOUT_MAX, rule=f"must be 0 (off) or a whole number of seconds up to {TIMEOUT_MAX} (three days)"),
    ] = 600
    """How often processor and memory use are sampled; 0 is never."""
    profiling_module: Literal["cProfile", "profile"] | None = None
    """Profile each process with this module of Python."""
    metrics_name_prefix: str = ""
    """Put before the names of metrics."""
    priority: Annotated[int, Whole(-PRIORITY_MAX, PRIORITY_MAX, rule=PRIORITY_RULE)] = 0
    """On a cluster: among the steps that wait for nodes of a ComputeCluster the highest goes first, then the oldest."""
    suspend: Flag = False
    """On a cluster: ends the pods and keeps what is committed; the step goes on once this is false again."""
    cancel: Flag = False
    """On a cluster: ends the step for good and keeps what is committed, for another one's `resumeFrom`."""
    resume_from: StepResourceName | None = None
    """On a cluster: a ParallelRunStep that has ended; what it committed is not done again."""
    retry_failed: Flag = False
    """On a cluster, with `resumeFrom`: also where that step has succeeded, its failed mini-batches are run again, and
    their rows take their places in its output."""
    accept_changed_code: Flag = False
    """On a cluster, with `resumeFrom`: the step goes on though its code or settings are not those of the rows that are
    committed; the report says which mini-batches ran with which."""
    ttl_seconds_after_finished: Annotated[int, Whole(0)] | None = None
    """On a cluster: the step deletes itself this long after its end; output and logs stay. Never if not given."""

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        if self.mini_batch is not None and self.mini_batch_size is not None:
            raise broken("must be left out when miniBatchSize is given", field="miniBatch")
        if self.partition_keys is not None:
            for name in ("mini_batch_size", "mini_batch"):
                if getattr(self, name) is not None:
                    raise broken("must be left out when partitionKeys is given", field=to_camel(name))
            if self.coalesce_small_files:
                raise broken("must be left out when partitionKeys is given", field="coalesceSmallFiles")
        if self.output_action == "append_row" and self.output is None:
            raise broken("is missing: outputAction append_row needs an output", field="output")
        for name in ("retry_failed", "accept_changed_code"):
            if getattr(self, name) and self.resume_from is None:
                raise broken("must be left out without resumeFrom", field=to_camel(name))
        folders = self.entry_script.split("/")
        if self.entry_script.startswith("/") or ".." in folders or not self.entry_script.endswith(".py"):
            raise broken("must be the path of a .py file below the source folder", field="entryScript")
        names = [each.name for each in self.inputs] + ([self.output.name] if self.output else [])
        _check_names(names, "inputs")
        _check_names([*names, *(each.name for each in self.side_inputs)], "sideInputs")
        return self


def _check_names(names: list[str], field: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise broken(f"must have names of their own: {name!r} is used twice", field=field)


class StepMetadata(Metadata):
    """Metadata of a step, after whose name its pods and services are called."""

    name: StepResourceName
    """At most 51 lower-case letters, digits and dashes."""


class ParallelRunStep(Resource):
    """Runs an entry script on every mini-batch of its inputs, in parallel."""

    kind: Literal["ParallelRunStep"]
    """Kind of the resource."""
    metadata: StepMetadata
    """Name, namespace, labels and annotations."""
    spec: ParallelRunStepSpec
    """What to run, on what, how."""
    status: ParallelRunStepStatus | None = None
    """Written by Longshore."""
