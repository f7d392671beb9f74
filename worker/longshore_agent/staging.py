"""Turns what the coordinator names into what a process on this machine can open."""

from __future__ import annotations

from longshore_agent.slots import Lease
from longshore_protocol.job import Job
from longshore_protocol.messages import HostSpec, InputSpec
from longshore_protocol.wire import Grant
from longshore_storage.store import local_path


class StagingError(Exception):
    """Something the job names cannot be brought to this machine; the message says what."""


def host_spec(job: Job, *, worker: str, work_dir: str) -> HostSpec:
    """Return what host and children need, all places being paths on this machine.

    Raises StagingError for a place that is no path here.
    """
    output, logs = _local(job.output.uri, "output"), _local(job.run_uri, "run folder")
    variables = {
        "AZUREML_BI_OUTPUT_PATH": output,
        "AZUREML_RUN_ID": job.run_id,
        "AZUREML_LOG_LEVEL": job.logging_level,
    }
    for given in job.inputs:
        variables["AZUREML_DATAREFERENCE_" + given.name] = given.paths[0]
    models = tuple((model.name, model.version, _local(model.uri, f"model {model.name}")) for model in job.models)
    if models:
        variables["AZUREML_MODEL_DIR"] = models[0][2]
    return HostSpec(
        source=_local(job.source_uri, "source"),
        entry_script=job.entry_script,
        arguments=job.arguments,
        variables={**variables, **job.variables},
        inputs=tuple(InputSpec(each.name, each.tabular) for each in job.inputs),
        output=job.output,
        models=models,
        work_dir=work_dir,
        log_dir=logs + "/logs",
        worker=worker,
        processes=job.processes_per_worker,
        gpus=job.gpus_per_worker,
        logging_level=job.logging_level,
        profiling_module=job.profiling_module,
    )


def stage(job: Job, grant: Grant) -> Lease:
    """Return the lease of a granted mini-batch, its slice unread; what it names elsewhere, `Stager` brings here."""
    return Lease(grant, tabular=job.inputs[grant.input].tabular is not None)


def _local(uri: str, what: str) -> str:
    path = local_path(uri)
    if path is None:
        raise StagingError(f"the {what} {uri} is not a path on this machine")
    return path
