"""What must be looked at where the stores are before a run begins: sources that lie there, and what inputs hold.

The copies of sources lie in the run's folder: `sources/<n>` beside the `steps/` of the steps that use them.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longshore_api.errors import InvalidDocuments, Problem, listed
from longshore_planner.cluster.pod_requirements import PodRequirements, user_location
from longshore_planner.pipelines.frozen import NONE, STAMPS, FrozenStep
from longshore_planner.pipelines.on_cluster import with_source
from longshore_protocol.survey import ALL_FILES, SourceFound, SourceToCopy, SurveyRequest, SurveyResult

_OTHER_ACCOUNT = "its Datastore names another serviceAccountName than those of the steps before it"
_TOO_MANY = "the run has more inputs than one pod can report on"


@dataclass(frozen=True)
class Survey:
    """What is to be looked at, and what the pod is given that does it."""

    request: SurveyRequest
    provision: PodRequirements
    sources: Mapping[str, int] = field(default_factory=dict)  # step -> which of the request's its source is
    out_of_reach: frozenset[str] = frozenset()  # steps whose Datastores name another account than the pod has

    @property
    def digest(self) -> str:
        """Hexadecimal digits that are others for another survey."""
        text = f"{self.request.to_json()} {json.dumps(self.provision.to_dict(), sort_keys=True)}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def shown(self, sentence: str) -> str:
        """Return a sentence of the pod with places as their users know them."""
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
    """Return what must be looked at; None where that is nothing.

    `code` names the steps whose source is to be copied, if it lies in a store; `contents` is what counts of the files
    of inputs and models, of steps that may be reused now or by a later run: NONE, STAMPS or DIGESTS. `copies` are the
    places of copies that earlier runs of the same folder made, which stay; `where` is what the run is called. Raises
    InvalidDocuments where one pod cannot look at all of it.
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
        if len(accounts) > 1:  # one pod looks, and has one account
            out_of_reach.add(step.name)
            continue
        looked_at[step.name] = step.locations
        concerned.append(provision)
    if not concerned:
        return None
    request = SurveyRequest(tuple(sources), looked_at, by=STAMPS if contents == NONE else contents)
    return Survey(request, _union(concerned, where), of_steps, frozenset(out_of_reach))


def with_survey(step: FrozenStep, survey: Survey, found: SurveyResult, *, run: str) -> FrozenStep:
    """Return a step with what was found of its source, its inputs and its models.

    `run` is unique to the run: it stands for what is not known, which then equals nothing that another run has.
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
    """Tell whether a result is one of this survey."""
    steps = survey.request.contents
    has_contents = found.contents.keys() == steps.keys() or not found.contents  # that of too many may be left out
    return len(found.sources) == len(survey.request.sources) and has_contents


def has_file(source: SourceFound, name: str) -> bool:
    """Tell whether a source has a file, as far as is known: of a folder that is told as one, it may."""
    path = posixpath.normpath(name)
    folders = {path[: index + 1] for index, letter in enumerate(path) if letter == "/"}
    return not source.files.keys().isdisjoint({path, ALL_FILES, *folders})


class _Targets:
    """Gives each source in each store a place for its copy that no earlier copy has."""

    def __init__(self, copies: Iterable[str | None]) -> None:
        self._first = 1 + max((_number(each) for each in copies if each is not None), default=-1)
        self._known: dict[tuple[str, str], str] = {}

    def of(self, source: str, run_uri: str) -> str:
        """Return the place for a source of the step that has this folder."""
        folder = run_uri.rstrip("/").rpartition("/")[0].rpartition("/")[0]  # of the run as a whole, in the same store
        return self._known.setdefault((source, folder), f"{folder}/sources/{self._first + len(self._known)}")


def _number(location: str) -> int:
    """Return the number of a copy; -1 for what is none."""
    folder, _, number = location.rpartition("/")
    return int(number) if folder.endswith("/sources") and number.isdecimal() else -1


def _union(provisions: Collection[PodRequirements], where: str) -> PodRequirements:
    """Return the volumes, Secrets and account of all, and nothing else of them."""
    volumes = {volume for each in provisions for volume in each.volumes}
    folders = {folder for each in provisions for folder in each.folders}
    secrets = {secret for each in provisions for secret in each.secrets}
    accounts = {each.service_account for each in provisions if each.service_account}
    if len(accounts) > 1:
        text = (
            f"the Datastores of its steps name the accounts {listed(sorted(accounts))} (spec.serviceAccountName), and "
            "one pod looks at all their sources and inputs before the run begins: name one account"
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
    """Say in a few words what is looked at."""
    parts: list[str] = []
    if sources := len(survey.request.sources):
        parts.append(f"copies {sources} source{'s' * (sources > 1)}")
    if steps := len(survey.request.contents):
        parts.append(f"lists the inputs of {steps} step{'s' * (steps > 1)}")
    return " and ".join(parts)
