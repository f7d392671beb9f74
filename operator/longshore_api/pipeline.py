"""Pipeline and PipelineRun: steps joined by data, with typed parameters.

A Pipeline's steps are checked twice: as written, when any value may be `$(parameters.NAME)`, and with the values of
the parameters, by the models of the steps. The planner does the second.
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
    """A value of the field's own type, or a reference to a parameter that is replaced before the value is used."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(_typed_or_reference, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        typed = handler(schema)
        if typed.get("x-kubernetes-int-or-string"):
            return {**typed, "pattern": f"{typed['pattern']}|^{_REFERENCE}$"}
        if typed.get("type") == "boolean":
            # A structural schema cannot express "boolean or string": the type stays open, the pattern covers strings.
            return {"x-kubernetes-preserve-unknown-fields": True, "pattern": f"^{_REFERENCE}$"}
        raise ValueError(f"a structural schema cannot express {typed} or a reference")


def _typed_or_reference(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(value, str) and re.fullmatch(_REFERENCE, value) else handler(value)


OrReference = _OrReference()


class _ContentFingerprint:
    """One of three words; also true and false, the only values of earlier releases, for two of them."""

    def read(self, value: Any) -> str:
        words = {True: "stamps", False: "none", "true": "stamps", "false": "none"}
        word = words.get(value, value) if isinstance(value, bool | str) else None
        if word not in ("none", "stamps", "digests"):
            raise broken("must be none, stamps or digests")
        return str(word)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # A structural schema cannot express "boolean or string": the type stays open, the pattern covers strings.
        return {"x-kubernetes-preserve-unknown-fields": True, "pattern": "^(none|stamps|digests|true|false)$"}


ContentFingerprint = Annotated[str, _ContentFingerprint()]


class PipelineParameter(Fields):
    """A value that a PipelineRun passes to the pipeline."""

    name: ParameterName
    """The name in `$(parameters.NAME)`."""
    type: Literal["string", "integer", "number", "boolean", "dataset", "datapath"]
    """Type of its values: `dataset` is the name of a Dataset; `datapath` is a URL, a path in the default Datastore, or
    a mapping of `datastore` and `path`."""
    default: Anything = None
    """Value if the run passes none; without a default, every run must pass a value."""
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
    """The spec of a TransferStep: `source` and `destination` of a copy between stores."""
    run_after: list[StepName] = Field(default_factory=list)
    """Steps that must succeed before this one starts, besides those whose outputs it reads."""
    allow_reuse: Annotated[Flag, OrReference] = True
    """Whether the step may reuse outputs of an earlier run with the same code, arguments, inputs and settings."""
    version: Argument = ""
    """Label; change it to run the step again although nothing else changed."""
    retries: Annotated[int, Whole(0), OrReference] = 0
    """Attempts after the first one failed."""
    timeout_seconds: Annotated[Seconds, OrReference] | None = None
    """Time limit of one attempt."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(each is not None for each in (self.parallel_run, self.script, self.transfer)) != 1:
            raise broken("must have exactly one of parallelRun, script and transfer")
        return self


class PipelineSpec(Fields):
    """Parameters and steps; outputs that steps read, and `runAfter`, determine the order."""

    description: str = ""
    """Free text."""
    parameters: Annotated[list[PipelineParameter], Field(json_schema_extra=keyed_by("name"))] = Field(
        default_factory=list
    )
    """Values that each PipelineRun passes to the pipeline."""
    steps: Annotated[list[PipelineStep], Field(min_length=1, max_length=STEPS_MAX, json_schema_extra=keyed_by("name"))]
    """The steps, in any order."""
    successful_runs_history_limit: Annotated[int, Whole(0)] | None = None
    """Clusters only: number of succeeded PipelineRuns to keep, the latest ones; all if not given. Later runs cannot
    reuse deleted ones; outputs and logs are kept."""
    failed_runs_history_limit: Annotated[int, Whole(0)] | None = None
    """Clusters only: number of failed and cancelled PipelineRuns to keep, the latest ones; all if not given."""


class Pipeline(Resource):
    """Steps and parameters that PipelineRuns, or `longshore run`, execute."""

    kind: Literal["Pipeline"]
    """Kind of the resource."""
    spec: PipelineSpec
    """Parameters and steps."""
    status: ResourceStatus | None = None
    """Written by Longshore: whether the pipeline is valid, as far as can be checked without its parameters' values."""


class PipelineRunSpec(Fields):
    """The pipeline and its parameters' values; exactly one of `pipelineRef`, `pipelineSpec` and `retryOf`."""

    pipeline_ref: NameRef | None = None
    """Pipeline to run."""
    pipeline_spec: PipelineSpec | None = None
    """The pipeline, described in place."""
    parameters: FreeForm = Field(default_factory=dict)
    """Values of the pipeline's parameters, by name."""
    continue_on_step_failure: Flag = False
    """Whether steps that do not depend on a failed step still start."""
    regenerate_outputs: Flag = False
    """Whether every step runs, even if outputs of an earlier run could be reused."""
    content_fingerprint: ContentFingerprint = "stamps"
    """Property of the files of inputs, side inputs and models that must not change for a step to be reused: `stamps`
    (sizes and times, or the etags of stores), `digests` (their contents; reads every file once per run) or `none`
    (their paths alone). `true` is `stamps`, `false` is `none`. Database rows are not compared, only the text of the
    query."""
    cancel: Flag = False
    """Ends the run permanently."""
    suspend: Flag = False
    """Starts no further steps; the run continues once this is false again."""
    retry_of: ResourceName | None = None
    """Clusters only: a failed or cancelled PipelineRun to continue. Succeeded steps and committed results are kept, and
    the code of failed steps is read again. Everything else stays as frozen for that run."""
    accept_changed_code: Flag = False
    """Clusters only, with `retryOf`: continues failed parallelRun steps although their code differs from that of the
    committed rows; their reports list which mini-batches ran with which."""
    ttl_seconds_after_finished: Annotated[int, Whole(0)] | None = None
    """Clusters only: time after the run's end until it is deleted; outputs and logs are kept. Never if not given."""

    @model_validator(mode="after")
    def _one_pipeline(self) -> Self:
        if sum(each is not None for each in (self.pipeline_ref, self.pipeline_spec, self.retry_of)) != 1:
            raise broken("must have exactly one of pipelineRef, pipelineSpec and retryOf")
        if self.retry_of is not None and "parameters" in self.model_fields_set:  # an empty mapping counts as given
            raise broken("must be left out with retryOf: they are those of the run that is retried", field="parameters")
        return self


class PipelineRun(Resource):
    """One execution of a pipeline."""

    kind: Literal["PipelineRun"]
    """Kind of the resource."""
    spec: PipelineRunSpec
    """The pipeline, and values of its parameters."""
    status: PipelineRunStatus | None = None
    """Written by Longshore."""
