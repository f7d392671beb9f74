"""Pipeline, PipelineRun and ScriptStep: steps joined by data, with typed parameters.

What a Pipeline says about a step is checked twice: as it is written, when any value may be `$(parameters.NAME)`, and
again once the parameters are filled in, by the models of the steps themselves. The planner does the second.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from longshore_api.base import Fields, NameRef, Resource, keyed_by
from longshore_api.data import FileDataset
from longshore_api.parallel_run_step import Source, StepMetadata, StepModel
from longshore_api.pipeline_status import PipelineRunStatus
from longshore_api.values import (
    Argument,
    FilledString,
    Flag,
    FreeForm,
    ParameterName,
    PortName,
    ResourceName,
    Seconds,
    StepName,
    Variables,
    Whole,
    broken,
)

STEPS_MAX = 1000
KINDS_OF_STEPS = ("parallelRun", "script", "transfer")

_PARAMETER = re.compile(r"\$\(parameters\.[^()]*\)")


def _typed_or_reference(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(value, str) and _PARAMETER.fullmatch(value) else handler(value)


OrReference = WrapValidator(_typed_or_reference)  # a value, or a parameter that is filled in before the value is used


class PipelineParameter(Fields):
    """A value that is given when the pipeline is run."""

    name: ParameterName
    """What `$(parameters.NAME)` calls it."""
    type: Literal["string", "integer", "number", "boolean", "dataset", "datapath"]
    """What values it takes: `dataset` is the name of a Dataset, `datapath` a place: a URL, a path in the default
    Datastore, or a mapping of `datastore` and `path`."""
    default: Any = None
    """Taken where no value is given; without one a value is required."""
    description: str = ""
    """Free text."""


class DataPlace(Fields):
    """A file or folder in a store."""

    datastore: ResourceName | None = None
    """Datastore that the path is relative to; the default one if not given."""
    path: FilledString
    """File or folder: a full URL, or relative to the Datastore."""


class ScriptInput(Fields):
    """Data that the script finds under a path of its machine; exactly one of `dataset`, `file` and `from`."""

    name: PortName
    """What `$(inputs.NAME)` calls it; unique among the step's inputs."""
    dataset: ResourceName | None = None
    """Name of a Dataset."""
    file: FileDataset | None = None
    """Files, described in place."""
    from_: Annotated[FilledString | None, Field(alias="from")] = None
    """Output of an earlier step: `$(steps.STEP.outputs.NAME)`."""
    mode: Literal["mount", "download"] = "mount"
    """Whether the script reads the data where it is, if that can be, or always a copy."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(each is not None for each in (self.dataset, self.file, self.from_)) != 1:
            raise broken("must have exactly one of dataset, file and from")
        return self


class ScriptOutput(Fields):
    """A folder that exists when the script starts."""

    name: PortName
    """What `$(outputs.NAME)` calls it; unique among the step's outputs."""
    datastore: ResourceName | None = None
    """Datastore that holds the folder; the default one if not given."""
    mode: Literal["mount", "upload"] = "mount"
    """Whether the script writes in place, if that can be, or what it wrote is copied there once it has succeeded."""
    overwrite: Flag = True
    """Whether files of the folder may be replaced."""


class ScriptStepSpec(Fields):
    """The settings of Azure ML's PythonScriptStep, in camelCase."""

    description: str = ""
    """Free text."""
    source: Source | None = None
    """Folder of the script; in a local run the YAML file's own folder if not given."""
    script_name: FilledString
    """Path of the script below the source folder."""
    arguments: list[Argument] = Field(default_factory=list)
    """The script's command line; `$(inputs.NAME)` and `$(outputs.NAME)` become paths of its machine."""
    inputs: Annotated[list[ScriptInput], Field(json_schema_extra=keyed_by("name"))] = Field(default_factory=list)
    """Data that the script reads."""
    outputs: Annotated[list[ScriptOutput], Field(json_schema_extra=keyed_by("name"))] = Field(default_factory=list)
    """Folders that the script writes."""
    environment: NameRef | None = None
    """Environment; a local run without one takes the interpreter that runs Longshore."""
    environment_variables: Variables = Field(default_factory=dict)
    """Environment variables of the script."""
    params: dict[ParameterName, Argument] = Field(default_factory=dict)
    """Handed to the script as environment variables AML_PARAMETER_<name>."""
    compute_target: ResourceName | None = None
    """ComputeCluster; a local run takes this machine."""
    models: list[StepModel] = Field(default_factory=list)
    """Models to lay out under AZUREML_MODEL_DIR and azureml-models/."""
    logging_level: Literal["WARNING", "INFO", "DEBUG"] = "INFO"
    """Level of the script's logger."""

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        if self.script_name.startswith("/") or ".." in self.script_name.split("/"):
            raise broken("must be a path below the source folder", field="scriptName")
        for field, names in (("inputs", [i.name for i in self.inputs]), ("outputs", [o.name for o in self.outputs])):
            for index, name in enumerate(names):
                if name in names[:index]:
                    raise broken(
                        f"has the name {name!r}, as has {field}[{names.index(name)}]", field=f"{field}[{index}]"
                    )
        return self


class ScriptStep(Resource):
    """Runs one script."""

    kind: Literal["ScriptStep"]
    """Kind of the resource."""
    metadata: StepMetadata
    """Name, namespace, labels and annotations."""
    spec: ScriptStepSpec
    """What to run, on what."""


class TransferSpec(Fields):
    """Copies a file, or a folder with all below, between stores. Its one output is called `destination`."""

    source: DataPlace
    """What is copied."""
    destination: DataPlace
    """What it is called afterwards."""


class PipelineStep(Fields):
    """One step: exactly one of `parallelRun`, `script` and `transfer`. Any value may be `$(parameters.NAME)`."""

    name: StepName
    """Unique among the pipeline's steps."""
    parallel_run: FreeForm | None = None
    """The spec of a ParallelRunStep, whose inputs may also be outputs of other steps (`from`)."""
    script: FreeForm | None = None
    """The spec of a ScriptStep."""
    transfer: FreeForm | None = None
    """`source` and `destination` of a copy between stores."""
    run_after: list[StepName] = Field(default_factory=list)
    """Steps that must have succeeded before, besides those whose outputs are read."""
    allow_reuse: Annotated[Flag, OrReference] = True
    """Whether the outputs of an earlier run that had the same code, arguments, inputs and settings may be taken."""
    version: Annotated[Argument, OrReference] = ""
    """Label that you change when the step is to run again though nothing else changed."""
    retries: Annotated[int, Whole(0), OrReference] = 0
    """Further attempts when one fails."""
    timeout_seconds: Annotated[Seconds, OrReference] | None = None
    """Time limit of one attempt."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(each is not None for each in (self.parallel_run, self.script, self.transfer)) != 1:
            raise broken("must have exactly one of parallelRun, script and transfer")
        return self


class PipelineSpec(Fields):
    """Parameters and steps; the order follows from which step reads what, and from `runAfter`."""

    description: str = ""
    """Free text."""
    parameters: Annotated[list[PipelineParameter], Field(json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list
    )
    """Values that are given when the pipeline is run."""
    steps: Annotated[list[PipelineStep], Field(min_length=1, max_length=STEPS_MAX, json_schema_extra=keyed_by("name"))]
    """The steps, in any order."""


class Pipeline(Resource):
    """A template of steps, to be run by PipelineRuns or by `longshore run`."""

    kind: Literal["Pipeline"]
    """Kind of the resource."""
    spec: PipelineSpec
    """Parameters and steps."""


class PipelineRunSpec(Fields):
    """Which pipeline is run, with which values; exactly one of `pipelineRef` and `pipelineSpec`."""

    pipeline_ref: NameRef | None = None
    """Pipeline to run."""
    pipeline_spec: PipelineSpec | None = None
    """The pipeline, described in place."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Values of the pipeline's parameters, by name."""
    continue_on_step_failure: Flag = False
    """Whether steps that do not depend on a failed one are still started."""
    regenerate_outputs: Flag = False
    """Whether every step runs, even where an earlier run's outputs could be taken."""
    content_fingerprint: Flag = False
    """Whether new content (sizes, times, etags) under an input's old path keeps a step from being reused."""
    cancel: Flag = False
    """Ends the run for good."""
    suspend: Flag = False
    """Starts nothing more; the run goes on once this is false again."""
    retry_of: ResourceName | None = None
    """On a cluster: a PipelineRun that has failed; its succeeded steps and committed mini-batches are kept."""
    ttl_seconds_after_finished: Annotated[int, Whole(0)] | None = None
    """On a cluster: the run deletes itself this long after its end; outputs and logs stay. Never if not given."""

    @model_validator(mode="after")
    def _one_pipeline(self) -> Self:
        if (self.pipeline_ref is None) == (self.pipeline_spec is None):
            raise broken("must have exactly one of pipelineRef and pipelineSpec")
        return self


class PipelineRun(Resource):
    """One execution of a pipeline."""

    kind: Literal["PipelineRun"]
    """Kind of the resource."""
    spec: PipelineRunSpec
    """Which pipeline, with which values."""
    status: PipelineRunStatus | None = None
    """Written by Longshore."""
