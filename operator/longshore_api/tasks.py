"""Steps that one pod or one local process runs: ScriptStep runs a script, TransferStep copies between stores."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from longshore_api.base import Fields, NameRef, Resource, keyed_by
from longshore_api.inputs import ScriptInput
from longshore_api.parallel_run_step import (
    DATASTORES_MAX,
    INPUTS_MAX,
    PRIORITY_MAX,
    PRIORITY_RULE,
    Source,
    StepMetadata,
    StepModel,
)
from longshore_api.registrations import RegisterOnComplete
from longshore_api.task_status import TaskStatus
from longshore_api.values import (
    Argument,
    DatastoreName,
    FilledString,
    Flag,
    FolderPath,
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
    """The name in `$(outputs.NAME)`; unique among the step's outputs."""
    datastore: ResourceName | None = None
    """Datastore that holds the folder; the default one if not given."""
    path: FolderPath | None = None
    """Folder below the Datastore; `{run-id}` and `{output-name}` in it are replaced. longshore/{run-id}/{output-name}
    if not given. Without `{run-id}`, later runs overwrite the files, so no pipeline reuses the step's output."""
    mode: Literal["mount", "upload"] = "mount"
    """`mount` lets the script write in place where possible; `upload` copies its files once it has succeeded."""
    overwrite: Flag = True
    """Whether existing files of the folder may be replaced."""
    register_on_complete: RegisterOnComplete | None = None
    """Registers the folder as a Dataset or Model once the step has succeeded."""


class ScriptStepSpec(Fields):
    """The settings of Azure ML's PythonScriptStep, in camelCase."""

    description: str = ""
    """Free text."""
    source: Source | None = None
    """Folder of the script; in a local run the YAML file's own folder if not given."""
    script_name: FilledString
    """Path of the script below the source folder."""
    arguments: list[Argument] = Field(default_factory=list)
    """The script's command line; `$(inputs.NAME)` and `$(outputs.NAME)` become local paths."""
    inputs: Annotated[list[ScriptInput], Field(max_length=INPUTS_MAX, json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list
    )
    """Data that the script reads."""
    outputs: Annotated[list[ScriptOutput], Field(json_schema_extra=keyed_by("name"))] = Field(default_factory=list)
    """Folders that the script writes."""
    environment: NameRef | None = None
    """Environment; required on clusters. A local run without one uses the interpreter that runs Longshore."""
    environment_variables: Variables = Field(default_factory=dict)
    """Environment variables of the script."""
    params: dict[ParameterName, Argument] = Field(default_factory=dict)
    """Values that the script receives as environment variables AML_PARAMETER_<name>."""
    compute_target: ResourceName | None = None
    """ComputeCluster; required on clusters. A local run uses your machine."""
    models: list[StepModel] = Field(default_factory=list)
    """Models to stage in AZUREML_MODEL_DIR and azureml-models/."""
    datastores: Annotated[list[DatastoreName], Field(max_length=DATASTORES_MAX)] | None = None
    """Datastores that the script may use by name, with their Models, Datasets and files; `["*"]` means all of the
    namespace, or in a local run all of the documents. If not given, those that the step uses."""
    logging_level: Literal["WARNING", "INFO", "DEBUG"] = "INFO"
    """Level of the script's logger."""
    priority: Annotated[int, Whole(-PRIORITY_MAX, PRIORITY_MAX, rule=PRIORITY_RULE)] = 0
    """Clusters only: order in which steps that wait for nodes of a ComputeCluster start, highest first, then oldest."""
    timeout_seconds: Seconds | None = None
    """Time limit of the script; none if not given. In a pipeline, set it beside `script`."""
    cancel: Flag = False
    """Clusters only: ends the step permanently."""
    ttl_seconds_after_finished: Annotated[int, Whole(0)] | None = None
    """Clusters only: time after the step's end until it is deleted; outputs and logs are kept. Never if not given."""

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
    """Script, inputs, outputs and settings."""
    status: TaskStatus | None = None
    """Written by Longshore."""


class TransferSpec(Fields):
    """Source and destination of a copy between stores. The step's only output is called `destination`."""

    source: DataPlace
    """File or folder to copy, with everything below it."""
    destination: DataPlace
    """Location and name of the copy."""
    timeout_seconds: Seconds | None = None
    """Time limit of the copy; none if not given. In a pipeline, set it beside `transfer`."""
    cancel: Flag = False
    """Clusters only: ends the step permanently."""
    ttl_seconds_after_finished: Annotated[int, Whole(0)] | None = None
    """Clusters only: time after the step's end until it is deleted; outputs and logs are kept. Never if not given."""


class TransferStep(Resource):
    """Copies a file or a folder between stores."""

    kind: Literal["TransferStep"]
    """Kind of the resource."""
    metadata: StepMetadata
    """Name, namespace, labels and annotations."""
    spec: TransferSpec
    """Source and destination."""
    status: TaskStatus | None = None
    """Written by Longshore."""
