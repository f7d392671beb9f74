"""Validation of one step of a pipeline, with replaced parameters, and its resolution into a job.

Problems carry the field's path in the pipeline, such as "spec.steps[1].script.arguments[0]".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from pydantic import ValidationError

from longshore_api.base import API_VERSION, Resource
from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.parallel_run_step import ParallelRunStep, ParallelRunStepSpec
from longshore_api.pipeline import PipelineStep
from longshore_api.resources import Environment
from longshore_api.tasks import ScriptStep, ScriptStepSpec, TransferStep
from longshore_api.validation import problems_of
from longshore_planner.catalogue import Document, Documents
from longshore_planner.cluster.environments import DefaultImages
from longshore_planner.cluster.layout import PodLayout
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.cluster.step_runs import on_nodes
from longshore_planner.locations import is_url, join
from longshore_planner.pipelines.frozen import PARALLEL_RUN, SCRIPT, TRANSFER
from longshore_planner.references import References, python_of
from longshore_planner.resolve import resolve
from longshore_planner.script_steps import DESTINATION, FROM_RULE, script_job, transfer_job
from longshore_planner.step_outputs import is_placeholder
from longshore_protocol.job import ScriptInput
from longshore_protocol.package_set import PackageSet

# Fields of a standalone step that in a pipeline belong to the run.
_RUN_FOLDERS = ("suspend", "cancel", "resumeFrom", "retryFailed", "acceptChangedCode", "ttlSecondsAfterFinished")
_OF_THE_STEP = ("timeoutSeconds",)  # fields of a standalone task that in a pipeline are beside its spec
# Fields that do not affect the outputs, or that have their own part of the fingerprint.
_NOT_SETTINGS = {
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
    "datastores",
    "mini_batch",
    "mini_batch_size",
    "priority",
    "failed_items_warning_percent",
}


@dataclass(frozen=True)
class StepContext:
    """Origin of a step in a document, and where the step runs."""

    pipeline: Document[Resource]
    path: str  # "spec.steps[1]"
    documents: Documents
    run_uri: str  # folder of the step's run on this machine
    run_id: str  # id of the step's run
    cores: int
    cluster: ClusterContext | None = None  # None for a local run


@dataclass(frozen=True)
class ClusterContext:
    """Further context of a step that runs in pods."""

    run_id: str  # id of the pipeline's run
    host_paths: bool  # allow Datastores that are folders of the nodes
    images: DefaultImages  # of Environments without one
    datastores: frozenset[str | None]  # Datastores with outputs that the step reads; None is the default one
    locations: frozenset[str]  # full locations of outputs that the step reads


@dataclass(frozen=True)
class ResolvedStep:
    """A resolved step: its job, outputs, fingerprint and spec."""

    job: dict[str, Any]
    outputs: dict[str, str]  # name -> URI
    parts: dict[str, Any]  # of the fingerprint
    spec: dict[str, Any]  # the step's spec in the form of its model
    source: str | None = None
    python: str | None = None
    packages: PackageSet | None = None
    provision: PodRequirements | None = None  # of its pods; None for a local run


def resolve_step(step: PipelineStep, context: StepContext) -> ResolvedStep:
    """Resolve a step; return it, or raise InvalidDocuments with every problem found."""
    for kind, raw in ((PARALLEL_RUN, step.parallel_run), (SCRIPT, step.script), (TRANSFER, step.transfer)):
        _refuse_foreign(kind, raw or {}, context)
    try:
        if step.parallel_run is not None:
            return _parallel_run(step, step.parallel_run, context)
        if step.script is not None:
            return _script(step, step.script, context)
        assert step.transfer is not None  # the model requires exactly one of the three
        return _transfer(step, step.transfer, context)
    except InvalidDocuments as error:
        raise InvalidDocuments(
            _with_pipeline_path(error.problems, context, f"{context.path}.{kind_of(step)}")
        ) from None


def kind_of(step: PipelineStep) -> str:
    """Return the kind of a step: PARALLEL_RUN, SCRIPT or TRANSFER."""
    return PARALLEL_RUN if step.parallel_run is not None else SCRIPT if step.script is not None else TRANSFER


def output_location(step: PipelineStep, output: str) -> tuple[str | None, str | None]:
    """Return (Datastore, None) of a step's output, with None for the default Datastore, or (None, full location)."""
    if step.transfer is not None:
        destination = step.transfer.get(DESTINATION, {})
        path = str(destination.get("path", ""))
        return (None, path) if is_url(path) else (destination.get("datastore"), None)
    raw = step.parallel_run or step.script or {}
    every = [raw["output"]] if isinstance(raw.get("output"), dict) else raw.get("outputs", [])
    return next((each.get("datastore") for each in every if each.get("name") == output), None), None


def _refuse_foreign(kind: str, raw: dict[str, Any], context: StepContext) -> None:
    path = f"{context.path}.{kind}"
    rules = [(name, "is not supported in a pipeline's step; set it in the PipelineRun") for name in _RUN_FOLDERS]
    if kind != PARALLEL_RUN:
        rules += [(name, f"is not supported here; set it beside {kind}") for name in _OF_THE_STEP]
    foreign = [context.pipeline.problem(f"{path}.{name}", text) for name, text in rules if name in raw]
    if foreign:
        raise InvalidDocuments(foreign)


# --- the three kinds ---------------------------------------------------------------------------------------------


def _parallel_run(step: PipelineStep, raw: dict[str, Any], context: StepContext) -> ResolvedStep:
    inputs = raw.get("inputs")
    if isinstance(inputs, list):
        raw = {**raw, "inputs": [_data_of(each, f"spec.inputs[{i}]", context) for i, each in enumerate(inputs)]}
    side = raw.get("sideInputs")
    if isinstance(side, list):
        raw = {**raw, "sideInputs": [_data_of(each, f"spec.sideInputs[{i}]", context) for i, each in enumerate(side)]}
    document = _document(ParallelRunStep, step.name, raw, context)
    setting = _setting(document, context)
    resolved = resolve(
        setting.documents,
        run_uri=setting.run_uri,
        run_id=context.run_id,
        cores=context.cores,
        in_pods=context.cluster is not None,
    )
    spec, job = document.resource.spec, resolved.job
    if setting.provision is not None:
        job = on_nodes(job, document.resource, setting.provision)
    references = References(setting.documents, setting.step)
    parts = {
        **_common(spec, references, setting.provision),
        "kind": PARALLEL_RUN,
        "entry": spec.entry_script,
        "inputs": {
            **{each.name: {"paths": list(each.paths), **_given(each)} for each in job.inputs},
            **_whole(job.side_inputs),
        },
        "outputs": {} if spec.output is None else {spec.output.name: _output(spec.output, references)},
    }
    parts["settings"]["miniBatch"] = f"{job.mini_batch.value} {job.mini_batch.unit}"
    outputs = {} if spec.output is None else {spec.output.name: job.output.uri}
    job_json = json.loads(job.to_json())
    runtime = (resolved.python, resolved.packages)
    return setting.resolved(job_json, outputs, parts, source=job.source_uri, runtime=runtime)


def _script(step: PipelineStep, raw: dict[str, Any], context: StepContext) -> ResolvedStep:
    document = _document(ScriptStep, step.name, raw, context)
    setting, spec = _setting(document, context), document.resource.spec
    references = References(setting.documents, setting.step)
    timeout = None if step.timeout_seconds is None else float(step.timeout_seconds)
    in_place = cast("Document[ScriptStep]", setting.step)
    in_pods = context.cluster is not None
    job = script_job(
        in_place, references, run_uri=setting.run_uri, run_id=context.run_id, timeout=timeout, in_pods=in_pods
    )
    parts = {
        **_common(spec, references, setting.provision),
        "kind": SCRIPT,
        "entry": spec.script_name,
        "params": _with_empty(spec.params),
        "inputs": _whole(job.inputs),
        "outputs": {each.name: _output(each, references) for each in spec.outputs},
    }
    environment = references.environment(spec.environment)
    runtime = (python_of(environment), references.packages(environment))
    if references.problems:
        raise InvalidDocuments(references.problems)
    outputs = {each.name: each.uri for each in job.outputs}
    return setting.resolved(job.to_dict(), outputs, parts, source=job.source_uri, runtime=runtime)


def _transfer(step: PipelineStep, raw: dict[str, Any], context: StepContext) -> ResolvedStep:
    document = _document(TransferStep, step.name, raw, context)
    setting = _setting(document, context)
    references = References(setting.documents, setting.step)
    job = transfer_job(cast("Document[TransferStep]", setting.step), references)
    if references.problems:
        raise InvalidDocuments(references.problems)
    source, destination = job["source"], job[DESTINATION]
    parts = {"kind": TRANSFER, "inputs": {"source": source}, "outputs": {DESTINATION: destination}}
    return setting.resolved(job, {DESTINATION: destination}, parts)


def _data_of(given: Any, path: str, context: StepContext) -> Any:
    """Convert an input that is another step's output into one with its data described in place."""
    if not isinstance(given, dict) or "from" not in given:
        return given
    taken = {key: value for key, value in given.items() if key not in ("from", "tabular")}
    source, tabular = given["from"], given.get("tabular")
    _check_from(source, f"{path}.from", context)
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


# --- common parts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Setting:
    """A step and its documents, with locations in the form of the machine or pods that run it."""

    documents: Documents
    step: Document[Resource]
    run_uri: str
    spec: dict[str, Any]
    provision: PodRequirements | None = None

    def resolved(
        self,
        job: dict[str, Any],
        outputs: dict[str, str],
        parts: dict[str, Any],
        *,
        source: str | None = None,
        runtime: tuple[str | None, PackageSet | None] = (None, None),
    ) -> ResolvedStep:
        return ResolvedStep(job, outputs, parts, self.spec, source, *runtime, self.provision)


def _setting(document: Document[Any], context: StepContext) -> _Setting:
    """Return the setting of a step, with locations in pods if it runs there; raise InvalidDocuments."""
    documents, step = _documents_with(context.documents, document), cast("Document[Resource]", document)
    spec = _own_spec(document.resource)
    if context.cluster is None:
        return _Setting(documents, step, context.run_uri, spec)
    cluster = context.cluster
    layout = PodLayout(
        documents,
        step,
        host_paths=cluster.host_paths,
        images=cluster.images,
        datastores=cluster.datastores,
        locations=cluster.locations,
    )
    mounted = layout.documents_in_pods()
    has_folder = not isinstance(document.resource, TransferStep)
    store = layout.run_store(mounted) if has_folder else ""
    provision = layout.provision(store)
    assert store is not None, "or there is a problem"
    run_uri = join(store, f"longshore/{cluster.run_id}/steps/{document.name}") if has_folder else ""
    in_pods = next(each for each in mounted if type(each.resource) is type(document.resource))
    return _Setting(mounted, in_pods, run_uri, spec, provision)


def _documents_with(documents: Documents, step: Document[Any]) -> Documents:
    """Return the documents with `step` as the only step."""
    kinds = (ParallelRunStep, ScriptStep, TransferStep)
    around = (each for each in documents if not isinstance(each.resource, kinds))
    return Documents((*around, cast("Document[Resource]", step)))


def _own_spec(step: ParallelRunStep | ScriptStep | TransferStep) -> dict[str, Any]:
    """Return the spec of a step in the form of a standalone resource, whose inputs are files."""
    spec = step.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(step, ScriptStep):
        for each in spec.get("inputs", []):
            if "from" in each:
                each["file"] = {"paths": [each.pop("from")]}
    return spec


def _check_from(source: Any, path: str, context: StepContext) -> None:
    if not isinstance(source, str) or not is_placeholder(source):
        raise InvalidDocuments([context.pipeline.wrong(path, source, FROM_RULE)])


def _document(kind: Any, name: str, raw: dict[str, Any], context: StepContext) -> Document[Any]:
    """Return a step as a standalone document; raise InvalidDocuments if it is invalid."""
    manifest = {"apiVersion": API_VERSION, "kind": kind.__name__, "metadata": {"name": name}, "spec": raw}
    try:
        resource = kind.model_validate(manifest)
    except ValidationError as error:
        raise InvalidDocuments(problems_of(error, model=kind, where=context.pipeline.where)) from None
    return Document(context.pipeline.where, context.pipeline.folder, resource)


def _with_pipeline_path(problems: list[Problem], context: StepContext, path: str) -> list[Problem]:
    """Convert problems of a step into problems of its pipeline; problems of other documents are unchanged."""
    return [
        replace(each, path=path + each.path.removeprefix("spec")) if each.where == context.pipeline.where else each
        for each in problems
    ]


def _common(
    spec: ParallelRunStepSpec | ScriptStepSpec, references: References, provision: PodRequirements | None
) -> dict[str, Any]:
    """Return the fingerprint parts that both kinds of steps with code share."""
    settings = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_NOT_SETTINGS)
    environment = references.environment(spec.environment)
    return {
        "arguments": list(spec.arguments),
        "environment": {
            **_environment(environment, references.packages(environment), spec.environment_variables),
            **({} if provision is None else {"image": provision.image}),
        },
        "models": {f"{each.name} {each.version}": each.uri for each in references.models(spec.models)},
        "settings": settings,
    }


def _environment(
    environment: Document[Environment] | None, packages: PackageSet | None, own: Mapping[str, str]
) -> dict[str, Any]:
    if environment is None:
        return {"variables": _with_empty(own)}
    spec = environment.resource.spec
    python = {} if spec.python is None else {"python": python_of(environment)}
    image = {} if spec.image is None else {"image": spec.image}
    installed = {} if packages is None else {"packages": _installed(packages)}
    return {**image, **python, **installed, "variables": _with_empty({**spec.variables, **own})}


def _installed(packages: PackageSet) -> dict[str, Any]:
    """Return the fingerprint parts of packages."""
    indexes = list(filter(None, [packages.index_url, *packages.extra_index_urls]))
    settings = {"requirements": list(packages.requirements), "python": list(packages.pythons), "indexes": indexes}
    return {name: value for name, value in settings.items() if value}


def _with_empty(given: Mapping[str, str]) -> dict[str, str]:
    """Replace empty texts by two quotes, because a script distinguishes an empty text from an absent one."""
    return {name: text or "''" for name, text in given.items()}


def _given(given: Any) -> dict[str, Any]:
    """Return how an input's data is read; for a query without the name of its Datastore."""
    table = None if given.tabular is None else {**asdict(given.tabular), "database": ""}
    settings = {"mode": given.mode, "tabular": table, "partition": given.partition_format}
    return {name: value for name, value in settings.items() if value is not None}


def _whole(given: Iterable[ScriptInput]) -> dict[str, Any]:
    """Return the fingerprint parts of inputs that a script reads as a whole."""
    return {
        each.name: {
            "paths": list(each.uris),
            "mode": each.mode,
            **({} if each.tabular is None else {"tabular": asdict(each.tabular)}),
        }
        for each in given
    }


def _output(output: Any, references: References) -> dict[str, Any]:
    """Return an output's settings, with the location of its Datastore instead of its name."""
    settings: dict[str, Any] = output.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude={"name", "datastore"}
    )
    store = References(references.documents, references.step).datastore(output.datastore, references.step, "spec")
    return settings if store is None else {**settings, "datastore": store}
