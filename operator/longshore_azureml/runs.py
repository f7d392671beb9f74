"""Runs of pipelines and of their steps, watched and read."""

from __future__ import annotations

import html
import os
import posixpath
import shutil
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import longshore
from longshore_azureml.datastores import AbstractDatastore, DataReference
from longshore_azureml.errors import ActivityFailedException, UserErrorException
from longshore_azureml.keywords import checked
from longshore_azureml.names import digest
from longshore_azureml.publishing import PublishedPipeline, publish, to_record
from longshore_azureml.unsupported import Supported
from longshore_shims.run import Run
from longshore_storage.store import local_path

if TYPE_CHECKING:
    from longshore.runs import RunOutput
    from longshore.runs import StepRun as NativeStep
    from longshore_azureml.building import Built
    from longshore_azureml.experiments import Experiment

__all__ = ["PipelineRun", "Run", "StepRun", "StepRunOutput"]

_STATES = {
    "Pending": "NotStarted",
    "Running": "Running",
    "Suspended": "Paused",
    "Succeeded": "Finished",
    "Failed": "Failed",
    "Cancelled": "Canceled",
    "Skipped": "Canceled",
}
_NOTHING: dict[str, Any] = {"steps": {}, "outputs": {}, "tags": {}}  # of a run that no script submitted
_DETAILS = {"Finished": "Completed"}


def submitted(experiment: Experiment, native: longshore.Run, built: Built, *, tags: Mapping[str, str]) -> PipelineRun:
    """Record the names that a script knows; return the run."""
    record = {**to_record(built), "experiment": experiment.name, "tags": dict(tags)}
    experiment.workspace.records("runs").put(native.id, record)
    return PipelineRun(experiment, native.id)


class _Shown(Supported):
    """What a run shows in a notebook."""

    id: str
    _type: str

    def get_status(self) -> str:
        """Return the status as Azure ML calls it."""
        raise NotImplementedError

    @property
    def status(self) -> str:
        """The status as Azure ML calls it."""
        return self.get_status()

    def get_portal_url(self) -> str:
        """Return the run folder."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        cells = {
            "Experiment": self.__dict__["experiment"].name,
            "Id": self.id,
            "Type": self._type,
            "Status": self.get_status(),
            "Details Page": self.get_portal_url(),
            "Docs Page": "longshore.dev/v1alpha1",
        }
        head = "".join(f"<th>{name}</th>" for name in cells)
        body = "".join(f"<td>{html.escape(str(value))}</td>" for value in cells.values())
        return f"<table><tr>{head}</tr><tr>{body}</tr></table>"


@checked
class PipelineRun(_Shown):
    """One run of a pipeline. `PipelineRun(experiment, run_id)` finds one, also of another process."""

    _type = "azureml.PipelineRun"

    def __init__(self, experiment: Experiment, run_id: str, _service_endpoint: Any = None) -> None:
        self.experiment = experiment
        try:
            self.native = experiment.workspace.native.run(run_id)
        except KeyError:
            raise UserErrorException(
                f'Run "{run_id}" does not exist in workspace "{experiment.workspace.name}".'
            ) from None
        self.id = self.native.id
        self.record = experiment.workspace.records("runs").get(run_id, _NOTHING)

    def __repr__(self) -> str:
        return f"Run(Experiment: {self.experiment.name},\nId: {self.id},\nType: {self._type},\nStatus: {self.status})"

    @property
    def tags(self) -> dict[str, str]:
        """The tags."""
        return dict(self.record["tags"])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Add tags."""
        self.record = {**self.record, "tags": {**self.record["tags"], **tags}}
        self.experiment.workspace.records("runs").put(self.id, self.record)

    def tag(self, key: str, value: str | None = None) -> None:
        """Add one tag."""
        self.set_tags({key: str(value)})

    def get_tags(self) -> dict[str, str]:
        """Return the tags."""
        return self.tags

    def get_status(self) -> str:
        """Return NotStarted, Running, Finished, Failed or Canceled."""
        return _STATES.get(self.native.status, self.native.status)

    def get_portal_url(self) -> str:
        """Return the run folder."""
        return str(self.native.uri)

    def get_details(self) -> dict[str, Any]:
        """Return id, status and parameters."""
        status = self.get_status()
        return {
            "runId": self.id,
            "status": _DETAILS.get(status, status),
            "properties": {"azureml.runsource": "azureml.PipelineRun", "runType": "SDK"},
            "inputDatasets": [],
            "outputDatasets": [],
            "parameters": dict(self.native.parameters),
            "tags": self.tags,
        }

    def get_metrics(self, name: str | None = None, recursive: bool = False) -> dict[str, Any]:
        """Return the metrics of all steps by name."""
        found = dict(self.native.metrics)
        return found if name is None else {key: value for key, value in found.items() if key == name}

    def get_steps(self) -> Iterator[StepRun]:
        """Yield the runs of the steps."""
        names = self.record["steps"] or {each: each for each in self.native.steps}
        for slug, name in names.items():
            yield StepRun(self, slug, name)

    def get_children(
        self, recursive: bool = False, tags: Any = None, properties: Any = None, type: str | None = None
    ) -> Iterator[StepRun]:
        """Yield the runs of the steps."""
        yield from self.get_steps()

    def find_step_run(self, name: str) -> list[StepRun]:
        """Return the runs of the steps of this name, as the script wrote it; an empty list if there is none."""
        return [each for each in self.get_steps() if each.name == name]

    def get_pipeline_output(self, pipeline_output_name: str) -> StepRunOutput:
        """Return an output of the pipeline by its name. Raises UserErrorException."""
        for step in self.get_steps():
            if pipeline_output_name in step.get_outputs():
                return step.get_output_data(pipeline_output_name)
        raise UserErrorException(f'The run {self.id} has no output "{pipeline_output_name}".')

    def wait_for_completion(
        self, show_output: bool = False, timeout_seconds: float | None = None, raise_on_error: bool = True
    ) -> str:
        """Wait until the run has ended; return its status. An interruption (Ctrl-C) leaves the run alone.

        Raises:
            ActivityFailedException: The run failed and `raise_on_error` is True; the message has the first error.
            TimeoutError: It has not ended in time.
        """
        if show_output:
            print(f"PipelineRunId: {self.id}\nLink to the run folder: {self.get_portal_url()}\n")
            print(f"PipelineRun Status: {self.get_status()}")
        try:
            self.native.wait(show=show_output, timeout=timeout_seconds)
        except longshore.RunFailed as error:
            if raise_on_error:
                raise ActivityFailedException(str(error)) from None
        status = self.get_status()
        if show_output:
            for each in self.get_steps():
                print(f"\nStepRun({each.name}) Execution Summary\n{'=' * 40}")
                print(f"StepRun( {each.name} ) Status: {each.get_status()}\n{each.get_details()}")
            print(f"\n\nPipelineRun Execution Summary\n{'=' * 30}")
            print(f"PipelineRun Status: {status}\n{self.get_details()}\n")
        return status

    def publish_pipeline(
        self,
        name: str,
        description: str | None = None,
        version: str | None = None,
        continue_on_step_failure: bool | None = None,
    ) -> PublishedPipeline:
        """Keep the pipeline of the run in the workspace; return it. Raises UserErrorException."""
        if "documents" not in self.record:
            raise UserErrorException(f"The run {self.id} was not submitted by a script; publish its Pipeline instead.")
        record = {key: each for key, each in self.record.items() if key not in ("experiment", "tags")}
        workspace = self.experiment.workspace
        return publish(workspace, record, name=name, description=description, version=version)

    def cancel(self) -> None:
        """Cancel the run."""
        self.native.cancel()

    def print_submission(self, built: Built, *, regenerate_outputs: bool) -> None:
        """Print what was submitted."""
        reusable = {each.name for each in built.pipeline.steps if each.allow_reuse is not False}
        for each in self.get_steps():
            may_reuse = each.slug in reusable and not regenerate_outputs
            what = "is eligible to reuse a previous run's output" if may_reuse else "will run and generate new outputs"
            print(f"Created step {each.name} [{digest(each.id)}][{each.id}], (This step {what})")
        print(f"Submitted PipelineRun {self.id}")
        print(f"Link to the run folder: {self.get_portal_url()}")


@checked
class StepRun(_Shown):
    """One step of a run."""

    _type = "azureml.StepRun"

    def __init__(self, run: PipelineRun, slug: str, name: str) -> None:
        self.parent = run
        self.experiment = run.experiment
        self.slug = slug
        self.name = name
        self.id = f"{run.id}-{slug}"

    def __repr__(self) -> str:
        return f"Run(Experiment: {self.experiment.name},\nId: {self.id},\nType: {self._type},\nStatus: {self.status})"

    @property
    def native(self) -> NativeStep | None:
        """The step's state at this moment; None before the run has begun."""
        return self.parent.native.steps.get(self.slug)

    def get_status(self) -> str:
        """Return NotStarted, Running, Finished, Failed or Canceled."""
        now = self.native
        return "NotStarted" if now is None else _STATES.get(now.status, now.status)

    def get_portal_url(self) -> str:
        """Return the run folder of the step."""
        return posixpath.join(self.parent.get_portal_url(), "steps", self.slug)

    def get_details(self) -> dict[str, Any]:
        """Return id, status and times."""
        now = self.native
        status = self.get_status()
        started, finished = (None, None) if now is None else (now.started, now.finished)
        reuse = "" if now is None else now.reuse
        return {
            "runId": self.id,
            "status": _DETAILS.get(status, status),
            "startTimeUtc": None if started is None else started.isoformat(),
            "endTimeUtc": None if finished is None else finished.isoformat(),
            "properties": {"azureml.reusedrunid": reuse} if reuse.startswith("reused from") else {},
            "inputDatasets": [],
            "outputDatasets": [],
        }

    def get_metrics(self, name: str | None = None, recursive: bool = False) -> dict[str, Any]:
        """Return the values that the script logged, by name."""
        now = self.native
        found = {} if now is None else dict(now.metrics)
        return found if name is None else {key: value for key, value in found.items() if key == name}

    def get_job_log(self) -> str:
        """Return what the script printed."""
        now = self.native
        return "" if now is None else str(now.logs())

    def get_stdout_log(self) -> str:
        """Return what the script printed."""
        return self.get_job_log()

    def wait_for_completion(
        self, show_output: bool = False, timeout_seconds: float | None = None, raise_on_error: bool = True
    ) -> str:
        """Wait until the pipeline's run has ended; return the status of this step."""
        self.parent.wait_for_completion(show_output, timeout_seconds, raise_on_error)
        return self.get_status()

    def get_outputs(self) -> dict[str, StepRunOutput]:
        """Return the outputs by name."""
        names = self.parent.record["outputs"].get(self.slug, {})
        now = self.native
        outputs = {} if now is None else now.outputs
        return {
            names.get(port, port): StepRunOutput(self, names.get(port, port), each) for port, each in outputs.items()
        }

    def get_output(self, name: str) -> StepRunOutput:
        """Return an output. Raises UserErrorException if there is none of this name."""
        return self.get_output_data(name)

    def get_output_data(self, name: str) -> StepRunOutput:
        """Return the data of an output. Raises UserErrorException if there is none of this name."""
        outputs = self.get_outputs()
        if name not in outputs:
            known = ", ".join(outputs) or "none"
            raise UserErrorException(f'The step "{self.name}" has no output "{name}"; its outputs are: {known}.')
        return outputs[name]


@checked
class StepRunOutput(Supported):
    """The data of one output: a folder in a datastore."""

    def __init__(self, step: StepRun, name: str, native: RunOutput) -> None:
        self.step_run = step
        self.name = name
        self.uri = native.uri
        self._native = native
        self.datastore, self.path_on_datastore = self._place()
        self._path_on_datastore = self.path_on_datastore

    def __repr__(self) -> str:
        return f"StepRunOutput({self.name!r}, {self.path_on_datastore!r})"

    @property
    def datastore_name(self) -> str:
        """The name of the datastore."""
        return self.datastore.name

    def get_port_data_reference(self) -> StepRunOutput:
        """Return the data."""
        return self

    def download(self, local_path: str, overwrite: bool | None = None, show_progress: bool | None = None) -> int:
        """Download the files; return their number.

        Their paths below `local_path` are those in the datastore: `path_on_datastore`, then the path in the output.
        """
        target = os.path.join(local_path, self.path_on_datastore)
        if local_path_of(self.uri) is None or not os.path.isdir(target):
            return len(self._native.download(target))
        count = 0
        for path in self._native.paths():
            copy = os.path.join(target, os.path.relpath(path, local_path_of(self.uri)))
            if overwrite is not False or not os.path.exists(copy):
                os.makedirs(os.path.dirname(copy), exist_ok=True)
                shutil.copy(path, copy)
                count += 1
        return count

    def as_reference(self) -> DataReference:
        """Return a reference to the folder, for datasets and steps."""
        return self.datastore.path(self.path_on_datastore)

    def _place(self) -> tuple[AbstractDatastore, str]:
        """Return the datastore that holds the folder, and the path in it."""
        workspace = self.step_run.experiment.workspace
        for store in workspace.datastores.values():
            root = (local_path_of(store.uri) or store.uri).rstrip("/") + "/"
            if (local_path_of(self.uri) or self.uri).startswith(root):
                return store, (local_path_of(self.uri) or self.uri).removeprefix(root).strip("/")
        return workspace.get_default_datastore(), f"azureml/{self.step_run.id}/{self.name}"


def local_path_of(uri: str) -> str | None:
    """Return the local path of a location; None for a URL of a store."""
    found = local_path(uri)
    return None if found is None else os.path.realpath(found)
