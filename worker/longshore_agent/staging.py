"""Turns what the coordinator names into what a process on this machine can open."""

from __future__ import annotations

import re

from longshore_agent.places import Places, StagingError, model_path
from longshore_agent.slots import Lease
from longshore_protocol.job import Job
from longshore_protocol.messages import HostSpec, InputSpec
from longshore_protocol.wire import Grant
from longshore_storage.store import local_path


def host_spec(job: Job, *, worker: str, work_dir: str, places: Places) -> HostSpec:
    """Return what host and children need, all places being paths on this machine.

    Raises StagingError for a source that is no path here.
    """
    source = local_path(job.source_uri)
    if source is None:
        raise StagingError(f"the source {job.source_uri} is not a path on this machine")
    variables = {
        "AZUREML_BI_OUTPUT_PATH": places.output,
        "AZUREML_RUN_ID": job.run_id,
        "AZUREML_LOG_LEVEL": job.logging_level,
    }
    for given in job.inputs:
        variables["AZUREML_DATAREFERENCE_" + given.name] = given.paths[0]
    models = tuple((model.name, model.version, model_path(model, places.models)) for model in job.models)
    if models:
        variables["AZUREML_MODEL_DIR"] = models[0][2]
    return HostSpec(
        source=source,
        entry_script=job.entry_script,
        arguments=_arguments(job, places),
        variables={**variables, **job.variables},
        inputs=tuple(InputSpec(each.name, each.tabular, each.paths) for each in job.inputs),
        output=job.output,
        models=models,
        work_dir=work_dir,
        log_dir=places.logs,
        worker=worker,
        output_dir=places.output,
        experiment=job.experiment or job.name,
        parent_id=job.parent_id,
        run_timeout=job.timeouts.run_invocation,
        processes=job.processes_per_worker,
        gpus=job.gpus_per_worker,
        logging_level=job.logging_level,
        profiling_module=job.profiling_module,
    )


def _arguments(job: Job, places: Places) -> tuple[str, ...]:
    """Return the script's arguments; the output folder that they name is the one on this machine."""
    if not places.copies_output:
        return job.arguments
    named = re.compile(re.escape(job.output.uri) + r"(?![\w.-])")  # and not a neighbour that begins alike
    return tuple(named.sub(lambda _: places.output, argument) for argument in job.arguments)


def stage(job: Job, grant: Grant) -> Lease:
    """Return the lease of a granted mini-batch, its slice unread; what it names elsewhere, `Stager` brings here."""
    return Lease(grant, tabular=job.inputs[grant.input].tabular is not None)
