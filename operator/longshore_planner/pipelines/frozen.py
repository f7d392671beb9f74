"""A pipeline as it is run: every parameter filled in, every name resolved. Later edits of documents change nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from longshore_planner.locations import is_database
from longshore_planner.pipelines.fingerprint import HELD, comparable
from longshore_planner.step_outputs import fill_placeholders, is_placeholder
from longshore_protocol.reading import read_text

PARALLEL_RUN, SCRIPT, TRANSFER = "parallelRun", "script", "transfer"
NONE, STAMPS, DIGESTS = "none", "stamps", "digests"  # what of an input's files counts in a fingerprint


@dataclass(frozen=True)
class Options:
    """How a run is to go about its steps."""

    continue_on_step_failure: bool = False
    regenerate_outputs: bool = False
    content_fingerprint: str = STAMPS  # NONE, STAMPS or DIGESTS
    cancel: bool = False
    suspend: bool = False
    accept_changed_code: bool = False  # of parallelRun steps that go on

    def __post_init__(self) -> None:
        """Accept a boolean for `content_fingerprint`, as runs of before it had words have it."""
        if isinstance(self.content_fingerprint, bool):
            object.__setattr__(self, "content_fingerprint", STAMPS if self.content_fingerprint else NONE)


@dataclass(frozen=True)
class Code:
    """A source folder as it was when the run began."""

    uri: str  # where the frozen copy is
    files: Mapping[str, str]  # path below the folder -> digest
    git: dict[str, Any] | None = None  # repository, branch, commit, dirty: of where it was taken from


@dataclass(frozen=True)
class FrozenStep:
    """One step."""

    name: str
    kind: str  # PARALLEL_RUN, SCRIPT or TRANSFER
    after: tuple[str, ...]  # the steps that must have succeeded before
    reads: tuple[str, ...]  # those of them that it reads outputs of
    job: dict[str, Any]  # a Job, a ScriptJob, or {source, destination}; outputs of other steps are held places in it
    outputs: dict[str, str]  # name -> URI
    parts: dict[str, Any]  # of the fingerprint, but for what the steps read from had at their end
    source: str | None = None  # where the code was taken from
    git: dict[str, Any] | None = None  # what git said of the source
    python: str | None = None  # the interpreter that the Environment names
    spec: dict[str, Any] = field(default_factory=dict)  # as the resource has it that runs the step on a cluster
    provision: dict[str, Any] | None = None  # of its pods, as `PodRequirements` has it; None on this machine
    allow_reuse: bool = True
    retries: int = 0
    timeout: float | None = None  # seconds

    def job_with(self, outputs: Mapping[tuple[str, str], str]) -> dict[str, Any]:
        """Return the job with the outputs that it reads, by (step, output), in their places."""
        filled: dict[str, Any] = fill_placeholders(self.job, outputs)
        return filled

    def spec_with(self, outputs: Mapping[tuple[str, str], str]) -> dict[str, Any]:
        """Return the spec of the resource that runs the step, likewise."""
        filled: dict[str, Any] = fill_placeholders(self.spec, outputs)
        return filled

    def with_code(self, code: Code) -> FrozenStep:
        """Return the step with its source frozen."""
        job, parts = {**self.job, "source_uri": code.uri}, {**self.parts, "code": dict(code.files)}
        return replace(self, job=job, parts=parts, git=code.git)

    @property
    def locations(self) -> dict[str, list[str]]:
        """The paths of each input and model whose files count: `{"input raw": [...], "model mnist 1": [...]}`.

        Outputs of other steps are identified by the runs that made them, and the rows of databases cannot be compared.
        """
        job = self.job  # and not the parts, whose URLs are without secrets
        inputs = [*job.get("inputs", ()), *job.get("side_inputs", ())]
        locations = {f"input {each['name']}": each.get("paths") or each["uris"] for each in inputs}
        locations |= {f"model {each['name']} {each['version']}": [each["uri"]] for each in job.get("models", ())}
        if self.kind == TRANSFER:
            locations = {"input source": [job["source"]]}
        found = {name: [each for each in paths if not is_placeholder(each)] for name, paths in locations.items()}
        return {name: paths for name, paths in found.items() if paths and not any(map(is_database, paths))}

    def with_contents(self, contents: Mapping[str, Mapping[str, Any]], *, by: str) -> FrozenStep:
        """Return the step with what its inputs and models hold: of each a digest, and what names a difference later.

        `contents` has a `digest` for each name of `locations`, and may have `count`, `files` and `unknown` as
        `SurveyResult.held` does; `by` is STAMPS or DIGESTS.
        """
        digests = {name: each["digest"] for name, each in contents.items()}
        details = {name: comparable({**each, "digest": None}) for name, each in contents.items()}
        parts = {**self.parts, "contents": digests, HELD: {name: each for name, each in details.items() if each}}
        return replace(self, parts=parts if by == STAMPS else {**parts, "contentFingerprint": by})


@dataclass(frozen=True)
class FrozenPipeline:
    """One run of a pipeline, frozen."""

    name: str
    run_id: str
    run_uri: str
    parameters: dict[str, Any]
    steps: tuple[FrozenStep, ...]  # in an order in which they can run
    options: Options = field(default_factory=Options)

    def step(self, name: str) -> FrozenStep:
        """Return the step of that name. Raises KeyError."""
        for each in self.steps:
            if each.name == name:
                return each
        raise KeyError(name)

    def to_json(self) -> str:
        """Return the pipeline as a JSON document that `from_json` reads back."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> FrozenPipeline:
        """Read what `to_json` wrote, in this version or an adjacent one. Raises ValueError."""
        return read_text(FrozenPipeline, text)
