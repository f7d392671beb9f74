"""From documents that refer to one another to one job with every name resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from longshore_api.base import Resource
from longshore_api.data import Dataset, Datastore, FileDataset, TabularDataset
from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_api.parallel_run_step import ParallelRunStep, ParallelRunStepSpec, StepInput, StepModel
from longshore_api.resources import ComputeCluster, Environment, Model
from longshore_api.values import parse_size
from longshore_planner.arguments import apply_settings, fill_references
from longshore_planner.catalogue import Document, Documents
from longshore_planner.places import is_url, join, locate
from longshore_protocol import job

R = TypeVar("R", bound=Resource)

_DEFAULT_FILES = job.MiniBatchSize(job.FILES, 10)
_DEFAULT_ROWS = job.MiniBatchSize(job.BYTES, 1024**2)


@dataclass(frozen=True)
class Resolved:
    """A job, and what whoever starts its processes has to know besides."""

    step: Document[ParallelRunStep]
    job: job.Job
    python: str | None  # the Environment's interpreter (a path, or a name to find on PATH); None: none is named


def resolve(
    documents: Documents,
    *,
    run_uri: str,
    run_id: str,
    cores: int,
    sample: int | None = None,
) -> Resolved:
    """Resolve the one ParallelRunStep of the documents for a run on this machine.

    `run_uri` is the run's folder; `cores` are shared out among the workers where `processCountPerNode` is auto;
    `sample` is a number of mini-batches to stop after. Raises InvalidDocuments with every problem found.
    """
    step = _single_step(documents)
    spec = apply_settings(step)
    resolver = _Resolver(documents, step, spec)
    inputs = resolver.inputs()
    mini_batch = resolver.mini_batch(inputs)
    output = resolver.output(run_uri, run_id)
    places = {f"outputs.{spec.output.name}": output.uri} if spec.output else {}
    workers = resolver.workers()
    environment = resolver.environment()
    source_uri = resolver.source_uri()
    models = resolver.models()
    arguments = resolver.arguments(places)
    if resolver.problems:
        raise InvalidDocuments(resolver.problems)
    processes = spec.process_count_per_node
    resolved = job.Job(
        name=step.name,
        run_id=run_id,
        run_uri=run_uri,
        inputs=inputs,
        mini_batch=mini_batch,
        output=output,
        source_uri=source_uri,
        entry_script=spec.entry_script,
        arguments=arguments,
        variables={**(environment.resource.spec.variables if environment else {}), **spec.environment_variables},
        models=models,
        workers=workers,
        processes_per_worker=max(1, cores // workers) if processes == "auto" else processes,
        max_tries=spec.run_max_try,
        thresholds=_thresholds(spec),
        timeouts=_timeouts(spec),
        logging_level=spec.logging_level,
        resource_monitor_interval=float(spec.resource_monitor_interval_seconds),
        profiling_module=spec.profiling_module,
        metrics_name_prefix=spec.metrics_name_prefix,
        sample=sample,
    )
    return Resolved(step, resolved, _python(environment))


def _single_step(documents: Documents) -> Document[ParallelRunStep]:
    steps = documents.of(ParallelRunStep)
    if len(steps) == 1:
        return steps[0]
    if not steps:
        kinds = listed(sorted({each.resource.kind for each in documents}))
        raise InvalidDocuments([Problem("documents", "", f"none is a ParallelRunStep; there are: {kinds}")])
    names = listed(f"{each.name} ({each.where})" for each in steps)
    raise InvalidDocuments([Problem("documents", "", f"a run takes one ParallelRunStep, and there are {names}")])


@dataclass
class _Resolver:
    """Follows the step's references; what is wrong is put down in `problems`, so that all of it is told at once."""

    documents: Documents
    step: Document[ParallelRunStep]
    spec: ParallelRunStepSpec
    problems: list[Problem] = field(default_factory=list)

    def inputs(self) -> tuple[job.Input, ...]:
        inputs = [each for index, given in enumerate(self.spec.inputs) if (each := self._input(index, given))]
        for index, each in enumerate(inputs):
            if (each.tabular is None) != (inputs[0].tabular is None):
                text = f"must all be of one kind: {inputs[0].name!r} is {_kind(inputs[0])}, {each.name!r} {_kind(each)}"
                self.problems.append(self.step.problem("spec.inputs", text))
                return tuple(inputs[:index])
        return tuple(inputs)

    def mini_batch(self, inputs: tuple[job.Input, ...]) -> job.MiniBatchSize:
        if not inputs:
            return _DEFAULT_FILES  # of no use: what is wrong with the inputs has been told
        tabular, size = inputs[0].tabular is not None, self.spec.mini_batch_size
        if self.spec.mini_batch is not None:
            return self._mini_batch_in_units(tabular=tabular)
        if size is None:
            return _DEFAULT_ROWS if tabular else _DEFAULT_FILES
        number, has_unit = parse_size(size)
        if has_unit and not tabular:
            rule = "must be a number of files, because the inputs are files"
            self.problems.append(self.step.wrong("spec.miniBatchSize", size, rule))
        return job.MiniBatchSize(job.BYTES if tabular else job.FILES, number)

    def output(self, run_uri: str, run_id: str) -> job.Output:
        spec, given = self.spec, self.spec.output
        if given is None:
            return job.Output(spec.output_action, join(run_uri, "output"))
        store = self._datastore(given.datastore, self.step, "spec.output.datastore")
        uri = join(run_uri, given.name) if store is None else join(store, f"longshore/{run_id}/{given.name}")
        return job.Output(
            spec.output_action,
            uri,
            file_name=spec.append_row_file_name,
            format=given.format,
            header=given.header,
            separator=given.separator,
        )

    def workers(self) -> int:
        if self.spec.compute_target is None:
            return self.spec.node_count
        cluster = self._find(ComputeCluster, self.spec.compute_target, self.step, "spec.computeTarget")
        return min(self.spec.node_count, cluster.resource.spec.max_nodes) if cluster else self.spec.node_count

    def environment(self) -> Document[Environment] | None:
        given = self.spec.environment
        return None if given is None else self._find(Environment, given.name, self.step, "spec.environment.name")

    def source_uri(self) -> str:
        source = self.spec.source
        if source is None:
            return self.step.folder
        if source.uri is None:
            name = "configMap" if source.config_map else "image"
            text = "is known to a cluster only: a local run takes spec.source.uri"
            self.problems.append(self.step.problem(f"spec.source.{name}", text))
            return self.step.folder
        return self._locate(source.uri, self.step, "spec.source.uri")

    def models(self) -> tuple[job.Model, ...]:
        found = [self._model(given, f"spec.models[{index}]") for index, given in enumerate(self.spec.models)]
        return tuple(filter(None, found))

    def arguments(self, places: Mapping[str, str]) -> tuple[str, ...]:
        try:
            return fill_references(self.step, places)
        except InvalidDocuments as error:
            self.problems += error.problems
            return ()

    def _input(self, index: int, given: StepInput) -> job.Input | None:
        path = inside = f"spec.inputs[{index}]"
        where: Document[Resource] = self.step
        file, tabular = given.file, given.tabular
        if given.dataset is not None:
            dataset = self._find(Dataset, given.dataset, self.step, f"{path}.dataset")
            if dataset is None:
                return None
            where, inside = dataset, "spec"
            file, tabular = dataset.resource.spec.file, dataset.resource.spec.tabular
        if tabular is not None:
            paths = self._paths(tabular, where, f"{inside}.tabular")
            return job.Input(given.name, paths, given.mode or "direct", _tabular_format(tabular))
        assert file is not None  # the models take exactly one of the two
        if given.mode == "direct":
            rule = "must be mount or download, because the input is files; direct is for tabular inputs"
            self.problems.append(self.step.wrong(f"{path}.mode", given.mode, rule))
        return job.Input(given.name, self._paths(file, where, f"{inside}.file"), given.mode or "mount")

    def _mini_batch_in_units(self, *, tabular: bool) -> job.MiniBatchSize:
        given = self.spec.mini_batch
        assert given is not None
        unit, value = next(
            (unit, value)
            for unit, value in ((job.FILES, given.files), (job.BYTES, given.bytes), (job.ROWS, given.rows))
            if value is not None
        )
        if (unit == job.FILES) == tabular:
            needed = "tabular: give bytes or rows" if tabular else "files: give files"
            text = f"is given, and the inputs are {needed}"
            self.problems.append(self.step.problem(f"spec.miniBatch.{unit}", text))
        return job.MiniBatchSize(unit, parse_size(value)[0])

    def _model(self, given: StepModel, path: str) -> job.Model | None:
        models = self.documents.of(Model)
        named = [each for each in models if (each.resource.spec.name or each.name) == given.name]
        named = named or [each for each in models if each.name == given.name]
        wanted = [each for each in named if given.version in (None, each.resource.spec.version)]
        if not wanted:
            known = listed(sorted(f"{m.resource.spec.name or m.name} {m.resource.spec.version}" for m in models))
            version = "" if given.version is None else f" of version {given.version}"
            rule = f"there is no such Model{version}; Models and their versions: {known}"
            self.problems.append(self.step.wrong(f"{path}.name", given.name, rule))
            return None
        model = max(wanted, key=lambda each: each.resource.spec.version)
        spec = model.resource.spec
        twins = [each for each in wanted if each.resource.spec.version == spec.version]
        if len(twins) > 1:
            rule = f"two Models have this name and version {spec.version}: {listed(each.name for each in twins)}"
            self.problems.append(self.step.wrong(f"{path}.name", given.name, rule))
            return None
        uri = self._place(spec.path, spec.datastore, model, "spec.path")
        return job.Model(spec.name or model.name, spec.version, uri)

    def _paths(self, data: FileDataset | TabularDataset, where: Document[Resource], path: str) -> tuple[str, ...]:
        return tuple(
            self._place(each, data.datastore, where, f"{path}.paths[{index}]") for index, each in enumerate(data.paths)
        )

    def _place(self, place: str, datastore: str | None, where: Document[Resource], path: str) -> str:
        """Return a place that is full, or relative to a Datastore, or to the YAML file where there is no Datastore."""
        if is_url(place) or (place.startswith("/") and datastore is None):
            return self._locate(place, where, path)
        store = self._datastore(datastore, where, path.rpartition(".")[0] + ".datastore")
        return self._locate(place, where, path) if store is None else join(store, place)

    def _datastore(self, name: str | None, where: Document[Resource], path: str) -> str | None:
        """Return the root of a Datastore, of the default one for None; None where there is neither."""
        if name is not None:
            store = self._find(Datastore, name, where, path)
        else:
            defaults = [each for each in self.documents.of(Datastore) if each.resource.spec.default]
            if len(defaults) > 1:
                text = f"is missing, and several Datastores are the default: {listed(each.name for each in defaults)}"
                self._tell(where.problem(path, text))
            store = next(iter(defaults), None)
        return None if store is None else self._locate(store.resource.spec.uri, store, "spec.uri")

    def _find(self, kind: type[R], name: str, where: Document[Resource], path: str) -> Document[R] | None:
        found = self.documents.find(kind, name)
        if found is None:
            known = listed(self.documents.names(kind))
            self._tell(where.wrong(path, name, f"there is no such {kind.__name__}; the documents have {known}"))
        return found

    def _locate(self, place: str, where: Document[Resource], path: str) -> str:
        try:
            return locate(place, folder=where.folder)
        except ValueError as error:
            self._tell(where.problem(path, f"is {place!r}: it {error}"))
            return place

    def _tell(self, problem: Problem) -> None:
        if problem not in self.problems:  # several paths may meet the same broken Datastore
            self.problems.append(problem)


def _kind(given: job.Input) -> str:
    return "files" if given.tabular is None else "tabular"


def _tabular_format(data: TabularDataset) -> job.TabularFormat:
    return job.TabularFormat(
        format=data.format,
        separator=data.separator,
        header=data.header,
        encoding=data.encoding,
        column_types=dict(data.column_types),
        multi_line=data.support_multi_line,
    )


def _thresholds(spec: ParallelRunStepSpec) -> job.Thresholds:
    return job.Thresholds(spec.error_threshold, spec.allowed_failed_count, spec.allowed_failed_percent)


def _timeouts(spec: ParallelRunStepSpec) -> job.Timeouts:
    progress = spec.progress_update_timeout_seconds
    return job.Timeouts(
        run_invocation=float(spec.run_invocation_timeout_seconds),
        task_overhead=float(spec.task_overhead_timeout_seconds),
        init=float(spec.init_timeout_seconds),
        first_task_creation=float(spec.first_task_creation_timeout_seconds),
        progress_update=None if progress is None else float(progress),
    )


def _python(environment: Document[Environment] | None) -> str | None:
    """Return the interpreter: a name to find on PATH, or a path relative to the Environment's file."""
    python = None if environment is None else environment.resource.spec.python
    if python is None or environment is None or "/" not in python:
        return python
    return locate(python, folder=environment.folder)
