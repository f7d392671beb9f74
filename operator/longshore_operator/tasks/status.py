"""The status of a task: from its pod, from its result, or from what is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from longshore_api.status import Condition
from longshore_api.task_status import GitState, NamedOutput, TaskStatus
from longshore_operator.common.values import Blocked
from longshore_operator.manifests import names
from longshore_operator.tasks.observed import SeenTask, Task
from longshore_planner.ground import shown
from longshore_planner.status import Truth, condition
from longshore_planner.tasks import TaskRun
from longshore_protocol import script_job
from longshore_protocol.script_job import ScriptResult

_FAILED = {names.SCRIPT_KIND: "ScriptFailed", names.TRANSFER_KIND: script_job.TRANSFER_FAILED}


def waiting(seen: SeenTask, run: TaskRun, blocked: Blocked, *, now: datetime, losses: int = 0) -> TaskStatus:
    """Return the status of a task that has not ended; `losses` are pods that were lost, those known included."""
    known = _known(seen, run)
    known["losses"] = max(known["losses"], losses)
    return TaskStatus(conditions=_conditions(seen.task, "Unknown", blocked, now=now), **known)


def ended(seen: SeenTask, run: TaskRun, result: ScriptResult, *, now: datetime) -> TaskStatus:
    """Return the last status, as the result says."""
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
        "completion_time": datetime.fromtimestamp(result.finished, tz=UTC),
    }
    truth: Truth = "True" if succeeded else "False"
    conditions = _conditions(seen.task, truth, Blocked(reason, message), now=now)
    return TaskStatus(conditions=conditions, **{**_known(seen, run), **found})


def failed(seen: SeenTask, run: TaskRun, blocked: Blocked, *, now: datetime) -> TaskStatus:
    """Return the last status of a task whose pods left no result."""
    conditions = _conditions(seen.task, "False", blocked, now=now)
    return TaskStatus(conditions=conditions, **{**_known(seen, run), "completion_time": now})


def not_begun(task: Task, blocked: Blocked, *, final: bool, now: datetime) -> TaskStatus:
    """Return the status of a task of which nothing is known to run; what was known of its run stays."""
    conditions = _conditions(task, "False" if final else "Unknown", blocked, now=now)
    fields = {"conditions": conditions, "observed_generation": task.generation}
    if final:
        fields["completion_time"] = now
    if task.status is not None and task.status.run_id is not None:
        return task.status.model_copy(update=fields)
    return TaskStatus(**fields)  # type: ignore[arg-type]  # they are those of the model


def _known(seen: SeenTask, run: TaskRun) -> dict[str, Any]:
    """Return what is said of a run at all times."""
    before, pod = seen.task.status, seen.pod
    is_same = before is not None and before.run_id == run.run_id
    started = before.start_time if before is not None and is_same else None
    return {
        "observed_generation": seen.task.generation,
        "outputs": [NamedOutput(name=name, uri=shown(place)) for name, place in run.outputs.items()],
        "losses": before.losses if before is not None and is_same else 0,
        "start_time": started or (pod.started if pod else None),
        "run_id": run.run_id,
        "run_uri": shown(run.run_uri) or None,
    }


def _conditions(task: Task, succeeded: Truth, told: Blocked, *, now: datetime) -> list[Condition]:
    """Return all conditions. Waiting is not stalling: it may pass by itself, and kstatus takes Stalled for failed."""
    truths: dict[str, Truth] = {
        "Succeeded": succeeded,
        "Ready": "True" if succeeded == "True" else "False",
        "Stalled": "True" if succeeded == "False" else "False",
        "Finished": "False" if succeeded == "Unknown" else "True",
    }
    return [
        condition(
            type_,
            truth,
            reason=told.reason,
            message=told.message,
            previous=task.status,
            generation=task.generation,
            now=now,
        )
        for type_, truth in truths.items()
    ]
