"""Resolution of documents and their references into one job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from longshore_api.base import Resource
from longshore_api.data import Dataset, FileDataset, TabularDataset
from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_api.parallel_run_step import ParallelRunStep, ParallelRunStepSpec, StepInput
from longshore_api.resources import ComputeCluster
from longshore_api.values import parse_size
from longshore_planner.arguments import apply_settings, are_json_lines, fill_references
from longshore_planner.catalogue import Document, Documents
from longshore_planner.locations import join
from longshore_planner.named_data import usable_datastores
from longshore_planner.output_folders import output_folder
from longshore_planner.references import References, python_of
from longshore_planner.script_steps import registration_of, script_input
from longshore_planner.tables import tabular_format
from longshore_protocol import job
from longshore_protocol.package_set import PackageSet
from longshore_protocol.partition_format import PartitionFormat

_RUN_FOLDERS = ("logs", "state")  # folders in a run's folder
_DEFAULT_FILES = job.MiniBatchSize(job.FILES, 10)
_DEFAULT_ROWS = job.MiniBatchSize(job.BYTES, 1024**2)
_DEFAULT_OF_QUERIES = job.MiniBatchSize(job.ROWS, 10_000)


@dataclass(frozen=True)
class Resolved:
    """A resolved job, and what the caller needs to start its processes."""

    step: Document[ParallelRunStep]
    job: job.Job
    python: str | None  # the Environment's interpreter (a path, or a name to look up on PATH); None if not set
    packages: PackageSet | None = None  # the Environment's packages, to install on top of the interpreter


def resolve(
    documents: Documents,
    *,
    run_uri: str,
    run_id: str,
    cores: int,
    sample: int | None = None,
    in_pods: bool = False,
) -> Resolved:
    """Resolve the one ParallelRunStep of the documents, without its catalogue, for a run on this machine.

    Args:
        documents: The step and everything that it refers to.
        run_uri: Folder of the run.
        run_id: Id of the run.
        cores: Processor cores, divided among the workers if `processCountPerNode` is auto.
        sample: Number of mini-batches after which the run stops; None for all.
        in_pods: The run is in pods, and the documents have locations in their form.

    Raises:
        InvalidDocuments: with every problem found.
    """
    step = _single_step(documents)
    spec = apply_settings(step)
    resolver = _Resolver(documents, step, spec, lines=are_json_lines(step))
    inputs = resolver.inputs()
    mini_batch = resolver.mini_batch(inputs)
    output = resolver.output(run_uri, run_id)
    locations = {f"outputs.{spec.output.name}": output.uri} if spec.output else {}
    side_inputs = resolver.side_inputs()
    locations |= {
        f"inputs.{each.name}": f"$(inputs.{each.name})" for each in side_inputs
    }  # each worker has its own path
    workers = resolver.workers()
    environment = resolver.references.environment(spec.environment)
    packages = resolver.references.packages(environment)
    source_uri = resolver.references.source_uri(spec.source)
    models = resolver.references.models(spec.models)
    arguments = resolver.arguments(locations)
    if resolver.problems:
        raise InvalidDocuments(resolver.problems)
    datastores = usable_datastores(documents, cast("Document[Resource]", step), in_pods=in_pods)
    processes = spec.process_count_per_node
    resolved = job.Job(
        name=step.name,
        run_id=run_id,
        run_uri=run_uri,
        inputs=inputs,
        mini_batch=mini_batch,
        partition_keys=tuple(spec.partition_keys or ()),
        coalesce=spec.coalesce_small_files,
        output=output,
        source_uri=source_uri,
        entry_script=spec.entry_script,
        arguments=arguments,
        variables={**(environment.resource.spec.variables if environment else {}), **spec.environment_variables},
        models=models,
        datastores=datastores,
        side_inputs=side_inputs,
        workers=workers,
        processes_per_worker=max(1, cores // workers) if processes == "auto" else processes,
        concurrency_per_process=spec.max_concurrency_per_process,
        max_tries=spec.run_max_try,
        thresholds=_thresholds(spec),
        timeouts=_timeouts(spec),
        logging_level=spec.logging_level,
        resource_monitor_interval=float(spec.resource_monitor_interval_seconds),
        profiling_module=spec.profiling_module,
        metrics_name_prefix=spec.metrics_name_prefix,
        container_log=spec.container_log,
        sample=sample,
    )
    return Resolved(step, resolved, python_of(environment), packages)


def _single_step(documents: Documents) -> Document[ParallelRunStep]:
    steps = documents.of(ParallelRunStep)
    if len(steps) == 1:
        return steps[0]
    if not steps:
        kinds = listed(sorted({each.resource.kind for each in documents}))
        raise InvalidDocuments([Problem("documents", "", f"none is a ParallelRunStep; found {kinds}")])
    names = listed(f"{each.name} ({each.where})" for each in steps)
    raise InvalidDocuments([Problem("documents", "", f"a run takes one ParallelRunStep; found {names}")])


class _Resolver:
    """Converter of a step's fields into those of a job; collects all problems in `problems`."""

    def __init__(
        self, documents: Documents, step: Document[ParallelRunStep], spec: ParallelRunStepSpec, *, lines: bool
    ) -> None:
        self.step, self.spec, self.lines = step, spec, lines
        self.references = References(documents, cast("Document[Resource]", step))
        self.problems = self.references.problems

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
            return _DEFAULT_FILES  # unused: the inputs already have a problem
        tabular, size = inputs[0].tabular is not None, self.spec.mini_batch_size
        if any(map(_is_query, inputs)):
            return self._mini_batch_of_queries(inputs)
        if self.spec.coalesce_small_files and not tabular:
            text = "is not supported for files; remove it, or use tabular inputs"
            self.problems.append(self.step.problem("spec.coalesceSmallFiles", text))
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
        uri = output_folder(given, self.references, "spec.output", run_uri=run_uri, run_id=run_id)
        if uri in (join(run_uri, name) for name in _RUN_FOLDERS):
            rule = f"must be another name: {listed(_RUN_FOLDERS)} hold the run's own files"
            self.problems.append(self.step.wrong("spec.output.name", given.name, rule))
        return job.Output(
            spec.output_action,
            uri,
            file_name=spec.append_row_file_name,
            format=given.format,
            header=given.header,
            separator=given.separator,
            name=given.name,
            registration=registration_of(given.name, given),
        )

    def side_inputs(self) -> tuple[job.ScriptInput, ...]:
        found = []
        for index, given in enumerate(self.spec.side_inputs):
            path = f"spec.sideInputs[{index}]"
            if given.from_ is not None:
                rule = "is supported in pipelines only; set dataset or file instead"
                self.problems.append(self.step.wrong(f"{path}.from", given.from_, rule))
            else:
                found.append(script_input(given, path, self.references))
        return tuple(found)

    def workers(self) -> int:
        if self.spec.compute_target is None:
            return self.spec.node_count
        cluster = self.references.find(ComputeCluster, self.spec.compute_target, self.step, "spec.computeTarget")
        return min(self.spec.node_count, cluster.resource.spec.max_nodes) if cluster else self.spec.node_count

    def arguments(self, locations: Mapping[str, str]) -> tuple[str, ...]:
        try:
            return fill_references(self.step, locations)
        except InvalidDocuments as error:
            self.problems += error.problems
            return ()

    def _input(self, index: int, given: StepInput) -> job.Input | None:
        path = inside = f"spec.inputs[{index}]"
        where: Document[Resource] = self.step
        file, tabular = given.file, given.tabular
        if given.dataset is not None:
            dataset = self.references.find(Dataset, given.dataset, self.step, f"{path}.dataset")
            if dataset is None:
                return None
            where, inside = dataset, "spec"
            file, tabular = dataset.resource.spec.file, dataset.resource.spec.tabular
        if tabular is not None:
            partition = self._partition(index, tabular, where, f"{inside}.tabular")
            paths = self.references.paths(tabular, where, f"{inside}.tabular")
            table = tabular_format(tabular, self.references.database_name(tabular))
            return job.Input(given.name, paths, given.mode or "direct", table, partition)
        assert file is not None  # the models require exactly one of the two
        if given.mode == "direct":
            rule = "must be mount or download, because the input is files; direct is for tabular inputs"
            self.problems.append(self.step.wrong(f"{path}.mode", given.mode, rule))
        partition = self._partition(index, file, where, f"{inside}.file")
        paths = self.references.paths(file, where, f"{inside}.file")
        lines = job.TabularFormat("jsonl", as_dicts=True) if self.lines else None
        return job.Input(given.name, paths, given.mode or "mount", lines, partition)

    def _partition(
        self, index: int, data: FileDataset | TabularDataset, where: Document[Resource], path: str
    ) -> str | None:
        """Return an input's partitionFormat; report an invalid one, and partitionKeys that it does not contain."""
        given = self.spec.inputs[index].partition_format
        if given is not None:
            where, path = self.step, f"spec.inputs[{index}]"
        text = given or data.partition_format
        try:
            form = None if text is None else PartitionFormat(text)
        except ValueError as error:
            self.references.report(where.wrong(f"{path}.partitionFormat", text, str(error)))
            return None
        if form is not None and form.is_hive:  # the names are in the paths only
            return text
        names = form.names if form is not None else ()
        for number, key in enumerate(self.spec.partition_keys or ()):
            if isinstance(data, FileDataset) and key not in names:
                has = f"has {listed(names)}" if names else "is not given"
                rule = f"must be in the partitionFormat of every input, and that of spec.inputs[{index}] {has}"
                self.problems.append(self.step.wrong(f"spec.partitionKeys[{number}]", key, rule))
        return text

    def _mini_batch_of_queries(self, inputs: tuple[job.Input, ...]) -> job.MiniBatchSize:
        given = self.spec.mini_batch
        if self.spec.partition_keys:
            text = "is not supported for rows of a database; set splitBy in their Dataset instead"
            self.problems.append(self.step.problem("spec.partitionKeys", text))
        if self.spec.mini_batch_size is not None or (given is not None and given.rows is None):
            field = "miniBatch" if given is not None else "miniBatchSize"
            text = "is in bytes, but mini-batches of a database are in rows; set miniBatch.rows"
            self.problems.append(self.step.problem(f"spec.{field}", text))
        if given is None or given.rows is None:
            return _DEFAULT_OF_QUERIES
        if not any(each.tabular and (each.tabular.query is None or each.tabular.split_by) for each in inputs):
            text = "has no effect without splitBy, the column that divides a query's rows; set splitBy in a Dataset"
            self.problems.append(self.step.problem("spec.miniBatch.rows", text))
        return job.MiniBatchSize(job.ROWS, given.rows)

    def _mini_batch_in_units(self, *, tabular: bool) -> job.MiniBatchSize:
        given = self.spec.mini_batch
        assert given is not None
        unit, value = next(
            (unit, value)
            for unit, value in ((job.FILES, given.files), (job.BYTES, given.bytes), (job.ROWS, given.rows))
            if value is not None
        )
        if (unit == job.FILES) == tabular:
            needed = "tabular; set bytes or rows" if tabular else "files; set files"
            text = f"is not supported, because the inputs are {needed}"
            self.problems.append(self.step.problem(f"spec.miniBatch.{unit}", text))
        return job.MiniBatchSize(unit, parse_size(value)[0])


def _is_query(given: job.Input) -> bool:
    return given.tabular is not None and given.tabular.query is not None


def _kind(given: job.Input) -> str:
    return "files" if given.tabular is None else "tabular"


def _thresholds(spec: ParallelRunStepSpec) -> job.Thresholds:
    given = spec.model_fields_set & {"error_threshold", "allowed_failed_count", "allowed_failed_percent"}
    return job.Thresholds(
        spec.error_threshold,
        spec.allowed_failed_count,
        spec.allowed_failed_percent,
        failed_items_warning_percent=float(spec.failed_items_warning_percent),
        chosen=bool(given),
    )


def _timeouts(spec: ParallelRunStepSpec) -> job.Timeouts:
    first, progress = spec.first_task_creation_timeout_seconds, spec.progress_update_timeout_seconds
    return job.Timeouts(
        run_invocation=float(spec.run_invocation_timeout_seconds),
        task_overhead=float(spec.task_overhead_timeout_seconds),
        init=float(spec.init_timeout_seconds),
        first_task_creation=None if first is None else float(first),
        progress_update=None if progress is None else float(progress),
        storage=float(spec.storage_timeout_seconds),
    )
