"""Frozen pipelines: all parameters replaced, all names resolved, unaffected by later changes of documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from longshore_planner.locations import is_database
from longshore_planner.pipelines.fingerprint import HELD, comparable
from longshore_planner.step_outputs import fill_placeholders, is_placeholder
from longshore_protocol.package_set import PackageSet
from longshore_protocol.reading import read_text

PARALLEL_RUN, SCRIPT, TRANSFER = "parallelRun", "script", "transfer"
NONE, STAMPS, DIGESTS = "none", "stamps", "digests"  # properties of input files in a fingerprint


@dataclass(frozen=True)
class Options:
    """Options of a run."""

    continue_on_step_failure: bool = False
    regenerate_outputs: bool = False
    content_fingerprint: str = STAMPS  # NONE, STAMPS or DIGESTS
    cancel: bool = False
    suspend: bool = False
    accept_changed_code: bool = False  # of parallelRun steps that continue

    def __post_init__(self) -> None:
        """Convert a boolean `content_fingerprint`, which runs of earlier releases have."""
        if isinstance(self.content_fingerprint, bool):
            object.__setattr__(self, "content_fingerprint", STAMPS if self.content_fingerprint else NONE)


@dataclass(frozen=True)
class Code:
    """A source folder at the start of the run."""

    uri: str  # location of the frozen copy
    files: Mapping[str, str]  # path below the folder -> digest
    git: dict[str, Any] | None = None  # repository, branch, commit and dirty of the original folder


@dataclass(frozen=True)
class FrozenStep:
    """One step of a frozen pipeline."""

    name: str
    kind: str  # PARALLEL_RUN, SCRIPT or TRANSFER
    after: tuple[str, ...]  # the steps that must succeed before it starts
    reads: tuple[str, ...]  # those of them whose outputs it reads
    job: dict[str, Any]  # a Job, a ScriptJob, or {source, destination}; with placeholders for other steps' outputs
    outputs: dict[str, str]  # name -> URI
    parts: dict[str, Any]  # of the fingerprint, without those of the steps that it reads
    source: str | None = None  # original location of the code
    git: dict[str, Any] | None = None  # Git state of the source
    python: str | None = None  # interpreter of the Environment
    packages: PackageSet | None = None  # packages of the Environment
    spec: dict[str, Any] = field(default_factory=dict)  # spec of the resource that runs the step on a cluster
    provision: dict[str, Any] | None = None  # `PodRequirements` of its pods as JSON; None for a local run
    allow_reuse: bool = True
    retries: int = 0
    timeout: float | None = None  # seconds

    def job_with(self, outputs: Mapping[tuple[str, str], str], *, catalogue: str = "") -> dict[str, Any]:
        """Return the job with its placeholders replaced by `outputs`: URIs by (step, output).

        `catalogue` is that of the pipeline, which the jobs of steps with scripts receive.
        """
        filled: dict[str, Any] = fill_placeholders(self.job, outputs)
        return filled if not catalogue or self.kind == TRANSFER else {**filled, "catalogue": catalogue}

    def spec_with(self, outputs: Mapping[tuple[str, str], str]) -> dict[str, Any]:
        """Return the spec of the resource that runs the step, with its placeholders replaced."""
        filled: dict[str, Any] = fill_placeholders(self.spec, outputs)
        return filled

    def with_code(self, code: Code) -> FrozenStep:
        """Return the step with its source frozen."""
        job, parts = {**self.job, "source_uri": code.uri}, {**self.parts, "code": dict(code.files)}
        return replace(self, job=job, parts=parts, git=code.git)

    @property
    def locations(self) -> dict[str, list[str]]:
        """Paths of each input and model whose files are compared: `{"input raw": [...], "model mnist 1": [...]}`.

        Outputs of other steps are identified by the runs that produced them; database rows are not compared.
        """
        job = self.job  # the URLs in the parts lack their secrets
        inputs = [*job.get("inputs", ()), *job.get("side_inputs", ())]
        locations = {f"input {each['name']}": each.get("paths") or each["uris"] for each in inputs}
        locations |= {f"model {each['name']} {each['version']}": [each["uri"]] for each in job.get("models", ())}
        if self.kind == TRANSFER:
            locations = {"input source": [job["source"]]}
        found = {name: [each for each in paths if not is_placeholder(each)] for name, paths in locations.items()}
        return {name: paths for name, paths in found.items() if paths and not any(map(is_database, paths))}

    def with_contents(self, contents: Mapping[str, Mapping[str, Any]], *, by: str) -> FrozenStep:
        """Add the contents of inputs and models to the fingerprint; return the step.

        Args:
            contents: For each name of `locations` a `digest`, and optionally `count`, `files` and `unknown` as in
                `SurveyResult.held`, which messages about differences use.
            by: STAMPS or DIGESTS.
        """
        digests = {name: each["digest"] for name, each in contents.items()}
        details = {name: comparable({**each, "digest": None}) for name, each in contents.items()}
        parts = {**self.parts, "contents": digests, HELD: {name: each for name, each in details.items() if each}}
        return replace(self, parts=parts if by == STAMPS else {**parts, "contentFingerprint": by})


@dataclass(frozen=True)
class FrozenPipeline:
    """A frozen run of a pipeline."""

    name: str
    run_id: str
    run_uri: str
    parameters: dict[str, Any]
    steps: tuple[FrozenStep, ...]  # in an order in which they can run
    options: Options = field(default_factory=Options)
    catalogue: str = ""  # of all steps with scripts, whose jobs lack it
    registry: str = ""  # of a local run: folder for registrations

    def step(self, name: str) -> FrozenStep:
        """Return the step of this name; raise KeyError if there is none."""
        for each in self.steps:
            if each.name == name:
                return each
        raise KeyError(name)

    def to_json(self) -> str:
        """Return the pipeline as JSON that `from_json` reads."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> FrozenPipeline:
        """Read the JSON of `to_json`, of this version or an adjacent one; raise ValueError for anything else."""
        return read_text(FrozenPipeline, text)
