"""Tasks: steps that one pod does, or one process here. ScriptStep runs a script, TransferStep copies between stores."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from longshore_api.base import Fields, NameRef, Resource, keyed_by
from longshore_api.inputs import ScriptInput
from longshore_api.parallel_run_step import (
    INPUTS_MAX,
    PRIORITY_MAX,
    PRIORITY_RULE,
    Source,
    StepMetadata,
    StepModel,
)
from longshore_api.task_status import TaskStatus
from longshore_api.values import (
    Argument,
    FilledString,
    Flag,
    ParameterName,
    PortName,
    ResourceName,
    Seconds,
    Variables,
    Whole,
    broken,
)


class DataPlace(Fields):
    """A file or folder in a store."""

    datastore: ResourceName | None = None
    """Datastore that the path is relative to; the default one if not given."""
    path: FilledString
    """File or folder: a full URL, or relative to the Datastore."""


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
    inputs: Annotated[list[ScriptInput], Field(max_length=INPUTS_MAX, json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list
    )
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
    priority: Annotated[int, Whole(-PRIORITY_MAX, PRIORITY_MAX, rule=PRIORITY_RULE)] = 0
    """On a cluster: among the steps that wait for nodes of a ComputeCluster the highest goes first, then the oldest."""
    timeout_seconds: Seconds | None = None
    """Time limit of the script; none if not given. In a pipeline the step has it, beside `script`."""
    cancel: Flag = False
    """On a cluster: ends the step for good."""
    ttl_seconds_after_finished: Annotated[int, Whole(0)] | None = None
    """On a cluster: the step deletes itself this long after its end; outputs and logs stay. Never if not given."""

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
    status: TaskStatus | None = None
    """Written by Longshore."""


class TransferSpec(Fields):
    """Copies a file, or a folder with all below, between stores. Its one output is called `destination`."""

    source: DataPlace
    """What is copied."""
    destination: DataPlace
    """What it is called afterwards."""
    timeout_seconds: Seconds | None = None
    """Time limit of the copy; none if not given. In a pipeline the step has it, beside `transfer`."""
    cancel: Flag = False
    """On a cluster: ends the step for good."""
    ttl_seconds_after_finished: Annotated[int, Whole(0)] | None = None
    """On a cluster: the step deletes itself this long after its end; outputs and logs stay. Never if not given."""


class TransferStep(Resource):
    """Copies a file or a folder between stores."""

    kind: Literal["TransferStep"]
    """Kind of the resource."""
    metadata: StepMetadata
    """Name, namespace, labels and annotations."""
    spec: TransferSpec
    """What to copy, and where to."""
    status: TaskStatus | None = None
    """Written by Longshore."""
