"""The code of a PipelineRun's steps as it is when the run begins: copies of ConfigMaps, and what a survey found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from longshore_api.errors import InvalidDocuments, Problem
from longshore_operator.cluster.api import Manifest
from longshore_operator.common.actions import Ensure
from longshore_operator.common.references import digests_of
from longshore_operator.common.values import Pod
from longshore_operator.manifests import names
from longshore_operator.manifests.pipeline_runs import source_map
from longshore_operator.manifests.subject import Subject
from longshore_operator.pipeline_runs.surveys import outcome
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.pipelines.choose import PipelineDocument
from longshore_planner.pipelines.frozen import PARALLEL_RUN, FrozenStep
from longshore_planner.pipelines.on_cluster import with_source
from longshore_planner.pipelines.survey import Survey, has_file, with_survey
from longshore_planner.pod_locations import user_location

RETRY = "spec.retryOf"


class Sources:
    """Sources of steps; what is wrong with them is collected in `problems`.

    `config_maps` are those that exist, by name. `document` has the position of a step, if it is in a document; else
    problems name `where`.
    """

    def __init__(
        self, run: Subject, config_maps: Mapping[str, Manifest], *, document: PipelineDocument | None, where: str
    ) -> None:
        self._run, self._config_maps = run, config_maps
        self._document, self._where = document, where
        self.copies: dict[str, Ensure] = {}  # by their names
        self.problems: list[Problem] = []

    def frozen(self, step: FrozenStep) -> FrozenStep:
        """Return a step with its current source; a survey reads sources in stores."""
        provision = PodRequirements.from_dict(step.provision or {})
        if provision.source_image is not None:
            return with_source(step, {provision.source_image: f"in {provision.image}"})
        if provision.config_map is None:
            return step
        name, entry = provision.config_map, str(step.parts.get("entry", ""))
        source = self._config_maps.get(name)
        if source is None:
            text = f"is {name!r}: there is no such ConfigMap"
            self._add_problem(step, "source.configMap", text, missing="ConfigMap")
            return step
        files = digests_of(source)
        if entry not in files:
            self._add_problem(step, _entry_field(step), f"is {entry!r}: ConfigMap {name} has no such key")
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
                self._add_problem(
                    step, _entry_field(step), f"is {entry!r}: there is no such file in the source {place}"
                )
        return [with_survey(step, survey, found, run=self._run.uid) for step in steps]

    def _add_problem(self, step: FrozenStep, field: str, text: str, *, missing: str = "") -> None:
        if self._document is None:
            text = f"reads the code of {step.name} again, whose {field} {text}"
            self.problems.append(Problem(self._where, RETRY, text, missing))
        else:
            path = self._document.path(step.name, f"{step.kind}.{field}")
            self.problems.append(Problem(self._document.where, path, text, missing))


def _entry_field(step: FrozenStep) -> str:
    return "entryScript" if step.kind == PARALLEL_RUN else "scriptName"
