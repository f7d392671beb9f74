"""Freezes a PipelineRun: from it, its Pipeline and all that they refer to, to what is kept when it begins."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from longshore_api.base import Resource
from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.pipeline_status import PipelineRunStatus
from longshore_api.validation import field_path, label
from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.common.observe import status_of
from longshore_operator.common.pool import is_finished
from longshore_operator.common.references import AROUND, document, owner
from longshore_operator.common.values import Blocked, Pod
from longshore_operator.manifests import names, placement
from longshore_operator.manifests.pipeline_runs import RUN_ID_KEY, frozen_from
from longshore_operator.manifests.subject import Subject
from longshore_operator.pipeline_runs.decide import ResolvedRun
from longshore_operator.pipeline_runs.sources import RETRY, Sources
from longshore_operator.settings import Settings
from longshore_planner.catalogue import Document, Documents, gather
from longshore_planner.cluster.layout import default_store
from longshore_planner.cluster.provision import Provision
from longshore_planner.cluster.step_runs import own_run_id
from longshore_planner.pipelines.choose import choose
from longshore_planner.pipelines.freeze import Cluster, freeze
from longshore_planner.pipelines.frozen import NONE, FrozenPipeline, Options
from longshore_planner.pipelines.on_cluster import ClusterPipeline, retried, with_original
from longshore_planner.pipelines.survey import Survey, survey_of
from longshore_planner.places import join

_LARGEST = 900 << 10  # bytes of a status: an object has 1.5 MB in etcd, and who set each field is kept in it, too
_OF_STEP = 600  # of a step in it, besides what it is compared by


def freeze_run(
    kube: Kube, raw: Manifest, run: Subject, options: Options, settings: Settings, *, surveys: Sequence[Pod] = ()
) -> ResolvedRun | tuple[Problem, ...] | Blocked:
    """Return the run as it would begin now, what is wrong with it, or what it waits for. Raises ApiError.

    `surveys` are the run's pods that look at what the operator cannot see.
    """
    try:
        earlier = raw.get("spec", {}).get("retryOf")
        if earlier is not None:
            return _Retry(kube, raw, run, str(earlier), surveys).resolved(options)
        return _begin(kube, raw, run, settings, surveys)
    except InvalidDocuments as error:
        return tuple(error.problems)


def _begin(kube: Kube, raw: Manifest, run: Subject, settings: Settings, surveys: Iterable[Pod]) -> ResolvedRun:
    documents = _documents(kube, raw)
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
        cluster=Cluster(settings.host_paths),
    )
    problems = [*_unreadable(frozen, settings), *_without_secrets(kube, frozen, run, where=chosen.pipeline.where)]
    sources = Sources(kube, run, template=chosen.pipeline, where=chosen.pipeline.where)
    steps = tuple(map(sources.frozen, frozen.steps))
    if problems or sources.problems:
        raise InvalidDocuments([*problems, *sources.problems])
    spec = chosen.pipeline.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    every = {each.name for each in steps}
    survey = survey_of(steps, code=every, contents=chosen.options.content_fingerprint, where=chosen.pipeline.where)
    begins = _resolved_run(ClusterPipeline(replace(frozen, steps=steps), spec), sources, survey, surveys)
    size = _size(begins.frozen)
    if begins.survey is None and size > _LARGEST:
        rule = f"are too many, with too many files of code: a status of them would have {size >> 10} kB"
        path = field_path((*chosen.pipeline.loc, "steps"))
        raise InvalidDocuments([Problem(chosen.pipeline.where, path, f"{rule}, of at most {_LARGEST >> 10}")])
    return begins


def _size(run_frozen: ClusterPipeline) -> int:
    """Return about how many bytes a status will have, but for metrics: most are of what steps are compared by."""
    parts = sum(len(json.dumps(each.parts)) for each in run_frozen.pipeline.steps)
    return parts + _OF_STEP * len(run_frozen.pipeline.steps) + len(json.dumps(run_frozen.spec))


def _resolved_run(
    run_frozen: ClusterPipeline,
    sources: Sources,
    survey: Survey | None,
    surveys: Iterable[Pod],
    *,
    is_retry: bool = False,
) -> ResolvedRun:
    """Return a run with what its survey found, or with the survey that is to run first. Raises InvalidDocuments."""
    steps = run_frozen.pipeline.steps
    if survey is not None:
        surveyed = sources.surveyed(steps, survey, surveys)
        if sources.problems:
            raise InvalidDocuments(sources.problems)
        if surveyed is not None:
            steps, survey = tuple(surveyed), None
    run_frozen = replace(run_frozen, pipeline=replace(run_frozen.pipeline, steps=steps))
    return ResolvedRun(run_frozen, tuple(sources.copies.values()), is_retry=is_retry, survey=survey)


@dataclass(frozen=True)
class _Retry:
    """A run that goes on with another one: as that was frozen, but for the code of steps that failed."""

    kube: Kube
    raw: Manifest
    run: Subject
    earlier: str
    surveys: Sequence[Pod]

    def resolved(self, options: Options) -> ResolvedRun | Blocked:
        where = label(self.raw)
        raw = None if self.earlier == self.run.name else self._read()
        if raw is None:
            raise self._wrong("there is no other PipelineRun of that name")
        if not is_finished(raw):
            return Blocked("WaitingForRun", f"waiting for {self.earlier} to end, which this run retries")
        frozen_map = self.kube.read("ConfigMap", self.run.namespace, names.pipeline_run(self.earlier))
        if frozen_map is None or owner(frozen_map) != raw["metadata"]["uid"]:
            raise self._wrong("it never began, and there is nothing to keep of it: run its pipeline anew")
        status = self._status(raw)
        if follower := self._follower():
            raise self._wrong(f"{follower} has gone on with it: retry that one")
        if rival := self._rival(frozen_map["data"][RUN_ID_KEY]):
            return Blocked("WaitingForRun", f"waiting for {rival} to end, which retries the same run")
        again, anew = retried(frozen_from(frozen_map), {each.name: each for each in status.steps})
        sources, steps = Sources(self.kube, self.run, template=None, where=where), []
        for step in again.pipeline.steps:
            if step.name in again.kept:
                steps.append(step)
                continue
            steps.append(sources.frozen(with_original(step) if step.name in anew else step))
        if sources.problems:
            raise InvalidDocuments(sources.problems)
        copies = [(each.provision or {}).get("source_uri") for each in again.pipeline.steps]
        survey = survey_of(steps, code=anew, contents=NONE, where=where, copies=copies)
        options = replace(options, content_fingerprint=again.pipeline.options.content_fingerprint)
        pipeline = replace(again.pipeline, steps=tuple(steps), options=options)
        return _resolved_run(replace(again, pipeline=pipeline), sources, survey, self.surveys, is_retry=True)

    def _status(self, raw: Manifest) -> PipelineRunStatus:
        """Return how the earlier run ended. Raises InvalidDocuments where that is nothing to go on with."""
        status = status_of(PipelineRunStatus, raw)
        if status is None:
            raise self._wrong("its status is of another version: run its pipeline anew")
        succeeded = status.condition("Succeeded")
        if succeeded is not None and succeeded.status == "True":
            raise self._wrong("it has succeeded, and there is nothing to retry")
        return status

    def _read(self) -> Manifest | None:
        return self.kube.read(names.RUN_KIND, self.run.namespace, self.earlier)

    def _wrong(self, rule: str) -> InvalidDocuments:
        return InvalidDocuments([Problem(label(self.raw), RETRY, f"is {self.earlier!r}: {rule}")])

    def _follower(self) -> str:
        """Return a run that has gone on with the same one, and ended; "" when there is none.

        What that run made in the folders they have in common counts, and is not to be made anew behind its back.
        """
        for each in self.kube.having(names.RUN_KIND, self.run.namespace, "retryOf"):
            began = is_finished(each) and "runId" in each["status"]
            if began and each["metadata"]["name"] != self.run.name and each["spec"].get("retryOf") == self.earlier:
                return str(each["metadata"]["name"])
        return ""

    def _rival(self, run_id: str) -> str:
        """Return the PipelineRun that goes on with the same run before this one may; "" when there is none."""
        mine = _age(self.raw)
        for each in sorted(self.kube.having(names.RUN_KIND, self.run.namespace, "retryOf"), key=_age):
            name, retried_run = each["metadata"]["name"], each.get("spec", {}).get("retryOf")
            if name == self.run.name or is_finished(each) or not retried_run:
                continue
            frozen_map = self.kube.read("ConfigMap", self.run.namespace, names.pipeline_run(name))
            begun = frozen_map is not None and frozen_map.get("data", {}).get(RUN_ID_KEY) == run_id
            if begun or (retried_run == self.earlier and _age(each) < mine):
                return str(name)
        return ""


def _age(raw: Manifest) -> tuple[str, str]:
    return raw["metadata"]["creationTimestamp"], raw["metadata"]["name"]


def _documents(kube: Kube, raw: Manifest) -> Documents:
    """Return the run and what it may refer to. Raises InvalidDocuments for what it does refer to and is not valid."""
    namespace = raw["metadata"]["namespace"]
    found: list[Document[Resource]] = [document(raw)]
    reference = raw.get("spec", {}).get("pipelineRef")
    pipeline = None
    if reference is not None:
        pipeline = kube.read(names.PIPELINE_KIND, namespace, str(reference["name"]))
        found += [] if pipeline is None else [document(pipeline)]
    said = set(_strings([raw.get("spec"), (pipeline or {}).get("spec")]))
    for each in (each for kind in AROUND for each in kube.list(kind, namespace)):
        try:
            found.append(document(each))
        except InvalidDocuments:
            if each["metadata"]["name"] in said:
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
    """Return what of the ComputeClusters' pod templates is no part of a pod, each once."""
    problems = {}
    for step in frozen.steps:
        node = Provision.from_dict(step.provision or {}).node
        if node.compute and node.compute not in problems and (text := placement.unreadable(node, settings)):
            where = f"{names.COMPUTE_KIND}/{node.compute}"
            problems[node.compute] = Problem(where, "spec.podTemplate.spec", f"is wrong: {text}")
    return problems.values()


def _without_secrets(kube: Kube, frozen: FrozenPipeline, run: Subject, *, where: str) -> Iterator[Problem]:
    """Yield the Secrets of Datastores that are not there: pods would wait for them in vain."""
    wanted = {name for step in frozen.steps for name in (step.provision or {}).get("secrets", ())}
    for name in sorted(wanted):
        if kube.fetch("Secret", run.namespace, name) is None:
            yield Problem(where, "", f"a Datastore's spec.secretRef.name is {name!r}: there is no such Secret")
