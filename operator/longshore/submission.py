"""What a submission consists of: the step or run, and every document that it refers to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longshore.data import FileDataset, TabularDataset
from longshore.documents import Documents
from longshore.pipelines import Pipeline, PipelineRun
from longshore.resource import InvalidArgument, Resource, contained, plain
from longshore.steps import ParallelRunStep, Step
from longshore.values import Parameter
from longshore_api import InvalidDocuments

_RUNNABLE = (Step, Pipeline, PipelineRun)


@dataclass(frozen=True)
class Submission:
    """A step that runs alone, or a PipelineRun, with everything that it refers to."""

    main: Step | PipelineRun
    others: tuple[Resource, ...]

    @property
    def resources(self) -> tuple[Resource, ...]:
        """All objects, the main one first."""
        return (self.main, *self.others)

    @property
    def name(self) -> str:
        """Name of the pipeline or step."""
        reference = self.main.pipeline_ref if isinstance(self.main, PipelineRun) else None
        return reference.name if isinstance(reference, Pipeline) else reference or self.main.name


def gather(
    work: Step | Pipeline | PipelineRun | Documents,
    *,
    run_id: str,
    kept: Iterable[Resource],
    parameters: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> Submission:
    """Return what a run consists of.

    Args:
        work: A step, a pipeline or run of one, or documents with exactly one of them.
        run_id: Id of the run, which becomes the name of its PipelineRun.
        kept: Objects of the workspace, which `work` may refer to by name.
        parameters: Values of the pipeline's parameters.
        options: Further arguments of the PipelineRun.

    Raises:
        InvalidArgument: `work` is nothing that runs, or values of parameters are wrong.
    """
    given = list(work) if isinstance(work, Documents) else [work]
    chosen = _chosen(given)
    values = {name: _named(value, f"{run_id}-{name}") for name, value in (parameters or {}).items()}
    main = _main(chosen, run_id, values, {name: value for name, value in options.items() if value})
    found: dict[tuple[str, str], Resource] = {}
    datasets = [each for each in values.values() if isinstance(each, Resource)]
    attached = [other for each in (main, *given, *datasets) for other in each.documents()]
    for each in (*attached, *kept):
        is_wanted = not isinstance(each, _RUNNABLE) or (isinstance(each, Pipeline) and isinstance(main, PipelineRun))
        if each is not main and is_wanted:
            found.setdefault((each.kind, each.reference), each)
    return Submission(main, tuple(found.values()))


def _chosen(given: Sequence[Any]) -> Step | Pipeline | PipelineRun:
    groups = ([each for each in given if isinstance(each, kind)] for kind in (PipelineRun, Pipeline, Step))
    found = next(filter(None, groups), [])
    if len(found) != 1:
        names = ", ".join(getattr(each, "subject", repr(each)) for each in found or given) or "nothing"
        raise InvalidArgument("submit()", [f"work is {names}: must be one step or one pipeline"])
    one: Step | Pipeline | PipelineRun = found[0]
    return one


def _main(
    chosen: Step | Pipeline | PipelineRun, run_id: str, values: Mapping[str, Any], options: Mapping[str, Any]
) -> Step | PipelineRun:
    if isinstance(chosen, PipelineRun):
        merged = {**(chosen.parameters or {}), **values}
        return chosen.replace(name=run_id, parameters=merged or None, **options)
    if isinstance(chosen, Step):
        if not (values or options or chosen.has_pipeline_settings() or any(contained(chosen, Parameter))):
            return chosen
        chosen = Pipeline(chosen.name, [chosen])
    return PipelineRun(run_id, pipeline_ref=chosen, parameters=values or None, **options)


def _named(value: Any, name: str) -> Any:
    """Return the value of a parameter, with a name for a dataset that has none."""
    if isinstance(value, FileDataset | TabularDataset) and value.name is None:
        return value.replace(name=name.lower().replace("_", "-"))
    return value


def explained(error: InvalidDocuments, resources: Sequence[Resource]) -> InvalidArgument:
    """Return problems of documents, whose origin is the subject of a resource, as problems of arguments."""
    sentences = []
    for problem in error.problems:
        origin = next((each for each in resources if each.subject == problem.where), None)
        if origin is None:
            sentences.append(problem.sentence)
        else:
            sentences.append(str(origin.invalid([problem], plain(origin.to_dict()))))
    return InvalidArgument("", sentences)


def is_alone(main: Step | PipelineRun) -> bool:
    """Return whether a ParallelRunStep runs alone, not as a step of a pipeline."""
    return isinstance(main, ParallelRunStep)
