"""Published pipelines and endpoints: pipelines kept in the workspace with copies of their code."""

from __future__ import annotations

import hashlib
import html
import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

import longshore
from longshore.documents import from_document
from longshore_azureml.building import Built
from longshore_azureml.dataset_factories import from_record
from longshore_azureml.datasets import AbstractDataset
from longshore_azureml.datastores import DataPath, Datastore
from longshore_azureml.errors import ErrorResponseException, UserErrorException
from longshore_azureml.keywords import checked
from longshore_azureml.names import digest
from longshore_azureml.parameters import PipelineParameter
from longshore_azureml.unsupported import Supported
from longshore_storage.source_files import source_files

if TYPE_CHECKING:
    from longshore_azureml.runs import PipelineRun
    from longshore_azureml.workspace import Workspace

_ACTIVE, _DISABLED = "Active", "Disabled"


def to_record(built: Built) -> dict[str, Any]:
    """Return everything that a later process needs to run a pipeline."""
    return {
        "documents": built.pipeline.to_yaml(),
        "steps": dict(built.steps),
        "outputs": {step: dict(names) for step, names in built.outputs.items()},
        "parameters": {name: _default(each.default_value) for name, each in built.parameters.items()},
    }


def _from_record(workspace: Workspace, record: Mapping[str, Any]) -> tuple[Built, longshore.Documents]:
    folder = os.path.dirname(workspace.folder)
    documents = [from_document(each, folder=folder) for each in yaml.safe_load_all(record["documents"])]
    pipeline = next(each for each in documents if isinstance(each, longshore.Pipeline))
    parameters = {
        name: PipelineParameter(name, _from_default(workspace, each)) for name, each in record["parameters"].items()
    }
    built = Built(pipeline, record["steps"], record["outputs"], parameters, {})
    return built, longshore.Documents(documents)


def _default(value: Any) -> Any:
    if isinstance(value, AbstractDataset):
        return {"dataset": value.to_record()}
    if isinstance(value, DataPath):
        return {"path": {"datastore": value.datastore_name, "path": value.path_on_datastore}}
    return {"value": value}


def _from_default(workspace: Workspace, record: Mapping[str, Any]) -> Any:
    if "dataset" in record:
        return from_record(workspace, record["dataset"])
    if "path" in record:
        name = record["path"]["datastore"]
        return DataPath(None if name is None else Datastore.get(workspace, name), record["path"]["path"])
    return record["value"]


@checked
class PublishedPipeline(Supported):
    """A pipeline that is kept in the workspace under an id, with copies of its source folders."""

    def __init__(self, workspace: Workspace, id: str) -> None:
        record = workspace.records("published").get(id)
        if record is None:
            raise ErrorResponseException(f'Published pipeline "{id}" does not exist in workspace "{workspace.name}".')
        self.workspace = workspace
        self.id = id
        self.name: str = record["name"]
        self.description: str | None = record["description"]
        self.version: str | None = record["version"]
        self._record = record

    def __repr__(self) -> str:
        return f"Pipeline(Name: {self.name},\nId: {self.id},\nStatus: {self.status},\nEndpoint: {self.endpoint})"

    def _repr_html_(self) -> str:
        return _table({"Name": self.name, "Id": self.id, "Status": self.status, "Endpoint": self.endpoint})

    @property
    def status(self) -> str:
        """Active or Disabled."""
        return str(self.workspace.records("published")[self.id]["status"])

    @property
    def endpoint(self) -> str:
        """The URL that starts a run when it is posted to; a server in this process answers it."""
        from longshore_azureml.endpoint_server import url_of

        return url_of(self.workspace, "pipelines", self.id)

    @staticmethod
    def list(workspace: Workspace, active_only: bool = True, _service_endpoint: Any = None) -> Sequence[Any]:
        """Return the published pipelines, the latest first; with disabled ones unless `active_only`."""
        records = workspace.records("published")
        latest = sorted(records, key=lambda each: -records[each]["number"])
        wanted = [each for each in latest if not active_only or records[each]["status"] == _ACTIVE]
        return [PublishedPipeline(workspace, each) for each in wanted]

    @staticmethod
    def get(workspace: Workspace, id: str, _service_endpoint: Any = None) -> PublishedPipeline:
        """Return a published pipeline by its id. Raises ErrorResponseException if there is none."""
        return PublishedPipeline(workspace, id)

    def disable(self) -> None:
        """Refuse further runs, and leave the pipeline out of lists."""
        self._set_status(_DISABLED)

    def enable(self) -> None:
        """Accept runs again."""
        self._set_status(_ACTIVE)

    def _set_status(self, status: str) -> None:
        records = self.workspace.records("published")
        records.put(self.id, {**records[self.id], "status": status})

    def submit(
        self,
        workspace: Workspace,
        experiment_name: str,
        pipeline_parameters: Mapping[str, Any] | None = None,
        _workflow_provider: Any = None,
        _service_endpoint: Any = None,
        parent_run_id: str | None = None,
        continue_on_step_failure: bool | None = None,
        regenerate_outputs: bool = False,
    ) -> PipelineRun:
        """Start a run in an experiment; return it at once. Raises UserErrorException."""
        from longshore_azureml.experiments import Experiment

        return Experiment(workspace, experiment_name).submit(
            self,
            pipeline_parameters=pipeline_parameters,
            continue_on_step_failure=bool(continue_on_step_failure),
            regenerate_outputs=regenerate_outputs,
        )

    def build(self) -> tuple[Built, longshore.Documents]:
        """Return the pipeline and its documents. Raises UserErrorException if it is disabled."""
        if self.status != _ACTIVE:
            raise UserErrorException(f'The published pipeline "{self.name}" ({self.id}) is disabled; enable() it.')
        return _from_record(self.workspace, self._record)


def publish(
    workspace: Workspace,
    record: Mapping[str, Any],
    *,
    name: str,
    description: str | None,
    version: str | None,
) -> PublishedPipeline:
    """Keep a pipeline in the workspace, with copies of its source folders; return it."""
    records = workspace.records("published")
    number = 1 + max((each["number"] for each in records.values()), default=0)
    about = {
        "name": name,
        "description": description,
        "version": None if version is None else str(version),
        "status": _ACTIVE,
        "number": number,
    }
    documents = [_with_copies(workspace, each) for each in yaml.safe_load_all(record["documents"])]
    id = str(uuid.uuid4())
    text = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)
    records.put(id, {**record, **about, "documents": text})
    return PublishedPipeline(workspace, id)


def _with_copies(workspace: Workspace, document: dict[str, Any]) -> dict[str, Any]:
    """Return a document whose steps have copies of their source folders."""
    if document["kind"] != "Pipeline":
        return document
    for step in document["spec"]["steps"]:
        spec = step.get("script") or step.get("parallelRun") or {}
        if "source" in spec:
            spec["source"] = {"uri": _copied(workspace, spec["source"]["uri"])}
    return document


def _copied(workspace: Workspace, folder: str) -> str:
    """Copy the files of a source into the workspace, once for each content; return the folder of the copy."""
    names = list(source_files(folder))
    files = [os.path.join(folder, name) for name in names]
    target = os.path.join(workspace.folder, "azureml", "sources", digest([names, _digests(files)]))
    if not os.path.isdir(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        unfinished = tempfile.mkdtemp(prefix="unfinished-", dir=os.path.dirname(target))
        for name, file in zip(names, files, strict=True):
            copy = os.path.join(unfinished, name)
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copy(file, copy)
        os.replace(unfinished, target)
    return target


def _digests(files: Sequence[str]) -> list[str]:
    found = []
    for each in files:
        with open(each, "rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return found


@checked
class PipelineEndpoint(Supported):
    """A name with versions of a published pipeline, one of which is the default."""

    def __init__(
        self, workspace: Workspace, id: str | None = None, name: str | None = None, _service_endpoint: Any = None
    ) -> None:
        records = workspace.records("endpoints")
        wanted = name or id
        found = next((each for each in records if wanted in (each, records[each]["id"])), None)
        if found is None:
            known = ", ".join(records) or "none"
            raise ErrorResponseException(
                f'Pipeline endpoint "{wanted}" does not exist in workspace "{workspace.name}"; there are: {known}.'
            )
        self.workspace = workspace
        self.name = found
        self.id: str = records[found]["id"]
        self.description: str | None = records[found]["description"]

    def __repr__(self) -> str:
        return f"PipelineEndpoint(Name: {self.name},\nId: {self.id},\nEndpoint: {self.endpoint})"

    def _repr_html_(self) -> str:
        return _table({"Name": self.name, "Id": self.id, "Status": _ACTIVE, "Endpoint": self.endpoint})

    @property
    def _record(self) -> dict[str, Any]:
        return self.workspace.records("endpoints")[self.name]

    @property
    def default_version(self) -> str:
        """The version that runs if none is named."""
        return str(self._record["default"])

    @property
    def endpoint(self) -> str:
        """The URL that starts a run of the default version when it is posted to."""
        from longshore_azureml.endpoint_server import url_of

        return url_of(self.workspace, "endpoints", self.id)

    @staticmethod
    def publish(workspace: Workspace, name: str, pipeline: Any, description: str | None = None) -> PipelineEndpoint:
        """Make a name for a Pipeline or PublishedPipeline; return it.

        Raises UserErrorException if the name is taken.
        """
        records = workspace.records("endpoints")
        if name in records:
            raise UserErrorException(
                f'Pipeline endpoint "{name}" exists already; PipelineEndpoint.get(...).add_default(pipeline) adds a '
                "version."
            )
        first = _published(pipeline, name)
        record = {"id": str(uuid.uuid4()), "description": description, "versions": [first.id], "default": 0}
        records.put(name, record)
        return PipelineEndpoint(workspace, name=name)

    @staticmethod
    def get(
        workspace: Workspace, id: str | None = None, name: str | None = None, _service_endpoint: Any = None
    ) -> PipelineEndpoint:
        """Return an endpoint by its id or name. Raises ErrorResponseException if there is none."""
        return PipelineEndpoint(workspace, id, name)

    @staticmethod
    def list(workspace: Workspace, active_only: bool = True, _service_endpoint: Any = None) -> Sequence[Any]:
        """Return the endpoints of the workspace."""
        return [PipelineEndpoint(workspace, name=each) for each in workspace.records("endpoints")]

    def add(self, pipeline: Any) -> None:
        """Add a version."""
        self._put(versions=[*self._record["versions"], _published(pipeline, self.name).id])

    def add_default(self, pipeline: Any) -> None:
        """Add a version and make it the default."""
        self.add(pipeline)
        self._put(default=len(self._record["versions"]) - 1)

    def set_default(self, pipeline: Any) -> None:
        """Make the version of a published pipeline the default. Raises UserErrorException if it is none."""
        versions = self._record["versions"]
        if pipeline.id not in versions:
            raise UserErrorException(f'"{pipeline.name}" is no version of the pipeline endpoint "{self.name}"; add it.')
        self._put(default=versions.index(pipeline.id))

    def set_default_version(self, version: str) -> None:
        """Make a version the default. Raises UserErrorException if there is none."""
        self.get_pipeline(version)
        self._put(default=int(version))

    def list_versions(self) -> Sequence[Any]:
        """Return the versions: objects with `version` and `pipeline_id`."""
        return [PipelineVersion(str(index), each) for index, each in enumerate(self._record["versions"])]

    def get_pipeline(self, version: str | None = None) -> PublishedPipeline:
        """Return the pipeline of a version, the default one if not given. Raises UserErrorException."""
        record = self._record
        number = record["default"] if version is None else int(version)
        if not 0 <= number < len(record["versions"]):
            raise UserErrorException(f'The pipeline endpoint "{self.name}" has no version {number}.')
        return PublishedPipeline(self.workspace, record["versions"][number])

    def submit(
        self,
        experiment_name: str,
        pipeline_parameters: Mapping[str, Any] | None = None,
        _workflow_provider: Any = None,
        pipeline_version: str | None = None,
        parent_run_id: str | None = None,
        continue_on_step_failure: bool | None = None,
        regenerate_outputs: bool = False,
    ) -> PipelineRun:
        """Start a run of a version in an experiment; return it at once. Raises UserErrorException."""
        return self.get_pipeline(pipeline_version).submit(
            self.workspace,
            experiment_name,
            pipeline_parameters,
            continue_on_step_failure=continue_on_step_failure,
            regenerate_outputs=regenerate_outputs,
        )

    def _put(self, **changes: Any) -> None:
        self.workspace.records("endpoints").put(self.name, {**self._record, **changes})


class PipelineVersion(Supported):
    """One version of an endpoint."""

    def __init__(self, version: str, pipeline_id: str) -> None:
        self.version = version
        self.pipeline_id = pipeline_id


def _published(pipeline: Any, name: str) -> PublishedPipeline:
    from longshore_azureml.pipelines import Pipeline

    if isinstance(pipeline, PublishedPipeline):
        return pipeline
    if isinstance(pipeline, Pipeline):
        return pipeline.publish(name)
    raise UserErrorException(f"pipeline is {pipeline!r}: it must be a Pipeline or a PublishedPipeline.")


def _table(cells: Mapping[str, Any]) -> str:
    head = "".join(f"<th>{name}</th>" for name in cells)
    body = "".join(f"<td>{html.escape(str(value))}</td>" for value in cells.values())
    return f"<table><tr>{head}</tr><tr>{body}</tr></table>"
