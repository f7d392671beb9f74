"""Freezes a PipelineRun: from it and what it refers to, to what is kept when it begins. Pure.

draft      the steps, resolved; which ConfigMaps and Secrets they name is known from now on
complete   with the code of their sources, and with what a survey found where one is needed
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from longshore_api.base import Resource
from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.pipeline_status import PipelineRunStatus
from longshore_api.validation import field_path
from longshore_operator.cluster.api import Manifest
from longshore_operator.common.actions import Ensure
from longshore_operator.common.continuations import Continuation, follower, rival
from longshore_operator.common.reasons import WAITING_FOR_RUN
from longshore_operator.common.references import INDEX_FIELD, Found, document, missing_secrets
from longshore_operator.common.values import Blocked, Pod
from longshore_operator.manifests import names, placement
from longshore_operator.manifests.subject import Subject
from longshore_operator.pipeline_runs.sources import RETRY, Sources
from longshore_operator.settings import Settings
from longshore_planner.catalogue import Document, Documents, gather
from longshore_planner.cluster.layout import default_store
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.cluster.step_runs import own_run_id
from longshore_planner.locations import join
from longshore_planner.pipelines.choose import PipelineDocument, choose
from longshore_planner.pipelines.freeze import Cluster, freeze
from longshore_planner.pipelines.frozen import NONE, FrozenPipeline, FrozenStep, Options
from longshore_planner.pipelines.on_cluster import ClusterPipeline, retried, with_original
from longshore_planner.pipelines.survey import Survey, survey_of

_LARGEST = 900 << 10  # bytes of a status: an object has 1.5 MB in etcd, and who set each field is kept in it, too
_OF_STEP = 600  # of a step in it, besides what it is compared by


@dataclass(frozen=True)
class Draft:
    """A run whose steps are resolved, but for the code in their sources."""

    run: Subject
    pipeline: ClusterPipeline
    where: str  # the document that problems name
    document: PipelineDocument | None  # where steps stand in that document; None for a retry
    reads: frozenset[str]  # names of the steps whose source is read now
    code: frozenset[str]  # and of those whose source in a store is copied
    contents: str = NONE  # what counts of the files of inputs
    copies: tuple[str | None, ...] = ()  # places of sources that the run which is retried copied
    problems: tuple[Problem, ...] = ()

    @property
    def is_retry(self) -> bool:
        """Whether it continues another PipelineRun's run."""
        return self.document is None

    @property
    def config_maps(self) -> set[str]:
        """Names of the ConfigMaps that are sources of its steps."""
        found = (PodRequirements.from_dict(each.provision or {}).config_map for each in self._read_steps)
        return {each for each in found if each is not None}

    @property
    def secrets(self) -> set[str]:
        """Names of the Secrets that its pods would wait for; of a retry, the first run has waited for them."""
        steps = () if self.is_retry else self.pipeline.pipeline.steps
        return {name for step in steps for name in (step.provision or {}).get("secrets", ())}

    @property
    def index_secrets(self) -> set[str]:
        """Names of the Secrets of package indexes, likewise."""
        steps = () if self.is_retry else self.pipeline.pipeline.steps
        found = (PodRequirements.from_dict(each.provision or {}).index_secret for each in steps)
        return {each for each in found if each}

    @property
    def _read_steps(self) -> Iterator[FrozenStep]:
        return (each for each in self.pipeline.pipeline.steps if each.name in self.reads)


@dataclass(frozen=True)
class ResolvedRun:
    """A run as it would begin now, once a survey has been made where it needs one."""

    frozen: ClusterPipeline
    copies: tuple[Ensure, ...] = ()  # of its sources
    is_retry: bool = False  # it continues another one's
    survey: Survey | None = None  # what is still to be read: `frozen` lacks it


@dataclass(frozen=True)
class EarlierRun:
    """The PipelineRun that retryOf names."""

    is_finished: bool
    run_id: str = ""
    frozen: ClusterPipeline | None = None  # None: it never began
    status: PipelineRunStatus | None = None  # None: it has none that this version reads


def draft_run(
    run: Subject, raw: Manifest, pipeline: Manifest | None, around: Iterable[Manifest], settings: Settings
) -> Draft:
    """Return the draft of a PipelineRun; `pipeline` is what its pipelineRef names.

    `around` are the Datasets, Datastores and others of its namespace. Raises InvalidDocuments.
    """
    documents = _documents(raw, pipeline, around)
    chosen = choose(documents, name=None, assigned={})
    assert chosen is not None, "the documents have a PipelineRun"
    run_id = own_run_id(run.name, run.uid)
    store = default_store(documents)
    frozen = freeze(
        chosen.pipeline,
        chosen.given,
        documents,
        run_id=run_id,
        run_uri="" if store is None else join(store, f"longshore/{run_id}"),
        cores=1,
        options=chosen.options,
        cluster=Cluster(settings.host_paths, settings.default_images),
    )
    every = frozenset(each.name for each in frozen.steps)
    return Draft(
        run=run,
        pipeline=ClusterPipeline(
            frozen, chosen.pipeline.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
        ),
        where=chosen.pipeline.where,
        document=chosen.pipeline,
        reads=every,
        code=every,
        contents=chosen.options.content_fingerprint,
        problems=tuple(_unreadable(frozen, settings)),
    )


def draft_retry(
    run: Subject,
    retries: str,
    earlier: EarlierRun | None,
    everyone: Collection[Continuation],
    options: Options,
    *,
    where: str,
) -> Draft | Blocked:
    """Return the draft of a run that continues another one: as that was frozen, but for the code of steps that failed.

    `earlier` is None where there is no other run of that name. Raises InvalidDocuments.
    """

    def wrong(rule: str, *, missing: str = "") -> InvalidDocuments:
        return InvalidDocuments([Problem(where, RETRY, f"is {retries!r}: {rule}", missing)])

    if earlier is None:
        missing = "" if retries == run.name else names.RUN_KIND
        raise wrong("there is no other PipelineRun of that name", missing=missing)
    if not earlier.is_finished:
        return Blocked(WAITING_FOR_RUN, f"waiting for {retries} to end, which this run retries")
    if earlier.frozen is None:
        raise wrong("it never began, and there is nothing to keep of it: run its pipeline again")
    if earlier.status is None:
        raise wrong("its status is of another version: run its pipeline again")
    succeeded = earlier.status.condition("Succeeded")
    if succeeded is not None and succeeded.status == "True":
        raise wrong("it has succeeded, and there is nothing to retry")
    # What that one made in the folders they have in common counts, and is not to be made again behind its back.
    if later := follower(everyone, retries, but=run.name):
        raise wrong(f"{later} has gone on with it: retry that one")
    if before := rival(everyone, retries, earlier.run_id, asking=run.name):
        return Blocked(WAITING_FOR_RUN, f"waiting for {before} to end, which retries the same run")
    again, failed = retried(earlier.frozen, {each.name: each for each in earlier.status.steps})
    frozen = again.pipeline
    options = replace(options, content_fingerprint=frozen.options.content_fingerprint)
    steps = tuple(with_original(each) if each.name in failed else each for each in frozen.steps)
    return Draft(
        run=run,
        pipeline=replace(again, pipeline=replace(frozen, steps=steps, options=options)),
        where=where,
        document=None,
        reads=frozenset(each.name for each in steps if each.name not in again.kept),
        code=frozenset(failed),
        copies=tuple((each.provision or {}).get("source_uri") for each in frozen.steps),
    )


def complete(draft: Draft, found: Found, surveys: Iterable[Pod]) -> ResolvedRun:
    """Return the run of a draft with the code of its sources; `surveys` are its pods that look into stores.

    Raises InvalidDocuments with every problem found.
    """
    sources = Sources(draft.run, found.config_maps, document=draft.document, where=draft.where)
    steps = [sources.frozen(each) if each.name in draft.reads else each for each in draft.pipeline.pipeline.steps]
    missing = [
        *missing_secrets(sorted(draft.secrets), found, where=draft.where),
        *missing_secrets(sorted(draft.index_secrets), found, field=INDEX_FIELD, where=draft.where),
    ]
    problems = [*draft.problems, *missing, *sources.problems]
    if problems:
        raise InvalidDocuments(problems)
    survey = survey_of(steps, code=draft.code, contents=draft.contents, where=draft.where, copies=draft.copies)
    if survey is not None:
        surveyed = sources.surveyed(steps, survey, surveys)
        if sources.problems:
            raise InvalidDocuments(sources.problems)
        if surveyed is not None:
            steps, survey = surveyed, None
    frozen = replace(draft.pipeline, pipeline=replace(draft.pipeline.pipeline, steps=tuple(steps)))
    if survey is None and draft.document is not None:
        _check_size(frozen, draft.document)
    return ResolvedRun(frozen, tuple(sources.copies.values()), is_retry=draft.is_retry, survey=survey)


def _check_size(frozen: ClusterPipeline, pipeline: PipelineDocument) -> None:
    """Raise InvalidDocuments where a status would be too large, metrics aside: most of it is what steps compare by."""
    parts = sum(len(json.dumps(each.parts)) for each in frozen.pipeline.steps)
    size = parts + _OF_STEP * len(frozen.pipeline.steps) + len(json.dumps(frozen.spec))
    if size > _LARGEST:
        rule = f"are too many, with too many files of code: a status of them would have {size >> 10} kB"
        path = field_path((*pipeline.loc, "steps"))
        raise InvalidDocuments([Problem(pipeline.where, path, f"{rule}, of at most {_LARGEST >> 10}")])


def _documents(raw: Manifest, pipeline: Manifest | None, around: Iterable[Manifest]) -> Documents:
    """Return the run and what it may refer to. Raises InvalidDocuments for what it does refer to and is not valid."""
    found: list[Document[Resource]] = [document(raw), *([] if pipeline is None else [document(pipeline)])]
    named = set(_strings([raw.get("spec"), (pipeline or {}).get("spec")]))
    for each in around:
        try:
            found.append(document(each))
        except InvalidDocuments:
            if each["metadata"]["name"] in named:
                raise
    return gather(found)


def _strings(value: Any) -> Iterator[str]:
    match value:
        case dict():
            yield from _strings(list(value.values()))
        case list():
            for each in value:
                yield from _strings(each)
        case str():
            yield value
        case _:
            return


def _unreadable(frozen: FrozenPipeline, settings: Settings) -> Iterable[Problem]:
    """Return the problems of the ComputeClusters' pod templates, each once."""
    problems = {}
    for step in frozen.steps:
        node = PodRequirements.from_dict(step.provision or {}).node
        if node.compute and node.compute not in problems and (text := placement.unreadable(node, settings)):
            where = f"{names.COMPUTE_KIND}/{node.compute}"
            problems[node.compute] = Problem(where, "spec.podTemplate.spec", f"is wrong: {text}")
    return problems.values()
