"""Runs on a cluster: PipelineRuns, whose steps are resources and whose logs and outputs are in stores."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from longshore_api.pipeline_status import PipelineRunStatus, PipelineStepStatus
from longshore_api.status import ParallelRunStepStatus
from longshore_api.task_status import TaskStatus
from longshore_runs.cluster_api import ClusterApi, Manifest
from longshore_runs.reader import ControlledRun
from longshore_runs.records import (
    ENDED,
    PENDING,
    SUSPENDED,
    RunState,
    StepState,
    parallel_run_state,
    pipeline_state,
    task_state,
)
from longshore_runs.step_folder import StepFolder

KIND = "PipelineRun"
TAGS_ANNOTATION = "longshore.dev/tags"  # a JSON object
NAME_LABEL = "longshore.dev/name"  # of a PipelineRun whose pipeline is described in place
_CLAIM = "pvc:"


class ClusterRun(ControlledRun):
    """A PipelineRun.

    Args:
        api: Calls of its namespace.
        name: Name of the PipelineRun.
    """

    def __init__(self, api: ClusterApi, name: str) -> None:
        self._api, self._name = api, name
        self._ended: dict[str, StepState] = {}  # steps that have ended, whose resources do not change
        self._version = ""

    @property
    def id(self) -> str:
        return self._name

    def state(self) -> RunState:
        return self._state(self._read())

    def tags(self) -> Mapping[str, str]:
        return tags_of(self._read())

    def pause(self, seconds: float) -> None:
        if self._version:
            self._api.wait(KIND, self._name, self._version, seconds)
        else:
            super().pause(seconds)

    def folder(self, step: StepState) -> StepFolder:
        if step.uri.startswith(_CLAIM):
            text = "is in a claim, which only pods can read; use a Datastore with a URL, or kubectl cp from a pod"
            raise RuntimeError(f"the run folder {step.uri} {text}")
        return super().folder(step)

    def cancel(self) -> None:
        self._require(not self.state().has_ended, "has ended, so it cannot be cancelled")
        self._api.change(KIND, self._name, {"cancel": True})

    def suspend(self) -> None:
        self._require(not self.state().has_ended, "has ended, so it cannot be suspended")
        self._api.change(KIND, self._name, {"suspend": True})

    def resume(self, *, accept_changed_code: bool = False) -> None:
        self._require(bool(self._read()["spec"].get("suspend")), "is not suspended, so it cannot be resumed")
        accepting = {"acceptChangedCode": True} if accept_changed_code else {}
        self._api.change(KIND, self._name, {"suspend": False, **accepting})

    def retry(self, *, accept_changed_code: bool = False) -> ClusterRun:
        raw = self._read()
        self._require(self._state(raw).has_ended, "has not ended, so it cannot be retried")
        name = f"{self._name.rpartition('-retry-')[0] or self._name}-retry-{secrets.token_hex(2)}"
        accepting = {"acceptChangedCode": True} if accept_changed_code else {}
        metadata = {"name": name, "annotations": {TAGS_ANNOTATION: json.dumps(dict(tags_of(raw)))}}
        spec = {"retryOf": self._name, **accepting}
        self._api.create({"apiVersion": raw["apiVersion"], "kind": KIND, "metadata": metadata, "spec": spec})
        return ClusterRun(self._api, name)

    def _require(self, condition: bool, text: str) -> None:  # noqa: FBT001  (the condition that must be true)
        if not condition:
            raise RuntimeError(f"the run {self._name} {text}")

    def _read(self) -> Manifest:
        found = self._api.get(KIND, self._name)
        if found is None:
            raise RuntimeError(f"the run {self._name} does not exist; it was deleted")
        self._version = str(found["metadata"].get("resourceVersion", ""))
        return found

    def _state(self, raw: Manifest) -> RunState:
        if not raw.get("status"):
            return RunState(self._name, name_of(raw), PENDING, PENDING)
        status = PipelineRunStatus.model_validate(raw["status"])
        details = {each.name: found for each in status.steps if (found := self._detail(each)) is not None}
        state = replace(pipeline_state(status, run_id=self._name, details=details), name=name_of(raw))
        is_suspended = (
            raw["spec"].get("suspend")
            and not state.has_ended
            and not any(each.state == "Running" for each in state.steps)
        )
        return replace(state, state=SUSPENDED) if is_suspended else state

    def _detail(self, step: PipelineStepStatus) -> StepState | None:
        """Return the state of a step as its resource has it; None without a resource."""
        kind, _, name = step.resource.partition("/")
        if not name:
            return None
        if name not in self._ended:
            found = self._api.get(kind, name)
            if found is None or not found.get("status"):
                return None
            detail = _step_state(kind, step.name, found["status"])
            if step.state not in ENDED:
                return detail
            self._ended[name] = detail
        return self._ended[name]


def _step_state(kind: str, name: str, status: dict[str, Any]) -> StepState:
    if kind == "ParallelRunStep":
        found = ParallelRunStepStatus.model_validate(status)
        return parallel_run_state(found, name=name, uri=found.run_uri or "")
    task = TaskStatus.model_validate(status)
    return task_state(task, name=name, uri=task.run_uri or "")


def name_of(raw: Manifest) -> str:
    """Return the name of the pipeline or step that a PipelineRun runs."""
    labels = raw["metadata"].get("labels") or {}
    reference = raw["spec"].get("pipelineRef") or {}
    return str(labels.get(NAME_LABEL) or reference.get("name") or raw["metadata"]["name"])


def tags_of(raw: Manifest) -> Mapping[str, str]:
    """Return the tags of a PipelineRun."""
    text = (raw["metadata"].get("annotations") or {}).get(TAGS_ANNOTATION, "{}")
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
