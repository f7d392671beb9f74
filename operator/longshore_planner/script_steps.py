"""Resolution of ScriptSteps and TransferSteps into jobs with all locations."""

from __future__ import annotations

import re
from typing import Any, cast

from longshore_api.data import Dataset
from longshore_api.errors import InvalidDocuments, listed
from longshore_api.inputs import ScriptInput
from longshore_api.parallel_run_step import StepOutput
from longshore_api.tasks import ScriptOutput, ScriptStep, ScriptStepSpec, TransferStep
from longshore_planner.catalogue import Document
from longshore_planner.locations import join
from longshore_planner.named_data import usable_datastores
from longshore_planner.output_folders import output_folder
from longshore_planner.references import References
from longshore_planner.step_outputs import is_placeholder
from longshore_planner.tables import tabular_format
from longshore_protocol.job import Datastore
from longshore_protocol.job import ScriptInput as JobInput
from longshore_protocol.registrations import OUTPUT, Registration
from longshore_protocol.script_job import ScriptJob
from longshore_protocol.script_job import ScriptOutput as JobOutput

DESTINATION = "destination"  # the one output of a transfer
FROM_RULE = "must be an output of another step: $(steps.STEP.outputs.NAME)"

_DATA = re.compile(r"\$\((inputs|outputs)\.([^()]*)\)")


def script_job(
    document: Document[ScriptStep],
    references: References,
    *,
    run_uri: str,
    run_id: str,
    timeout: float | None,
    in_pods: bool,
) -> ScriptJob:
    """Return the job of a script step, without its catalogue; report problems to `references`.

    Args:
        document: The step.
        references: Resolver of its references.
        run_uri: Folder of the run.
        run_id: Id of the run.
        timeout: Time limit of the script in seconds; None for none.
        in_pods: The run is in a pod, and the documents have locations in its form.
    """
    spec = document.resource.spec
    inputs = tuple(script_input(each, f"spec.inputs[{index}]", references) for index, each in enumerate(spec.inputs))
    outputs = []
    for index, each in enumerate(spec.outputs):
        uri = output_folder(each, references, f"spec.outputs[{index}]", run_uri=run_uri, run_id=run_id)
        if uri == join(run_uri, each.name) and each.name in ("logs", "outputs", "state"):
            rule = "must be another name: logs, outputs and state hold the step's own files"
            references.report(document.problem(f"spec.outputs[{index}].name", f"is {each.name!r}: {rule}"))
        outputs.append(JobOutput(each.name, uri, each.mode, each.overwrite, registration_of(each.name, each)))
    _check_arguments(spec, references)
    environment = references.environment(spec.environment)
    datastores: tuple[Datastore, ...] = ()
    try:
        datastores = usable_datastores(references.documents, references.step, in_pods=in_pods)
    except InvalidDocuments as error:
        references.problems += error.problems
    return ScriptJob(
        name=document.name,
        run_id=run_id,
        run_uri=run_uri,
        source_uri=references.source_uri(spec.source),
        script=spec.script_name,
        arguments=tuple(spec.arguments),
        inputs=inputs,
        outputs=tuple(outputs),
        variables={**(environment.resource.spec.variables if environment else {}), **spec.environment_variables},
        params=dict(spec.params),
        models=references.models(spec.models),
        datastores=datastores,
        timeout=timeout,
        logging_level=spec.logging_level,
    )


def registration_of(name: str, output: ScriptOutput | StepOutput) -> Registration | None:
    """Return what an output is registered as once its step has succeeded; None for nothing."""
    given = output.register_on_complete
    if given is None:
        return None
    return Registration(
        given.kind, given.name, (f"{OUTPUT}{name}",), description=given.description, tags=dict(given.tags)
    )


def script_input(given: ScriptInput, path: str, references: References) -> JobInput:
    """Return the input at `path` with its locations; report problems to `references`."""
    if given.from_ is not None:
        if not is_placeholder(given.from_):
            references.report(references.step.wrong(f"{path}.from", given.from_, FROM_RULE))
        return JobInput(given.name, (given.from_,), given.mode)
    where, inside, data = references.step, f"{path}.file", given.file
    if given.dataset is not None:
        dataset = references.find(Dataset, given.dataset, references.step, f"{path}.dataset")
        if dataset is None:
            return JobInput(given.name, (), given.mode)
        spec = dataset.resource.spec
        described = spec.file or spec.tabular
        assert described is not None  # the model requires exactly one of the two
        inside = "spec.file" if spec.file else "spec.tabular"
        if spec.tabular is not None and spec.tabular.query is not None:
            rule = "holds rows of a database, which only a ParallelRunStep can read; use a Dataset of files"
            references.report(references.step.wrong(f"{path}.dataset", given.dataset, rule))
        paths = references.paths(described, cast("Any", dataset), inside)
        tabular = None if spec.tabular is None else tabular_format(spec.tabular, database="")
        return JobInput(given.name, paths, given.mode, tabular)
    assert data is not None  # the model requires exactly one of the three
    return JobInput(given.name, references.paths(data, where, inside), given.mode)


def transfer_job(document: Document[TransferStep], references: References) -> dict[str, Any]:
    """Return source and destination of a transfer; report problems to `references`."""
    spec = document.resource.spec
    return {
        name: references.location(each.path, each.datastore, references.step, f"spec.{name}.path")
        for name, each in (("source", spec.source), (DESTINATION, spec.destination))
    }


def _check_arguments(spec: ScriptStepSpec, references: References) -> None:
    known = {"inputs": [each.name for each in spec.inputs], "outputs": [each.name for each in spec.outputs]}
    for index, argument in enumerate(spec.arguments):
        for kind, name in _DATA.findall(argument):
            if name not in known[kind]:
                text = f"refers to {kind}.{name}, which does not exist; the step's {kind} are {listed(known[kind])}"
                references.report(references.step.problem(f"spec.arguments[{index}]", text))
