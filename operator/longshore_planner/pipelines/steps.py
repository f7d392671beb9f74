"""One step of a pipeline, its parameters filled in: checked by its own model and resolved into its job.

Problems carry the field's path in the pipeline ("spec.steps[1].script.arguments[0]"), whoever found them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from pydantic import ValidationError

from longshore_api.base import API_VERSION, Resource
from longshore_api.data import Dataset
from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_api.parallel_run_step import ParallelRunStep, ParallelRunStepSpec
from longshore_api.pipeline import PipelineStep
from longshore_api.resources import Environment
from longshore_api.tasks import ScriptInput, ScriptStep, ScriptStepSpec, TransferSpec
from longshore_api.validation import problems_of
from longshore_planner.catalogue import Document, Documents
from longshore_planner.pipelines.frozen import PARALLEL_RUN, SCRIPT, TRANSFER
from longshore_planner.pipelines.graph import is_held
from longshore_planner.places import join
from longshore_planner.references import References, python_of
from longshore_planner.resolve import resolve
from longshore_protocol.script_job import ScriptInput as JobInput
from longshore_protocol.script_job import ScriptJob
from longshore_protocol.script_job import ScriptOutput as JobOutput

DESTINATION = "destination"  # the one output of a transfer

_DATA = re.compile(r"\$\((inputs|outputs)\.([^()]*)\)")
# Of a step by itself: in a pipeline, the run as a whole has them.
_OF_A_RUN = ("suspend", "cancel", "resumeFrom", "ttlSecondsAfterFinished")
_OF_THE_STEP = ("timeoutSeconds",)  # of a task by itself: in a pipeline, they stand beside it
# Fields that say nothing about what comes out, or that have a part of the fingerprint to themselves.
_APART = {
    "description",
    "source",
    "entry_script",
    "script_name",
    "arguments",
    "inputs",
    "output",
    "outputs",
    "environment",
    "environment_variables",
    "params",
    "models",
    "mini_batch",
    "mini_batch_size",
    "priority",
}


@dataclass(frozen=True)
class Place:
    """Where a step stands and runs."""

    pipeline: Document[Resource]
    path: str  # "spec.steps[1]"
    documents: Documents
    run_uri: str  # of the step
    run_id: str  # of the step
    cores: int


@dataclass(frozen=True)
class ResolvedStep:
    """A step's job, and what the run has to know besides."""

    job: dict[str, Any]
    outputs: dict[str, str]  # name -> URI
    parts: dict[str, Any]  # of the fingerprint
    source: str | None = None
    python: str | None = None


def resolve_step(step: PipelineStep, place: Place) -> ResolvedStep:
    """Return the step resolved. Raises InvalidDocuments with every problem found."""
    for kind, raw in ((PARALLEL_RUN, step.parallel_run), (SCRIPT, step.script), (TRANSFER, step.transfer)):
        _refuse_foreign(kind, raw or {}, place)
    if step.parallel_run is not None:
        return _parallel_run(step, step.parallel_run, place)
    if step.script is not None:
        return _script(step, step.script, place)
    assert step.transfer is not None  # the model takes exactly one of the three
    return _transfer(step.transfer, place)


def _refuse_foreign(kind: str, raw: dict[str, Any], place: Place) -> None:
    path = f"{place.path}.{kind}"
    said = [(name, "is not a field of a pipeline's step: the run as a whole has it") for name in _OF_A_RUN]
    if kind != PARALLEL_RUN:
        said += [(name, f"belongs to the step: write it beside {kind}") for name in _OF_THE_STEP]
    foreign = [place.pipeline.problem(f"{path}.{name}", text) for name, text in said if name in raw]
    if foreign:
        raise InvalidDocuments(foreign)


# --- parallelRun -------------------------------------------------------------------------------------------------


def _parallel_run(step: PipelineStep, raw: dict[str, Any], place: Place) -> ResolvedStep:
    path = f"{place.path}.{PARALLEL_RUN}"
    inputs = raw.get("inputs")
    if isinstance(inputs, list):
        raw = {**raw, "inputs": [_data_of(each, f"{path}.inputs[{i}]", place) for i, each in enumerate(inputs)]}
    document = _document(ParallelRunStep, step.name, raw, place, path)
    try:
        resolved = resolve(
            Documents((*_others(place.documents), cast("Document[Resource]", document))),
            run_uri=place.run_uri,
            run_id=place.run_id,
            cores=place.cores,
        )
    except InvalidDocuments as error:
        raise InvalidDocuments(_moved(error.problems, place, path)) from None
    spec, job = document.resource.spec, resolved.job
    references = References(place.documents, cast("Document[Resource]", document))
    parts = {
        **_common(spec, references),
        "kind": PARALLEL_RUN,
        "entry": spec.entry_script,
        "inputs": {each.name: {"paths": list(each.paths), **_given(each)} for each in job.inputs},
        "outputs": {} if spec.output is None else {spec.output.name: _output(spec.output, references)},
    }
    parts["settings"]["miniBatch"] = f"{job.mini_batch.value} {job.mini_batch.unit}"
    outputs = {} if spec.output is None else {spec.output.name: job.output.uri}
    return ResolvedStep(json.loads(job.to_json()), outputs, parts, job.source_uri, resolved.python)


def _data_of(given: Any, path: str, place: Place) -> Any:
    """Return an input that is an output of another step as one with its data described in place."""
    if not isinstance(given, dict) or "from" not in given:
        return given
    taken = {key: value for key, value in given.items() if key not in ("from", "tabular")}
    source, tabular = given["from"], given.get("tabular")
    _check_from(source, f"{path}.from", place)
    if tabular is None:
        return {**taken, "file": {"paths": [source]}}
    if not isinstance(tabular, dict):
        return {**taken, "tabular": tabular}
    below = tabular.get("paths")
    if isinstance(below, list) and all(isinstance(each, str) for each in below):
        paths: Any = [join(source, each) for each in below]
    else:
        paths = [source] if below is None else below
    return {**taken, "tabular": {**tabular, "paths": paths}}


# --- script ------------------------------------------------------------------------------------------------------


def _script(step: PipelineStep, raw: dict[str, Any], place: Place) -> ResolvedStep:
    path = f"{place.path}.{SCRIPT}"
    document = _document(ScriptStep, step.name, raw, place, path)
    spec = document.resource.spec
    references = References(place.documents, cast("Document[Resource]", document))
    inputs = tuple(_script_input(each, index, references) for index, each in enumerate(spec.inputs))
    outputs = []
    for index, each in enumerate(spec.outputs):
        store = references.datastore(each.datastore, references.step, f"spec.outputs[{index}].datastore")
        uri = join(place.run_uri, each.name) if store is None else join(store, f"longshore/{place.run_id}/{each.name}")
        if store is None and each.name in ("logs", "outputs", "state"):
            rule = "must be another name: the step keeps its own files in logs, outputs and state"
            references.tell(document.problem(f"spec.outputs[{index}].name", f"is {each.name!r}: {rule}"))
        outputs.append(JobOutput(each.name, uri, each.mode, each.overwrite))
    _check_arguments(spec, references)
    environment = references.environment(spec.environment)
    job = ScriptJob(
        name=step.name,
        run_id=place.run_id,
        run_uri=place.run_uri,
        source_uri=references.source_uri(spec.source),
        script=spec.script_name,
        arguments=tuple(spec.arguments),
        inputs=inputs,
        outputs=tuple(outputs),
        variables={**(environment.resource.spec.variables if environment else {}), **spec.environment_variables},
        params=dict(spec.params),
        models=references.models(spec.models),
        timeout=None if step.timeout_seconds is None else float(step.timeout_seconds),
        logging_level=spec.logging_level,
    )
    parts = {
        **_common(spec, references),
        "kind": SCRIPT,
        "entry": spec.script_name,
        "params": dict(spec.params),
        "inputs": {each.name: {"paths": list(each.uris), "mode": each.mode} for each in inputs},
        "outputs": {each.name: _output(each, references) for each in spec.outputs},
    }
    if references.problems:
        raise InvalidDocuments(_moved(references.problems, place, path))
    uris = {each.name: each.uri for each in outputs}
    return ResolvedStep(json.loads(job.to_json()), uris, parts, job.source_uri, python_of(environment))


def _script_input(given: ScriptInput, index: int, references: References) -> JobInput:
    path = f"spec.inputs[{index}]"
    if given.from_ is not None:
        if not is_held(given.from_):
            references.tell(references.step.wrong(f"{path}.from", given.from_, _FROM_RULE))
        return JobInput(given.name, (given.from_,), given.mode)
    where, inside, data = references.step, f"{path}.file", given.file
    if given.dataset is not None:
        dataset = references.find(Dataset, given.dataset, references.step, f"{path}.dataset")
        if dataset is None:
            return JobInput(given.name, (), given.mode)
        spec = dataset.resource.spec
        described = spec.file or spec.tabular
        assert described is not None  # the model takes exactly one of the two
        inside = "spec.file" if spec.file else "spec.tabular"
        return JobInput(given.name, references.paths(described, cast("Any", dataset), inside), given.mode)
    assert data is not None
    return JobInput(given.name, references.paths(data, where, inside), given.mode)


def _check_arguments(spec: ScriptStepSpec, references: References) -> None:
    known = {"inputs": [each.name for each in spec.inputs], "outputs": [each.name for each in spec.outputs]}
    for index, argument in enumerate(spec.arguments):
        for kind, name in _DATA.findall(argument):
            if name not in known[kind]:
                text = f"refers to {kind}.{name}: the step's {kind} are {listed(known[kind])}"
                references.tell(references.step.problem(f"spec.arguments[{index}]", text))


# --- transfer ----------------------------------------------------------------------------------------------------


def _transfer(raw: dict[str, Any], place: Place) -> ResolvedStep:
    path = f"{place.path}.{TRANSFER}"
    try:
        spec = TransferSpec.model_validate(raw)
    except ValidationError as error:
        problems = problems_of(error, model=TransferSpec, where=place.pipeline.where)
        raise InvalidDocuments(
            Problem(each.where, f"{path}.{each.path}".rstrip("."), each.text) for each in problems
        ) from None
    references = References(place.documents, place.pipeline)
    source, destination = (
        references.place(each.path, each.datastore, place.pipeline, f"{path}.{name}.path")
        for name, each in (("source", spec.source), ("destination", spec.destination))
    )
    if references.problems:
        raise InvalidDocuments(references.problems)
    parts = {"kind": TRANSFER, "inputs": {"source": source}, "outputs": {DESTINATION: destination}}
    return ResolvedStep({"source": source, "destination": destination}, {DESTINATION: destination}, parts)


# --- what they have in common ------------------------------------------------------------------------------------

_FROM_RULE = "must be an output of another step: $(steps.STEP.outputs.NAME)"


def _check_from(source: Any, path: str, place: Place) -> None:
    if not isinstance(source, str) or not is_held(source):
        raise InvalidDocuments([place.pipeline.wrong(path, source, _FROM_RULE)])


def _document(kind: Any, name: str, raw: dict[str, Any], place: Place, path: str) -> Document[Any]:
    manifest = {"apiVersion": API_VERSION, "kind": kind.__name__, "metadata": {"name": name}, "spec": raw}
    try:
        resource = kind.model_validate(manifest)
    except ValidationError as error:
        problems = problems_of(error, model=kind, where=place.pipeline.where)
        raise InvalidDocuments(_moved(problems, place, path)) from None
    return Document(place.pipeline.where, place.pipeline.folder, resource)


def _moved(problems: list[Problem], place: Place, path: str) -> list[Problem]:
    """Return problems of the step as problems of the pipeline that it is in; those of other documents stay."""
    return [
        Problem(each.where, path + each.path.removeprefix("spec"), each.text)
        if each.where == place.pipeline.where
        else each
        for each in problems
    ]


def _others(documents: Documents) -> tuple[Document[Resource], ...]:
    return tuple(each for each in documents if not isinstance(each.resource, ParallelRunStep))


def _common(spec: ParallelRunStepSpec | ScriptStepSpec, references: References) -> dict[str, Any]:
    """Return the parts of a fingerprint that both kinds of steps with code have."""
    settings = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_APART)
    environment = references.environment(spec.environment)
    return {
        "arguments": list(spec.arguments),
        "environment": _environment(environment, spec.environment_variables),
        "models": {f"{each.name} {each.version}": each.uri for each in references.models(spec.models)},
        "settings": settings,
    }


def _environment(environment: Document[Environment] | None, own: Mapping[str, str]) -> dict[str, Any]:
    if environment is None:
        return {"variables": dict(own)}
    spec = environment.resource.spec
    python = {} if spec.python is None else {"python": python_of(environment)}
    image = {} if spec.image is None else {"image": spec.image}
    return {**image, **python, "variables": {**spec.variables, **own}}


def _given(given: Any) -> dict[str, Any]:
    """Return how an input's data is read."""
    return {"mode": given.mode, **({} if given.tabular is None else {"tabular": asdict(given.tabular)})}


def _output(output: Any, references: References) -> dict[str, Any]:
    """Return an output's settings, with the place of its Datastore for its name."""
    said: dict[str, Any] = output.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude={"name", "datastore"}
    )
    store = References(references.documents, references.step).datastore(output.datastore, references.step, "spec")
    return said if store is None else {**said, "datastore": store}
