"""Pipeline and PipelineRun: steps joined by data, with typed parameters.

What a Pipeline says about a step is checked twice: as it is written, when any value may be `$(parameters.NAME)`, and
again once the parameters are filled in, by the models of the steps themselves. The planner does the second.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from longshore_api.base import Fields, NameRef, Resource, keyed_by
from longshore_api.pipeline_status import PipelineRunStatus
from longshore_api.status import ResourceStatus
from longshore_api.values import (
    Anything,
    Argument,
    Flag,
    FreeForm,
    ParameterName,
    ResourceName,
    Seconds,
    StepName,
    Whole,
    broken,
)

STEPS_MAX = 1000
KINDS_OF_STEPS = ("parallelRun", "script", "transfer")

_REFERENCE = r"\$\(parameters\.[^()]*\)"  # suits Go's expressions, too


class _OrReference:
    """What a field takes, or a parameter that is filled in before the value is used."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(_typed_or_reference, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        typed = handler(schema)
        if typed.get("x-kubernetes-int-or-string"):
            return {**typed, "pattern": f"{typed['pattern']}|^{_REFERENCE}$"}
        if typed.get("type") == "boolean":
            # A structural schema cannot say "boolean or string": the type stays open, the pattern holds for strings.
            return {"x-kubernetes-preserve-unknown-fields": True, "pattern": f"^{_REFERENCE}$"}
        raise ValueError(f"{typed} or a reference: a structural schema cannot say that")


def _typed_or_reference(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(value, str) and re.fullmatch(_REFERENCE, value) else handler(value)


OrReference = _OrReference()


class _ContentFingerprint:
    """One of three words; true and false, which the field took before it had words, stand for two of them."""

    def read(self, value: Any) -> str:
        words = {True: "stamps", False: "none", "true": "stamps", "false": "none"}
        word = words.get(value, value) if isinstance(value, bool | str) else None
        if word not in ("none", "stamps", "digests"):
            raise broken("must be none, stamps or digests")
        return str(word)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # A structural schema cannot say "boolean or string": the type stays open, the pattern holds for strings.
        return {"x-kubernetes-preserve-unknown-fields": True, "pattern": "^(none|stamps|digests|true|false)$"}


ContentFingerprint = Annotated[str, _ContentFingerprint()]


class PipelineParameter(Fields):
    """A value that is given when the pipeline is run."""

    name: ParameterName
    """What `$(parameters.NAME)` calls it."""
    type: Literal["string", "integer", "number", "boolean", "dataset", "datapath"]
    """What values it takes: `dataset` is the name of a Dataset, `datapath` a place: a URL, a path in the default
    Datastore, or a mapping of `datastore` and `path`."""
    default: Anything = None
    """Taken where no value is given; without one a value is required."""
    description: str = ""
    """Free text."""


class PipelineStep(Fields):
    """One step: exactly one of `parallelRun`, `script` and `transfer`. Any value may be `$(parameters.NAME)`."""

    name: StepName
    """Unique among the pipeline's steps."""
    parallel_run: FreeForm | None = None
    """The spec of a ParallelRunStep, whose inputs may also be outputs of other steps (`from`)."""
    script: FreeForm | None = None
    """The spec of a ScriptStep."""
    transfer: FreeForm | None = None
    """`source` and `destination` of a copy between stores."""
    run_after: list[StepName] = Field(default_factory=list)
    """Steps that must have succeeded before, besides those whose outputs are read."""
    allow_reuse: Annotated[Flag, OrReference] = True
    """Whether the outputs of an earlier run that had the same code, arguments, inputs and settings may be taken."""
    version: Argument = ""
    """Label that you change when the step is to run again though nothing else changed."""
    retries: Annotated[int, Whole(0), OrReference] = 0
    """Further attempts when one fails."""
    timeout_seconds: Annotated[Seconds, OrReference] | None = None
    """Time limit of one attempt."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(each is not None for each in (self.parallel_run, self.script, self.transfer)) != 1:
            raise broken("must have exactly one of parallelRun, script and transfer")
        return self


class PipelineSpec(Fields):
    """Parameters and steps; the order follows from which step reads what, and from `runAfter`."""

    description: str = ""
    """Free text."""
    parameters: Annotated[list[PipelineParameter], Field(json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list
    )
    """Values that are given when the pipeline is run."""
    steps: Annotated[list[PipelineStep], Field(min_length=1, max_length=STEPS_MAX, json_schema_extra=keyed_by("name"))]
    """The steps, in any order."""
    successful_runs_history_limit: Annotated[int, Whole(0)] | None = None
    """On a cluster: PipelineRuns of this Pipeline that are kept when they have succeeded, the latest ones; all if not
    given. What is deleted can not be reused any more; outputs and logs stay."""
    failed_runs_history_limit: Annotated[int, Whole(0)] | None = None
    """On a cluster: the same for PipelineRuns that have failed or were cancelled."""


class Pipeline(Resource):
    """A template of steps, to be run by PipelineRuns or by `longshore run`."""

    kind: Literal["Pipeline"]
    """Kind of the resource."""
    spec: PipelineSpec
    """Parameters and steps."""
    status: ResourceStatus | None = None
    """Written by Longshore: whether it could be run, as far as that can be told without its parameters."""


class PipelineRunSpec(Fields):
    """Which pipeline is run, with which values; exactly one of `pipelineRef`, `pipelineSpec` and `retryOf`."""

    pipeline_ref: NameRef | None = None
    """Pipeline to run."""
    pipeline_spec: PipelineSpec | None = None
    """The pipeline, described in place."""
    parameters: FreeForm = Field(default_factory=dict)
    """Values of the pipeline's parameters, by name."""
    continue_on_step_failure: Flag = False
    """Whether steps that do not depend on a failed one are still started."""
    regenerate_outputs: Flag = False
    """Whether every step runs, even where an earlier run's outputs could be taken."""
    content_fingerprint: ContentFingerprint = "stamps"
    """Property of the files of inputs, side inputs and models that must not change for a step to be reused: `stamps`
    (sizes and times, or the etags of stores), `digests` (what is in them; reads every file once per run) or `none`
    (their paths alone). `true` is `stamps`, `false` is `none`. The rows of a database do not count: of a query its text
    does."""
    cancel: Flag = False
    """Ends the run for good."""
    suspend: Flag = False
    """Starts nothing more; the run goes on once this is false again."""
    retry_of: ResourceName | None = None
    """On a cluster: a PipelineRun that has failed or was cancelled, to go on with: what has succeeded and what is
    committed is kept, and the code of steps that failed is taken anew. All else is as it was settled for that run."""
    accept_changed_code: Flag = False
    """On a cluster, with `retryOf`: parallelRun steps that failed go on though their code is not that of the rows that
    are committed; their reports say which mini-batches ran with which."""
    ttl_seconds_after_finished: Annotated[int, Whole(0)] | None = None
    """On a cluster: the run deletes itself this long after its end; outputs and logs stay. Never if not given."""

    @model_validator(mode="after")
    def _one_pipeline(self) -> Self:
        if sum(each is not None for each in (self.pipeline_ref, self.pipeline_spec, self.retry_of)) != 1:
            raise broken("must have exactly one of pipelineRef, pipelineSpec and retryOf")
        if self.retry_of is not None and "parameters" in self.model_fields_set:  # none at all are some, too
            raise broken("must be left out with retryOf: they are those of the run that is retried", field="parameters")
        return self


class PipelineRun(Resource):
    """One execution of a pipeline."""

    kind: Literal["PipelineRun"]
    """Kind of the resource."""
    spec: PipelineRunSpec
    """Which pipeline, with which values."""
    status: PipelineRunStatus | None = None
    """Written by Longshore."""
