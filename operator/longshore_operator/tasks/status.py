"""The status of a task: from its pod, from its result, or from what is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from longshore_api.status import Condition
from longshore_api.task_status import GitState, NamedOutput, TaskStatus
from longshore_operator.common.values import Blocked
from longshore_operator.manifests import names
from longshore_operator.tasks.observed import ObservedTask
from longshore_planner.cluster.task_runs import TaskRun
from longshore_planner.pod_locations import user_location
from longshore_planner.status import Truth, conditions
from longshore_protocol import script_job
from longshore_protocol.script_job import ScriptResult

_FAILED = {names.SCRIPT_KIND: "ScriptFailed", names.TRANSFER_KIND: script_job.TRANSFER_FAILED}


def waiting(seen: ObservedTask, run: TaskRun, blocked: Blocked, *, now: datetime, losses: int = 0) -> TaskStatus:
    """Return the status of a task that has not ended; `losses` are pods that were lost, those known included."""
    known = _known(seen, run)
    known["losses"] = max(known["losses"], losses)
    return TaskStatus(conditions=_conditions(seen, "Unknown", blocked, now=now), **known)


def ended(seen: ObservedTask, run: TaskRun, result: ScriptResult, *, now: datetime) -> TaskStatus:
    """Return the last status, computed from the result."""
    reason = (
        {
            script_job.SUCCEEDED: "Succeeded",
            script_job.TIMED_OUT: "Timeout",
            script_job.CANCELLED: "Cancelled",
        }.get(result.state)
        or result.reason
        or _FAILED[run.kind]
    )
    succeeded = result.state == script_job.SUCCEEDED
    message = "" if succeeded and run.kind == names.SCRIPT_KIND else result.message
    found: dict[str, Any] = {
        "metrics": result.metrics,
        "exit_code": result.exit_code,
        "git": None if result.git is None else GitState.model_validate(result.git),
        "registered": list(seen.registrations.made) or None,
        "completion_time": datetime.fromtimestamp(result.finished, tz=UTC),
    }
    truth: Truth = "True" if succeeded else "False"
    return TaskStatus(
        conditions=_conditions(seen, truth, Blocked(reason, message), now=now), **{**_known(seen, run), **found}
    )


def failed(seen: ObservedTask, run: TaskRun, blocked: Blocked, *, now: datetime) -> TaskStatus:
    """Return the last status of a task whose pods left no result."""
    return TaskStatus(
        conditions=_conditions(seen, "False", blocked, now=now), **{**_known(seen, run), "completion_time": now}
    )


def not_begun(seen: ObservedTask, blocked: Blocked, *, final: bool, now: datetime) -> TaskStatus:
    """Return the status of a task of which nothing is known to run; what was known of its run stays."""
    fields: dict[str, Any] = {
        "conditions": _conditions(seen, "False" if final else "Unknown", blocked, now=now),
        "observed_generation": seen.generation,
    }
    if final:
        fields["completion_time"] = now
    if seen.status is not None and seen.status.run_id is not None:
        return seen.status.model_copy(update=fields)
    return TaskStatus(**fields)


def _known(seen: ObservedTask, run: TaskRun) -> dict[str, Any]:
    """Return the fields that a status has at all times of a run."""
    before, pod = seen.status, seen.pod
    is_same = before is not None and before.run_id == run.run_id
    started = before.start_time if before is not None and is_same else None
    return {
        "observed_generation": seen.generation,
        "outputs": [NamedOutput(name=name, uri=user_location(place)) for name, place in run.outputs.items()],
        "losses": before.losses if before is not None and is_same else 0,
        "start_time": started or (pod.started if pod else None),
        "run_id": run.run_id,
        "run_uri": user_location(run.run_uri) or None,
    }


def _conditions(seen: ObservedTask, succeeded: Truth, blocked: Blocked, *, now: datetime) -> list[Condition]:
    return conditions(
        succeeded,
        reason=blocked.reason,
        message=blocked.message,
        previous=seen.status,
        generation=seen.generation,
        now=now,
    )
