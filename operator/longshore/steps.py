"""Steps: each runs alone, or as a part of a Pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import PurePath
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from longshore.data import Datastore, Input, Inputs, listed_inputs
from longshore.resource import Decimal, Folder, Integer, InvalidArgument, Resource, Switch, Text, plain
from longshore.resources import ComputeCluster, Environment, Model
from longshore.values import DataPath, Output, Outputs, OutputsField, Parameter, StepOutput

Argument = str | float | PurePath | Parameter | Input | Output
Models = Sequence[str | Model | Mapping[str, Any]]
Source = str | PurePath | Mapping[str, Any]
Variables = Mapping[str, Text]
LoggingLevel = Literal["WARNING", "INFO", "DEBUG"] | Parameter


@dataclass(frozen=True, eq=False)
class Step(Resource):
    """What all steps have: the settings that only a step of a Pipeline has."""

    in_pipeline: ClassVar[str]  # the field of a Pipeline's step that has the step's spec

    name: str
    _: KW_ONLY
    run_after: Sequence[str | Step] | None = None
    allow_reuse: Switch | None = None
    version: Text | None = None
    retries: Integer | None = None
    timeout_seconds: Integer | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the document of the step alone. Raises InvalidArgument for settings of a Pipeline's step."""
        others = self._pipeline_settings()
        if others:
            rule = "is supported in a Pipeline only: pass the step in Pipeline(NAME, [step])"
            raise InvalidArgument(self.subject, [f"{name} {rule}" for name in others])
        return self._document()

    def has_pipeline_settings(self) -> bool:
        """Return whether arguments are given that only a step of a Pipeline has."""
        return bool(self._pipeline_settings())

    def _pipeline_settings(self) -> list[str]:
        own = self.spec_model().model_fields
        names = ("run_after", "allow_reuse", "version", "retries", "timeout_seconds")
        return [name for name in names if name not in own and getattr(self, name) is not None]

    def to_pipeline_step(self) -> dict[str, Any]:
        """Return the step as the document of a Pipeline has it."""
        spec = {key: value for key, value in self.to_spec().items() if key != "timeoutSeconds"}
        after = [each.name if isinstance(each, Step) else each for each in self.run_after or ()]
        settings = {
            "runAfter": after or None,
            "allowReuse": self.allow_reuse,
            "version": self.version,
            "retries": self.retries,
            "timeoutSeconds": self.timeout_seconds,
        }
        given = {key: plain(value) for key, value in settings.items() if value is not None}
        return {"name": self.name, self.in_pipeline: spec, **given}

    def check(self) -> None:
        self.check_document(self._document())

    def _document(self) -> dict[str, Any]:
        return super().to_dict()

    def fields_of(self, model: type[BaseModel], values: Mapping[str, Any] | None = None) -> dict[str, Any]:
        given: dict[str, Any] = {
            "source": _source(self.__dict__.get("source")),
            "models": _models(self.__dict__.get("models")),
            "arguments": _texts(self.__dict__.get("arguments")),
            **{name: _listed(self.__dict__.get(name), self.subject, name) for name in ("inputs", "side_inputs")},
        }
        present = {name: each for name, each in given.items() if each is not None}
        return super().fields_of(model, {**present, **(values or {})})


@dataclass(frozen=True, eq=False)
class ParallelRunStep(Step):
    """Inputs cut into mini-batches, an entry script that runs on each, and the results collected.

    Arguments have the names and the rules of the fields of the kind; those that are None are left out. Any of them may
    be a Parameter. `output_action` is append_row with an output and summary_only without one, unless given.

    Example:
        score = ParallelRunStep(
            "score", "score.py", inputs={"images": FileDataset("images/*.png")}, output="scores", mini_batch_size=5
        )
    """

    kind: ClassVar[str] = "ParallelRunStep"
    in_pipeline: ClassVar[str] = "parallelRun"

    entry_script: Folder
    _: KW_ONLY
    inputs: Inputs
    side_inputs: Inputs | None = None
    output: str | Output | Mapping[str, Any] | None = None
    output_action: Literal["append_row", "summary_only"] | Parameter | None = None
    append_row_file_name: Text | None = None
    description: str | None = None
    models: Models | None = None
    source: Source | None = None
    arguments: Sequence[Argument] | None = None
    environment: str | Environment | Parameter | None = None
    environment_variables: Variables | None = None
    datastores: Sequence[str | Datastore] | None = None
    compute_target: str | ComputeCluster | Parameter | None = None
    node_count: Integer | None = None
    process_count_per_node: Integer | None = None
    max_concurrency_per_process: Integer | None = None
    mini_batch_size: Integer | None = None
    mini_batch: Mapping[Literal["files", "bytes", "rows"], Integer] | None = None
    partition_keys: Sequence[str] | str | Parameter | None = None
    coalesce_small_files: Switch | None = None
    error_threshold: Integer | None = None
    allowed_failed_count: Integer | None = None
    allowed_failed_percent: Decimal | None = None
    failed_items_warning_percent: Decimal | None = None
    run_invocation_timeout_seconds: Integer | None = None
    run_max_try: Integer | None = None
    task_overhead_timeout_seconds: Integer | None = None
    init_timeout_seconds: Integer | None = None
    first_task_creation_timeout_seconds: Integer | None = None
    progress_update_timeout_seconds: Integer | None = None
    storage_timeout_seconds: Integer | None = None
    logging_level: LoggingLevel | None = None
    container_log: Literal["failures", "all", "none"] | Parameter | None = None
    resource_monitor_interval_seconds: Integer | None = None
    profiling_module: Literal["cProfile", "profile"] | Parameter | None = None
    metrics_name_prefix: Text | None = None
    priority: Integer | None = None
    suspend: Switch | None = None
    cancel: Switch | None = None
    resume_from: Text | None = None
    retry_failed: Switch | None = None
    accept_changed_code: Switch | None = None
    ttl_seconds_after_finished: Integer | None = None

    @property
    def outputs(self) -> Outputs:
        """The step's output by name, as input of other steps: `step.outputs["NAME"]`."""
        given = Output(self.output) if isinstance(self.output, str) else self.output
        return Outputs(self.name, () if given is None else (given,))

    def to_spec(self) -> dict[str, Any]:
        action = self.output_action or ("summary_only" if self.output is None else "append_row")
        output = next(iter(self.outputs.declared), None)
        return self.fields_of(self.spec_model(), {"output_action": action, "output": output})

    def check(self) -> None:
        document = self._document()
        # Only steps of a Pipeline read outputs of others; the rules of such an input are those of files.
        inputs = [
            {"file": {"paths": [each["from"]]}, **{key: value for key, value in each.items() if key != "from"}}
            if "from" in each
            else each
            for each in document["spec"]["inputs"]
        ]
        self.check_document({**document, "spec": {**document["spec"], "inputs": inputs}})


@dataclass(frozen=True, eq=False)
class ScriptStep(Step):
    """One script, run once.

    Arguments have the names and the rules of the fields of the kind; those that are None are left out. Any of them may
    be a Parameter.

    Example:
        prepare = ScriptStep("prepare", "prepare.py", outputs=["clean"], arguments=["--to", "$(outputs.clean)"])
        ParallelRunStep("score", "score.py", inputs={"images": prepare.outputs["clean"]}, output="scores")
    """

    kind: ClassVar[str] = "ScriptStep"
    in_pipeline: ClassVar[str] = "script"

    script_name: Folder
    _: KW_ONLY
    inputs: Inputs | None = None
    outputs: OutputsField = OutputsField()  # noqa: RUF009  (a descriptor, which is no default value)
    description: str | None = None
    source: Source | None = None
    arguments: Sequence[Argument] | None = None
    environment: str | Environment | Parameter | None = None
    environment_variables: Variables | None = None
    params: Mapping[str, str | float | Parameter] | None = None
    datastores: Sequence[str | Datastore] | None = None
    compute_target: str | ComputeCluster | Parameter | None = None
    models: Models | None = None
    logging_level: LoggingLevel | None = None
    priority: Integer | None = None
    cancel: Switch | None = None
    ttl_seconds_after_finished: Integer | None = None

    def to_spec(self) -> dict[str, Any]:
        params = None if self.params is None else {name: str(value) for name, value in self.params.items()}
        return self.fields_of(self.spec_model(), {"outputs": self.outputs.declared or None, "params": params})


@dataclass(frozen=True, eq=False)
class TransferStep(Step):
    """A copy of a file or a folder between stores. Its only output is called `destination`.

    Example:
        TransferStep("copy", "gs://bucket/scans", DataPath("copies/scans", "archive"))
    """

    kind: ClassVar[str] = "TransferStep"
    in_pipeline: ClassVar[str] = "transfer"

    source: str | PurePath | DataPath | StepOutput | Parameter | Mapping[str, Any]
    destination: str | PurePath | DataPath | Parameter | Mapping[str, Any]
    _: KW_ONLY
    cancel: Switch | None = None
    ttl_seconds_after_finished: Integer | None = None

    @property
    def outputs(self) -> Outputs:
        """The copy, as input of other steps: `step.outputs["destination"]`."""
        return Outputs(self.name, (Output("destination"),))

    def to_spec(self) -> dict[str, Any]:
        places = {name: _place(self.__dict__[name]) for name in ("source", "destination")}
        return self.fields_of(self.spec_model(), places)


def _place(given: Any) -> Any:
    """Return a location as a TransferStep's document has it: a path alone is in the default Datastore."""
    return {"path": str(given)} if isinstance(given, str | PurePath | StepOutput) else given


def _texts(given: Sequence[Argument] | None) -> list[Any] | None:
    return None if given is None else [each if isinstance(each, Mapping) else str(each) for each in given]


def _listed(given: Inputs | None, subject: str, argument: str) -> list[dict[str, Any]] | None:
    return None if given is None else [each.to_dict() for each in listed_inputs(given, subject, argument)]


def _source(given: Source | None) -> Mapping[str, Any] | None:
    return {"uri": str(given)} if isinstance(given, str | PurePath) else given


def _models(given: Models | None) -> list[Mapping[str, Any]] | None:
    if given is None:
        return None
    return [_model(each) for each in given]


def _model(given: str | Model | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(given, Model):
        return {"name": given.model_name or given.name, **({} if given.version is None else {"version": given.version})}
    return {"name": given} if isinstance(given, str) else given
