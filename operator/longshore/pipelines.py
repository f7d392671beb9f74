"""Pipeline and PipelineRun: steps joined by their data, and one run of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, cast

from longshore.data import FileDataset, TabularDataset
from longshore.resource import Integer, InvalidArgument, Resource, Switch, Text, contained, plain
from longshore.steps import Step
from longshore.values import Parameter
from longshore_api import Pipeline as PipelineDocument
from longshore_api import parse
from longshore_planner.catalogue import Document
from longshore_planner.pipelines.check import check
from longshore_planner.pipelines.choose import PipelineDocument as Checked

_TYPES: Mapping[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


@dataclass(frozen=True, eq=False)
class Pipeline(Resource):
    """Steps in an order that their data and `run_after` determine, with parameters.

    Every Parameter object in an argument of a step is a parameter of the pipeline. List in `parameters` those that
    occur only inside texts.

    Example:
        Pipeline("nightly", [prepare, score])
    """

    kind: ClassVar[str] = "Pipeline"

    name: str
    steps: Sequence[Step]
    _: KW_ONLY
    parameters: Sequence[Parameter] | None = None
    description: str | None = None
    successful_runs_history_limit: Integer | None = None
    failed_runs_history_limit: Integer | None = None

    def to_spec(self) -> dict[str, Any]:
        steps = [each.to_pipeline_step() for each in self.steps]
        declared = [_declared(each) for each in self._parameters()] or None
        return self.fields_of(self.spec_model(), {"steps": steps, "parameters": declared})

    def documents(self) -> list[Resource]:
        steps = {id(each) for each in contained(self, Step)}  # they are parts of this document
        return [each for each in super().documents() if id(each) not in steps]

    def check(self) -> None:
        document = self.to_dict()
        self.check_document(document)
        found = cast("PipelineDocument", parse(document))
        problems = check(Checked(self.name, Document(self.subject, "", found), ("spec",), found.spec))
        if problems:
            raise self.invalid(problems, document)

    def _parameters(self) -> Iterator[Parameter]:
        """Yield the parameters once each. Raises InvalidArgument if two of one name differ."""
        first: dict[str, Parameter] = {}
        for each in (*(self.parameters or ()), *contained(self.steps, Parameter)):
            if each.name not in first:
                first[each.name] = each
                yield each
            elif first[each.name] != each:
                rule = "must be one Parameter: there are two of this name, with different settings"
                raise InvalidArgument(self.subject, [f"parameter {each.name!r} {rule}"])


def _declared(parameter: Parameter) -> dict[str, Any]:
    """Return a parameter as the document of a Pipeline declares it. Raises InvalidArgument without a type."""
    default = parameter.default
    type_: str | None = parameter.type
    if type_ is None:
        type_ = "dataset" if isinstance(default, FileDataset | TabularDataset) else _TYPES.get(type(default))
    if type_ is None:
        rule = "is missing: pass type=..., or a default that is a string, a number, a boolean or a dataset"
        raise InvalidArgument(f'Parameter "{parameter.name}"', [f"type {rule}"])
    given = {"name": parameter.name, "type": type_, "default": plain(default), "description": parameter.description}
    return {key: value for key, value in given.items() if value is not None}


@dataclass(frozen=True, eq=False)
class PipelineRun(Resource):
    """One run of a Pipeline. `Workspace.submit` makes one; a document is needed for GitOps and schedules.

    Example:
        PipelineRun("nightly-1", pipeline_ref=nightly, parameters={"batch_size": 20})
    """

    kind: ClassVar[str] = "PipelineRun"

    name: str
    _: KW_ONLY
    pipeline_ref: str | Pipeline | None = None
    pipeline_spec: Pipeline | Mapping[str, Any] | None = None
    parameters: Mapping[str, Any] | None = None
    continue_on_step_failure: Switch | None = None
    regenerate_outputs: Switch | None = None
    content_fingerprint: Literal["none", "stamps", "digests"] | bool | None = None
    cancel: Switch | None = None
    suspend: Switch | None = None
    retry_of: Text | None = None
    accept_changed_code: Switch | None = None
    ttl_seconds_after_finished: Integer | None = None

    def to_spec(self) -> dict[str, Any]:
        given = self.pipeline_spec
        spec = given.to_spec() if isinstance(given, Pipeline) else given
        return self.fields_of(self.spec_model(), {"pipeline_spec": spec})

    def documents(self) -> list[Resource]:
        inside = self.pipeline_spec if isinstance(self.pipeline_spec, Pipeline) else None
        return _without(super().documents(), [*contained(self, Step), *([inside] if inside else [])])


def _without(resources: Iterable[Resource], left_out: Sequence[Resource]) -> list[Resource]:
    return [each for each in resources if not any(each is other for other in left_out)]
