"""ParallelRunStep: inputs cut into mini-batches, an entry script run on each, results collected."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.alias_generators import to_camel

from longshore_api.base import Fields, Metadata, NameRef, Resource, keyed_by
from longshore_api.data import FileDataset, TabularDataset
from longshore_api.inputs import ScriptInput
from longshore_api.registrations import RegisterOnComplete
from longshore_api.status import ParallelRunStepStatus
from longshore_api.values import (
    TIMEOUT_MAX,
    Argument,
    AssetName,
    DatastoreName,
    FileName,
    FilledString,
    Flag,
    FolderPath,
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

INPUTS_MAX, SIDE_INPUTS_MAX = 256, 32  # bound the API server's cost of checking the rules of each
DATASTORES_MAX = 256  # the same
PRIORITY_MAX = 1_000_000
PRIORITY_RULE = f"must be a whole number from {-PRIORITY_MAX} to {PRIORITY_MAX}"
SEPARATED = ("text", "csv", "tsv")  # output formats with a separator and a header line


class StepInput(Fields):
    """One input of mini-batches: a Dataset by name, or described in place."""

    name: PortName
    """Unique among the step's inputs and its output."""
    dataset: AssetName | None = None
    """Name of a Dataset: its `spec.name`, of which the highest version counts, or the name of the resource."""
    file: FileDataset | None = None
    """Files, described in place."""
    tabular: TabularDataset | None = None
    """Rows, described in place."""
    mode: Literal["mount", "download", "direct"] | None = None
    """How the script receives the data: `mount` or `download` for files (`mount` if not given), `direct` for rows."""
    partition_format: PartitionFormatText | None = None
    """Pattern of the end of each path; replaces the `partitionFormat` of the data."""

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
    path: FolderPath | None = None
    """Folder below the Datastore; `{run-id}` and `{output-name}` in it are replaced. longshore/{run-id}/{output-name}
    if not given. Without `{run-id}`, later runs overwrite the files, so no pipeline reuses the step's output."""
    format: Literal["text", "csv", "tsv", "jsonl", "parquet"] = "text"
    """Format of the rows; `text` is Azure ML's own: one element per line, fields separated by spaces."""
    header: Flag = False
    """Whether the columns' names are written, once, as first line (text, csv, tsv)."""
    separator: Separator | None = None
    """Character between fields; if not given a space (text), a comma (csv) or a tab (tsv)."""
    register_on_complete: RegisterOnComplete | None = None
    """Registers the folder as a Dataset or Model once the step has succeeded."""

    @model_validator(mode="after")
    def _format_agrees(self) -> Self:
        if self.name in ("state", "logs"):
            raise broken("must be another name: state and logs hold the run's own files", field="name")
        if self.format not in SEPARATED and self.separator is not None:
            raise broken(f"must be left out with format {self.format}", field="separator")
        if self.format not in SEPARATED and self.header:
            raise broken(f"must be left out with format {self.format}, which names its columns anyway", field="header")
        return self


class Source(Fields):
    """The folder with the entry script and all that it imports; exactly one of the fields."""

    uri: FilledString | None = None
    """URL of a folder or .zip; on clusters also pvc:CLAIM/FOLDER in a Datastore, in local runs also a path relative to
    the YAML file."""
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
    """Rows (tabular inputs); 10,000 for format sql if not given."""

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if sum(each is not None for each in (self.files, self.bytes, self.rows)) != 1:
            raise broken("must have exactly one of files, bytes and rows")
        return self


class StepModel(Fields):
    """A Model that the script may ask for."""

    name: AssetName
    """The model's name (`spec.name` of a Model), or the name of the Model resource."""
    version: Annotated[int, Whole(1)] | None = None
    """The highest one if not given."""


class ParallelRunStepSpec(Fields):
    """The settings of Azure ML's ParallelRunConfig and ParallelRunStep, in camelCase, times with their unit."""

    description: str = ""
    """Free text."""
    inputs: Annotated[list[StepInput], Field(min_length=1, max_length=INPUTS_MAX, json_schema_extra=keyed_by("name"))]
    """Processed one after another; all of one kind, files or rows. A mini-batch never mixes inputs."""
    side_inputs: Annotated[list[ScriptInput], Field(max_length=SIDE_INPUTS_MAX, json_schema_extra=keyed_by("name"))] = (
        Field(default_factory=list)
    )
    """Data that every worker stages before init(); `$(inputs.NAME)` in arguments is its local path."""
    output: StepOutput | None = None
    """Required with `append_row`."""
    models: list[StepModel] = Field(default_factory=list)
    """Models to stage in AZUREML_MODEL_DIR and azureml-models/."""
    datastores: Annotated[list[DatastoreName], Field(max_length=DATASTORES_MAX)] | None = None
    """Datastores that the script may use by name, with their Models, Datasets and files; `["*"]` means all of the
    namespace, or in a local run all of the documents. If not given, those that the step uses."""
    source: Source | None = None
    """Folder of the entry script; in a local run the YAML file's own folder if not given."""
    entry_script: FilledString
    """Path of the script below the source folder; it defines `run(mini_batch)` and, if needed, `init()`."""
    arguments: list[Argument] = Field(default_factory=list)
    """The script's command line; numbers and booleans become strings."""
    environment: NameRef | None = None
    """Environment; required on clusters. A local run without one uses the interpreter that runs Longshore."""
    environment_variables: Variables = Field(default_factory=dict)
    """Environment variables of the entry script's process."""
    compute_target: ResourceName | None = None
    """ComputeCluster; required on clusters. A local run without one uses your machine."""
    node_count: Annotated[int, Whole(1)] = 1
    """Number of workers."""
    process_count_per_node: ProcessCount = 1
    """Processes per worker; `auto` means one per processor core, or per GPU where the node has them."""
    max_concurrency_per_process: Annotated[int, Whole(1)] = 16
    """Mini-batches that a process runs concurrently if the entry script is asynchronous; other scripts run one."""
    mini_batch_size: Size | None = None
    """Files (file inputs, 10 if not given) or bytes such as 1024, 1024KB, 10MB or 1GB (tabular inputs, 1MB if not
    given). Not together with `miniBatch`, and not for format sql, which uses `miniBatch.rows`."""
    mini_batch: MiniBatch | None = None
    """The size of a mini-batch with its unit; not together with `miniBatchSize`."""
    partition_keys: KeyNames | None = None
    """Names in the `partitionFormat` of every input, or columns of rows: each combination of their values is one
    mini-batch. Not together with `miniBatchSize` or `miniBatch`."""
    coalesce_small_files: Flag = False
    """Whether a mini-batch may hold the rows of several files, up to its size (tabular inputs)."""
    output_action: Literal["append_row", "summary_only"]
    """`append_row` collects what run() returns into one file; `summary_only` counts it."""
    append_row_file_name: FileName = "parallel_run_step.txt"
    """Name of that file in the output folder; ignored with `summary_only`."""
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
    """Time limit of loading a mini-batch and of returning its result."""
    init_timeout_seconds: Seconds = 600
    """Time limit of importing the script and init()."""
    first_task_creation_timeout_seconds: Seconds | None = None
    """Time limit until the first mini-batch is created. If not given, the step fails when listing its inputs makes no
    progress for 600 seconds before that."""
    progress_update_timeout_seconds: Seconds | None = None
    """Time without a finished mini-batch after which the step fails. If not given, three times the sum of
    `runInvocationTimeoutSeconds` and `taskOverheadTimeoutSeconds`."""
    storage_timeout_seconds: Seconds = 600
    """Time for which failing calls of a store or disk are retried before the step fails with StorageError or
    InputError. These retries do not count against `runMaxTry`."""
    logging_level: Literal["WARNING", "INFO", "DEBUG"] = "INFO"
    """Level of the entry script's logger."""
    container_log: Literal["failures", "all", "none"] = "failures"
    """Clusters only: what the logs of workers' containers get of the script, at most 20 lines a second and process:
    `failures` for errors and warnings, `all` for everything that its Python code prints, too."""
    resource_monitor_interval_seconds: Annotated[
        int,
        Whole(0, TIMEOUT_MAX, rule=f"must be 0 (off) or a whole number of seconds up to {TIMEOUT_MAX} (three days)"),
    ] = 600
    """Interval at which processor and memory use are sampled; 0 switches sampling off."""
    profiling_module: Literal["cProfile", "profile"] | None = None
    """Python module that profiles each process; none if not given."""
    metrics_name_prefix: str = ""
    """Prefix of the names of metrics."""
    priority: Annotated[int, Whole(-PRIORITY_MAX, PRIORITY_MAX, rule=PRIORITY_RULE)] = 0
    """Clusters only: order in which steps that wait for nodes of a ComputeCluster start, highest first, then oldest."""
    suspend: Flag = False
    """Clusters only: deletes the pods and keeps the committed results; the step continues once this is false again."""
    cancel: Flag = False
    """Clusters only: ends the step permanently; another step can continue its committed results with `resumeFrom`."""
    resume_from: StepResourceName | None = None
    """Clusters only: a finished ParallelRunStep to continue; its committed mini-batches are not run again."""
    retry_failed: Flag = False
    """Clusters only, with `resumeFrom`: runs the failed mini-batches again, even if that step succeeded, and inserts
    their rows in order into the output."""
    accept_changed_code: Flag = False
    """Clusters only, with `resumeFrom`: continues although code or settings differ from those of the committed rows;
    the report lists which mini-batches ran with which."""
    ttl_seconds_after_finished: Annotated[int, Whole(0)] | None = None
    """Clusters only: time after the step's end until it is deleted; output and logs are kept. Never if not given."""

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
            raise broken(f"must have unique names: {name!r} is used twice", field=field)


class StepMetadata(Metadata):
    """Metadata of a step; the names of its pods and services begin with the step's name."""

    name: StepResourceName
    """At most 51 lower-case letters, digits and dashes."""


class ParallelRunStep(Resource):
    """Runs an entry script on every mini-batch of its inputs, in parallel."""

    kind: Literal["ParallelRunStep"]
    """Kind of the resource."""
    metadata: StepMetadata
    """Name, namespace, labels and annotations."""
    spec: ParallelRunStepSpec
    """Entry script, inputs, outputs and settings."""
    status: ParallelRunStepStatus | None = None
    """Written by Longshore."""
