"""The code of a PipelineRun's steps as it is when the run begins: copies of ConfigMaps, and what a survey found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from longshore_api.errors import InvalidDocuments, Problem
from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.common.actions import Ensure
from longshore_operator.common.references import digests_of
from longshore_operator.common.values import Pod
from longshore_operator.manifests import names
from longshore_operator.manifests.pipeline_runs import source_map
from longshore_operator.manifests.subject import Subject
from longshore_operator.pipeline_runs.surveys import outcome
from longshore_planner.cluster.provision import Provision, user_location
from longshore_planner.pipelines.choose import PipelineDocument
from longshore_planner.pipelines.frozen import PARALLEL_RUN, FrozenStep
from longshore_planner.pipelines.on_cluster import with_source
from longshore_planner.pipelines.survey import Survey, has_file, with_survey

RETRY = "spec.retryOf"


class Sources:
    """Sources of steps, each read once; what is wrong with them is put down in `problems`.

    `template` says where a step is in a document, if it is in one; `where` is what else problems are told of.
    """

    def __init__(self, kube: Kube, run: Subject, *, template: PipelineDocument | None, where: str) -> None:
        self._kube, self._run = kube, run
        self._template, self._where = template, where
        self._read: dict[str, Manifest | None] = {}
        self.copies: dict[str, Ensure] = {}  # by their names
        self.problems: list[Problem] = []

    def frozen(self, step: FrozenStep) -> FrozenStep:
        """Return a step with its source as it is now. One that lies in a store is left to a survey."""
        provision = Provision.from_dict(step.provision or {})
        if provision.source_image is not None:
            return with_source(step, {provision.source_image: f"in {provision.image}"})
        if provision.config_map is None:
            return step
        name, entry = provision.config_map, str(step.parts.get("entry", ""))
        source = self._source(name)
        if source is None:
            self._tell(step, "source.configMap", f"is {name!r}: there is no such ConfigMap")
            return step
        files = digests_of(source)
        if entry not in files:
            self._tell(step, _entry_field(step), f"is {entry!r}: ConfigMap {name} has no such key")
            return step
        digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
        copy = names.source_copy(self._run.name, digest)
        self.copies[copy] = Ensure(source_map(self._run, copy, source))
        return with_source(step, files, copy=copy)

    def surveyed(self, steps: Iterable[FrozenStep], survey: Survey, pods: Iterable[Pod]) -> list[FrozenStep] | None:
        """Return the steps with what their survey found; None until it has. Raises InvalidDocuments if it failed."""
        found = outcome(survey, self._run.name, pods)
        if found is None:
            return None
        if isinstance(found, str):
            raise InvalidDocuments([Problem(self._where, "", survey.shown(found))])
        steps = list(steps)
        for step in steps:
            number, entry = survey.sources.get(step.name), str(step.parts.get("entry", ""))
            if number is not None and not has_file(found.sources[number], entry):
                place = user_location(survey.request.sources[number].uri)
                self._tell(step, _entry_field(step), f"is {entry!r}: there is no such file in the source {place}")
        return [with_survey(step, survey, found, run=self._run.uid) for step in steps]

    def _source(self, name: str) -> Manifest | None:
        if name not in self._read:
            self._read[name] = self._kube.fetch("ConfigMap", self._run.namespace, name)
        return self._read[name]

    def _tell(self, step: FrozenStep, field: str, text: str) -> None:
        if self._template is None:
            text = f"needs the code of {step.name} anew, whose {field} {text}"
            self.problems.append(Problem(self._where, RETRY, text))
        else:
            path = self._template.path(step.name, f"{step.kind}.{field}")
            self.problems.append(Problem(self._template.where, path, text))


def _entry_field(step: FrozenStep) -> str:
    return "entryScript" if step.kind == PARALLEL_RUN else "scriptName"
