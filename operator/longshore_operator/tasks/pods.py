"""From a task's pod as the API gives it to what the plan needs to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from longshore_operator.common.pods import container_states, observed_pod
from longshore_operator.manifests import names
from longshore_operator.manifests.tasks import COLLECT, MAIN, PREPARE, TRANSFER
from longshore_operator.tasks.observed import PREPARING, RUNNING, Ended, TaskPod
from longshore_protocol.script_job import CANCELLED, FAILED, SUCCEEDED, TIMED_OUT, ScriptResult

_EPOCH = datetime.fromtimestamp(0, tz=UTC)  # reasons that runtimes report for a container that never started


def task_pod(raw: Mapping[str, Any], *, step: str) -> TaskPod:
    """Return what there is to know of a task's pod."""
    pod = observed_pod(raw, index=names.task_number(step, raw["metadata"]["name"]))
    states = container_states(raw)
    work = states.get(MAIN, states.get(TRANSFER, {}))
    last = states.get(COLLECT, states.get(TRANSFER, {})).get("terminated")
    result, mute = _result(states), _ended(last, otherwise=pod.created)
    stage = RUNNING if "running" in work else PREPARING if "running" in states.get(PREPARE, {}) else ""
    return TaskPod(
        **vars(pod),
        stage=stage,
        started=_started(work),
        result=result,
        script=_ended(states.get(MAIN, {}).get("terminated"), otherwise=pod.created),
        mute_since=mute.at if mute is not None and (result is None or result.state == CANCELLED) else None,
    )


def _started(state: Mapping[str, Any]) -> datetime | None:
    found = state.get("running") or state.get("terminated") or {}
    when = datetime.fromisoformat(found["startedAt"]) if found.get("startedAt") else _EPOCH
    return when if when > _EPOCH else None


def _ended(terminated: Mapping[str, Any] | None, *, otherwise: datetime) -> Ended | None:
    if terminated is None or terminated.get("exitCode", 0) == 0:
        return None
    at = terminated.get("finishedAt")
    return Ended(
        reason=terminated.get("reason", ""),
        message=" ".join(str(terminated.get("message", "")).split()),
        exit_code=terminated["exitCode"],
        at=otherwise if at is None else datetime.fromisoformat(at),
    )


def _result(states: Mapping[str, Mapping[str, Any]]) -> ScriptResult | None:
    for name in (PREPARE, COLLECT, TRANSFER):
        message = states.get(name, {}).get("terminated", {}).get("message")
        if message:
            try:
                found = ScriptResult.from_json(message)
            except ValueError:
                continue  # it is no result: something went wrong in an image of ours
            if found.state in (SUCCEEDED, FAILED, TIMED_OUT, CANCELLED):
                return found
    return None
