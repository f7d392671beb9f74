"""Freezing of a Pipeline, values of its parameters and the referenced documents into a FrozenPipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from longshore_api.data import Dataset, Datastore
from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_api.pipeline import PipelineStep
from longshore_api.validation import Loc, field_path, problems_of
from longshore_planner.catalogue import Documents
from longshore_planner.cluster.environments import NO_DEFAULTS, DefaultImages
from longshore_planner.locations import is_url, join
from longshore_planner.named_data import named_data
from longshore_planner.output_folders import are_overwritten
from longshore_planner.pipelines.check import check_names, unused, with_placeholders
from longshore_planner.pipelines.choose import PipelineDocument
from longshore_planner.pipelines.fingerprint import comparable
from longshore_planner.pipelines.frozen import TRANSFER, FrozenPipeline, FrozenStep, Options
from longshore_planner.pipelines.graph import arrange
from longshore_planner.pipelines.parameters import Filling, Given, read_values
from longshore_planner.pipelines.steps import (
    ClusterContext,
    ResolvedStep,
    StepContext,
    kind_of,
    output_location,
    resolve_step,
)
from longshore_planner.pod_locations import pod_location, user_location
from longshore_planner.references import References
from longshore_planner.registering import parameter_texts
from longshore_planner.step_outputs import Need


def freeze(
    pipeline: PipelineDocument,
    given: Iterable[Given],
    documents: Documents,
    *,
    run_id: str,
    run_uri: str,
    cores: int,
    options: Options,
    cluster: Cluster | None = None,
) -> FrozenPipeline:
    """Freeze one run of a pipeline, local or on a cluster; `FrozenStep.with_code` adds code and contents later.

    Args:
        pipeline: The pipeline.
        given: Values of its parameters.
        documents: Everything that the pipeline refers to.
        run_id: Id of the run.
        run_uri: Folder of the run, which contains `steps/<name>` for each step.
        cores: Processor cores of this machine.
        options: Options of the run.
        cluster: The cluster that runs the pipeline; None for a local run.

    Raises:
        InvalidDocuments: with every problem of the first stage that fails: names and parameters, single steps,
            dependencies.
    """
    freezer = _Freezer(pipeline, documents, run_id=run_id, run_uri=run_uri, cores=cores, cluster=cluster)
    try:
        values = _values(pipeline, given, documents, on_cluster=cluster is not None)
        catalogue = named_data(documents, in_pods=cluster is not None)
        return FrozenPipeline(pipeline.name, run_id, run_uri, values, freezer.steps(values), options, catalogue)
    except InvalidDocuments as error:
        raise InvalidDocuments(
            replace(each, path=pipeline.document_path(each.path)) for each in error.problems
        ) from None


@dataclass(frozen=True)
class Cluster:
    """Settings of the cluster that a pipeline runs on."""

    host_paths: bool  # whether Datastores may be folders of the nodes
    images: DefaultImages = NO_DEFAULTS  # of Environments without one


def _values(
    pipeline: PipelineDocument, given: Iterable[Given], documents: Documents, *, on_cluster: bool
) -> dict[str, Any]:
    """Return the parameters' values, with their locations resolved, in the form of pods if `on_cluster`.

    Raises:
        InvalidDocuments: for invalid values, and for Datasets that do not exist.
    """
    declared = pipeline.spec.parameters
    path = field_path((*pipeline.loc, "parameters"))
    values = read_values(declared, given, where=pipeline.where, path=path)
    references = References(documents, pipeline.document)
    for each in declared:
        value = values[each.name]
        if each.type == "dataset" and documents.find(Dataset, value.value) is None:
            known = listed(documents.names(Dataset))
            text = f"is {value.value!r}: there is no such Dataset; the documents have {known}"
            references.report(replace(value.problem(text), missing=Dataset.__name__))
        if each.type == "datapath":
            asked = value.value if isinstance(value.value, dict) else {"path": value.value}
            find = _pod_location if on_cluster else _local_location
            location = find(asked["path"], asked.get("datastore"), references, value.path)
            values[each.name] = Given(each.name, location, value.where, value.path)
    if references.problems:
        raise InvalidDocuments(references.problems)
    return {name: each.value for name, each in values.items()}


def _local_location(path: str, datastore: str | None, references: References, field: str) -> str:
    return references.location(path, datastore, references.step, field)


def _pod_location(path: str, datastore: str | None, references: References, field: str) -> str:
    """Return a location in the form of pods; the step that uses it checks that a Datastore contains it."""
    if is_url(path):
        return pod_location(path)
    stores = references.documents.of(Datastore)
    if datastore is not None:
        found = references.find(Datastore, datastore, references.step, field)
    else:
        found = next((each for each in stores if each.resource.spec.default), None)
    return path if found is None else pod_location(join(found.resource.spec.uri, path))


class _Freezer:
    """Freezer of a pipeline's steps; collects all problems in `problems` instead of raising the first."""

    def __init__(
        self,
        pipeline: PipelineDocument,
        documents: Documents,
        *,
        run_id: str,
        run_uri: str,
        cores: int,
        cluster: Cluster | None,
    ) -> None:
        self.pipeline, self.documents, self.cluster = pipeline, documents, cluster
        self.run_id, self.run_uri, self.cores = run_id, run_uri, cores
        self.parameters: dict[str, str] = {}
        self.needs: list[Need] = []
        self.problems: list[Problem] = []
        self.filled: dict[str, tuple[PipelineStep, Loc]] = {}
        self.resolved: dict[str, ResolvedStep] = {}

    def steps(self, values: Mapping[str, Any]) -> tuple[FrozenStep, ...]:
        """Return the frozen steps in an order in which they can run; raise InvalidDocuments with all problems."""
        check_names(self.pipeline)
        self.parameters = parameter_texts(values)
        filling = Filling(values, self.pipeline.where)
        for index, step in enumerate(self.pipeline.spec.steps):
            self.fill(step, filling, loc=(*self.pipeline.loc, "steps", index))
        for step, loc in self.filled.values():
            self.resolve(step, loc)
        problems = [*unused(self.pipeline, filling.used), *filling.problems, *self.problems]
        if problems:
            raise InvalidDocuments(problems)
        outputs = {name: list(each.outputs) for name, each in self.resolved.items()}
        order = arrange(list(self.filled), self.needs, outputs, self.pipeline.where)
        return tuple(self.frozen(name) for name in order)

    def frozen(self, name: str) -> FrozenStep:
        """Return a resolved step as frozen, with the names that scripts can read: the pipeline and its run."""
        frozen = _frozen(self.filled[name][0], self.resolved[name], self.needs)
        if frozen.kind == TRANSFER:
            return frozen
        names = {"experiment": self.pipeline.name, "parent_id": self.run_id, "pipeline_parameters": self.parameters}
        return replace(frozen, job={**frozen.job, **names})

    def fill(self, step: PipelineStep, filling: Filling, *, loc: Loc) -> None:
        """Replace the parameters of one step and validate it."""
        before = len(filling.problems) + len(self.problems)
        raw = filling.fill(step.model_dump(by_alias=True, exclude_unset=True), loc=loc)
        raw = with_placeholders(raw, loc, where=self.pipeline.where, needs=self.needs, problems=self.problems)
        if len(filling.problems) + len(self.problems) > before:
            return  # validation would only report the missing values again
        try:
            self.filled[step.name] = (_checked(raw, loc, self.pipeline.where), loc)
        except InvalidDocuments as error:
            self.problems += error.problems

    def resolve(self, step: PipelineStep, loc: Loc) -> None:
        """Resolve one step."""
        run_uri, run_id = join(self.run_uri, f"steps/{step.name}"), f"{self.run_id}-{step.name}"
        cluster = None if self.cluster is None else self.cluster_context(step.name, self.cluster)
        location = StepContext(
            self.pipeline.document, field_path(loc), self.documents, run_uri, run_id, self.cores, cluster
        )
        try:
            self.resolved[step.name] = resolve_step(step, location)
        except InvalidDocuments as error:
            self.problems += [each for each in error.problems if each not in self.problems]

    def cluster_context(self, name: str, cluster: Cluster) -> ClusterContext:
        """Return the cluster context of a step, with the locations of the outputs that it reads."""
        read = {(each.on, each.output) for each in self.needs if each.step == name and each.output is not None}
        found = [output_location(self.filled[on][0], output) for on, output in read if output and on in self.filled]
        datastores = frozenset(datastore for datastore, location in found if location is None)
        locations = frozenset(location for _, location in found if location is not None)
        return ClusterContext(self.run_id, cluster.host_paths, cluster.images, datastores, locations)


def _checked(raw: dict[str, Any], loc: Loc, where: str) -> PipelineStep:
    """Validate a step with replaced parameters; return it, or raise InvalidDocuments."""
    try:
        return PipelineStep.model_validate(raw)
    except ValidationError as error:
        found = problems_of(error, model=PipelineStep, where=where)
    raise InvalidDocuments(Problem(where, f"{field_path(loc)}.{each.path}".rstrip("."), each.text) for each in found)


def _frozen(step: PipelineStep, resolved: ResolvedStep, needs: list[Need]) -> FrozenStep:
    own = [each for each in needs if each.step == step.name]
    in_pods, outputs = resolved.provision is not None, resolved.outputs
    return FrozenStep(
        name=step.name,
        kind=kind_of(step),
        after=tuple(dict.fromkeys(each.on for each in own)),
        reads=tuple(dict.fromkeys(each.on for each in own if each.output is not None)),
        job=resolved.job,
        outputs={name: user_location(uri) for name, uri in outputs.items()} if in_pods else outputs,
        parts=comparable({**resolved.parts, "version": step.version}),
        source=resolved.source,
        python=resolved.python,
        packages=resolved.packages,
        spec=resolved.spec,
        provision=None if resolved.provision is None else resolved.provision.to_dict(),
        allow_reuse=step.allow_reuse and not are_overwritten(resolved.spec),
        retries=step.retries,
        timeout=None if step.timeout_seconds is None else float(step.timeout_seconds),
    )
