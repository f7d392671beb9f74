"""Resolve the job and its leases to paths that a process on this machine can open."""

from __future__ import annotations

import os
import re

from longshore_agent.downloads import DownloadedData
from longshore_agent.paths import StagingError, WorkerPaths, model_path
from longshore_agent.work import Lease
from longshore_protocol.job import Job
from longshore_protocol.messages import HostSpec, InputSpec
from longshore_protocol.redaction import redacted
from longshore_protocol.wire import Grant
from longshore_storage.store import local_path

_SIDE_INPUT = re.compile(r"\$\(inputs\.([^()]*)\)")  # the planner has checked that it exists


def host_spec(
    job: Job, data: DownloadedData, *, worker: str, work_dir: str, paths: WorkerPaths, agent: str = ""
) -> HostSpec:
    """Return the specification for host and children, in which all locations are local paths.

    Args:
        job: The job of the run.
        data: Downloaded side inputs and inputs.
        worker: Name of the worker.
        work_dir: Parent of the processes' private folders.
        paths: Local paths of output, logs and models.
        agent: Name of the registration.

    Raises:
        StagingError: The source is not a local path.
    """
    source = local_path(job.source_uri)
    if source is None:
        raise StagingError(f'source "{job.source_uri}" is not a local path')
    variables = {
        "AZUREML_BI_OUTPUT_PATH": paths.output,
        "AZUREML_RUN_ID": job.run_id,
        "AZUREML_LOG_LEVEL": job.logging_level,
    }
    locations = {each.name: tuple(map(redacted, each.paths)) for each in job.inputs}
    locations.update({name: (folder,) for name, folder in data.downloads.items()})
    first = {name: given[0] for name, given in locations.items()}
    for name, path in {**first, **data.side_inputs}.items():
        variables["AZUREML_DATAREFERENCE_" + name] = path
        if not name.isupper():  # upper-case names such as PATH belong to the system
            variables.setdefault(name, path)
    models = tuple((model.name, model.version, model_path(model, paths.models)) for model in job.models)
    if models:
        variables["AZUREML_MODEL_DIR"] = models[0][2]
    return HostSpec(
        source=source,
        entry_script=job.entry_script,
        arguments=_arguments(job, data, paths),
        variables={**variables, **job.variables},
        inputs=(
            *(InputSpec(each.name, each.tabular, locations[each.name]) for each in job.inputs),  # which grants number
            *(InputSpec(name, None, (path,)) for name, path in data.side_inputs.items()),
        ),
        output=job.output,
        models=models,
        work_dir=work_dir,
        log_dir=paths.logs,
        worker=worker,
        output_dir=paths.output,
        experiment=job.experiment or job.name,
        parent_id=job.parent_id,
        registrations=os.path.join(paths.registrations, agent),
        run_timeout=job.timeouts.run_invocation,
        processes=job.processes_per_worker,
        gpus=job.gpus_per_worker,
        logging_level=job.logging_level,
        profiling_module=job.profiling_module,
        container_log=job.container_log,
    )


def _arguments(job: Job, data: DownloadedData, paths: WorkerPaths) -> tuple[str, ...]:
    """Return the script's arguments, with side inputs and the output folder replaced by their local paths."""
    arguments = [_SIDE_INPUT.sub(lambda found: data.side_inputs[found[1]], each) for each in job.arguments]
    if paths.copies_output:
        named = re.compile(re.escape(job.output.uri) + r"(?![\w.-])")  # not a longer name that begins with it
        arguments = [named.sub(lambda _: paths.output, argument) for argument in arguments]
    return tuple(arguments)


def stage(job: Job, grant: Grant) -> Lease:
    """Return the lease of a granted mini-batch; `Stager` downloads the files that its slice names."""
    return Lease(grant, tabular=job.inputs[grant.input].tabular is not None)
