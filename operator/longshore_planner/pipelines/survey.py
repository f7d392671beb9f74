"""Surveys: a pod copies sources in stores and lists the contents of inputs before a run begins.

The copies of sources are in the run's folder: `sources/<n>` beside the `steps/` of the steps that use them.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.pipelines.frozen import NONE, STAMPS, FrozenStep
from longshore_planner.pipelines.on_cluster import with_source
from longshore_planner.pod_locations import user_location
from longshore_protocol.survey import ALL_FILES, SourceFound, SourceToCopy, SurveyRequest, SurveyResult

_OTHER_ACCOUNT = "its Datastore has another serviceAccountName than those of the steps before it"
_TOO_MANY = "the run has more inputs than one pod can report on"


@dataclass(frozen=True)
class Survey:
    """A request to a survey pod, and the requirements of the pod."""

    request: SurveyRequest
    provision: PodRequirements
    sources: Mapping[str, int] = field(default_factory=dict)  # step -> index of its source in the request
    out_of_reach: frozenset[str] = frozenset()  # steps whose Datastores need another account than the pod's

    @property
    def digest(self) -> str:
        """Hexadecimal digest of the request and the requirements."""
        text = f"{self.request.to_json()} {json.dumps(self.provision.to_dict(), sort_keys=True)}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def shown(self, sentence: str) -> str:
        """Convert the locations in a sentence of the pod into the user's form."""
        sources = [location for each in self.request.sources for location in (each.uri, each.target)]
        inputs = [
            location for step in self.request.contents.values() for locations in step.values() for location in locations
        ]
        for location in sorted({*sources, *inputs}, key=len, reverse=True):
            sentence = sentence.replace(location, user_location(location))
        return sentence


def survey_of(
    steps: Sequence[FrozenStep],
    *,
    code: Container[str],
    contents: str,
    where: str,
    copies: Iterable[str | None] = (),
) -> Survey | None:
    """Return the survey that a run needs; None if it needs none.

    Args:
        steps: The steps of the run.
        code: Names of the steps whose source is copied if it is in a store.
        contents: Property of input and model files that fingerprints compare: NONE, STAMPS or DIGESTS.
        where: Name of the run, for problems.
        copies: Locations of copies that earlier runs of the same folder made, which are kept.

    Raises:
        InvalidDocuments: if the sources need different service accounts, because one pod copies all of them.
    """
    sources: dict[SourceToCopy, int] = {}
    of_steps: dict[str, int] = {}
    looked_at: dict[str, dict[str, list[str]]] = {}
    concerned = []
    targets = _Targets(copies)
    provisions = {step.name: PodRequirements.from_dict(step.provision or {}) for step in steps}
    for step in steps:
        provision = provisions[step.name]
        if provision.source_uri is not None and step.name in code:
            source = SourceToCopy(provision.source_uri, targets.of(provision.source_uri, step.job["run_uri"]))
            of_steps[step.name] = sources.setdefault(source, len(sources))
            concerned.append(provision)
    out_of_reach = set()
    for step in steps if contents != NONE else ():
        if not (step.allow_reuse and step.locations):
            continue
        provision = provisions[step.name]
        accounts = {each.service_account for each in (*concerned, provision) if each.service_account}
        if len(accounts) > 1:  # one pod reads everything, with one account
            out_of_reach.add(step.name)
            continue
        looked_at[step.name] = step.locations
        concerned.append(provision)
    if not concerned:
        return None
    request = SurveyRequest(tuple(sources), looked_at, by=STAMPS if contents == NONE else contents)
    return Survey(request, _union(concerned, where), of_steps, frozenset(out_of_reach))


def with_survey(step: FrozenStep, survey: Survey, found: SurveyResult, *, run: str) -> FrozenStep:
    """Add the survey's result about source, inputs and models to a step; return the step.

    `run` is an id unique to the run. It replaces unknown digests, so that they never equal those of another run.
    """
    if (number := survey.sources.get(step.name)) is not None:
        source = found.sources[number]
        step = with_source(step, source.files, copy=survey.request.sources[number].target, git=source.git)
    contents, held = found.contents.get(step.name, {}), found.held.get(step.name, {})
    recorded = {name: {"digest": digest, **_shown(survey, held.get(name, {}))} for name, digest in contents.items()}
    if step.name in survey.out_of_reach:
        recorded = {name: {"digest": run, "unknown": _OTHER_ACCOUNT} for name in step.locations}
    elif step.name in survey.request.contents and not recorded:
        recorded = {name: {"digest": run, "unknown": _TOO_MANY} for name in step.locations}
    return step.with_contents(recorded, by=survey.request.by) if recorded else step


def _shown(survey: Survey, held: Mapping[str, Any]) -> dict[str, Any]:
    return {key: survey.shown(each) if key == "unknown" else each for key, each in held.items()}


def is_result_of(survey: Survey, found: SurveyResult) -> bool:
    """Return whether a result belongs to this survey."""
    steps = survey.request.contents
    has_contents = found.contents.keys() == steps.keys() or not found.contents  # left out if there are too many
    return len(found.sources) == len(survey.request.sources) and has_contents


def has_file(source: SourceFound, name: str) -> bool:
    """Return whether a source may contain a file; folders that are listed without their files may contain any."""
    path = posixpath.normpath(name)
    folders = {path[: index + 1] for index, letter in enumerate(path) if letter == "/"}
    return not source.files.keys().isdisjoint({path, ALL_FILES, *folders})


class _Targets:
    """Allocator of unused locations for the copies of sources, per store."""

    def __init__(self, copies: Iterable[str | None]) -> None:
        self._first = 1 + max((_number(each) for each in copies if each is not None), default=-1)
        self._known: dict[tuple[str, str], str] = {}

    def of(self, source: str, run_uri: str) -> str:
        """Return the location for the copy of a source, in the run of the step with the folder `run_uri`."""
        folder = run_uri.rstrip("/").rpartition("/")[0].rpartition("/")[0]  # of the pipeline's run, in the same store
        return self._known.setdefault((source, folder), f"{folder}/sources/{self._first + len(self._known)}")


def _number(location: str) -> int:
    """Return the number of a copy; -1 for any other location."""
    folder, _, number = location.rpartition("/")
    return int(number) if folder.endswith("/sources") and number.isdecimal() else -1


def _union(provisions: Collection[PodRequirements], where: str) -> PodRequirements:
    """Return requirements with the volumes, Secrets and account of all `provisions`."""
    volumes = {volume for each in provisions for volume in each.volumes}
    folders = {folder for each in provisions for folder in each.folders}
    secrets = {secret for each in provisions for secret in each.secrets}
    accounts = {each.service_account for each in provisions if each.service_account}
    if len(accounts) > 1:
        text = (
            f"the Datastores of its steps name the accounts {listed(sorted(accounts))} (spec.serviceAccountName), but "
            "one pod reads all sources and inputs before the run begins; name one account"
        )
        raise InvalidDocuments([Problem(where, "", text)])
    ordered = tuple(sorted(volumes, key=lambda each: each.uri))
    return PodRequirements(
        volumes=ordered,
        folders=tuple(sorted(folders)),
        secrets=tuple(sorted(secrets)),
        service_account=next(iter(accounts), None),
    )


def describe(survey: Survey) -> str:
    """Return a phrase that describes the work of a survey."""
    parts: list[str] = []
    if sources := len(survey.request.sources):
        parts.append(f"copies {sources} source{'s' * (sources > 1)}")
    if steps := len(survey.request.contents):
        parts.append(f"lists the inputs of {steps} step{'s' * (steps > 1)}")
    return " and ".join(parts)
