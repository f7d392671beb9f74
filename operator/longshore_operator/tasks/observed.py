"""What there is of a task, as plain values: the task, its run and its pods."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from longshore_api.errors import Problem
from longshore_api.task_status import TaskStatus
from longshore_operator.common.environments import ObservedEnvironment
from longshore_operator.common.pool import Pool
from longshore_operator.common.registering import Registrations
from longshore_operator.common.values import Blocked, Observation, Pod
from longshore_planner.cluster.task_runs import TaskRun
from longshore_protocol.script_job import ScriptResult

PREPARING, RUNNING = "PreparingData", "Running"  # stages of a pod


@dataclass(frozen=True)
class Ended:
    """How a container ended, where that was not well."""

    reason: str  # of the container runtime: OOMKilled, StartError, Error
    message: str
    exit_code: int
    at: datetime


@dataclass(frozen=True)
class TaskPod(Pod):
    """A pod of a task; its index is the number of pods lost before it."""

    stage: str = ""  # PREPARING or RUNNING; "" before, between and after
    started: datetime | None = None  # when the script, or the copy, did
    result: ScriptResult | None = None  # as one of its containers of ours left it
    script: Ended | None = None  # None: the user's container has not ended, or well
    mute_since: datetime | None = (
        None  # the container that was to leave a result ended without one that counts by itself
    )


@dataclass(frozen=True)
class ObservedTask(Observation[TaskStatus]):
    """All that one reconcile of a task knows."""

    run: TaskRun | None = None  # as it was frozen when it began
    resolved: TaskRun | tuple[Problem, ...] | Blocked | None = None  # as it would begin now; None when it has begun
    pods: tuple[TaskPod, ...] = ()
    foreign: str = ""  # an object that has the name of one of ours, and is not
    registrations: Registrations = field(default_factory=Registrations)  # once it has succeeded
    environment: ObservedEnvironment | None = None  # None: the image has all packages
    pool: Pool | None = None  # None: the task shares no ComputeCluster, or has its node

    @property
    def number(self) -> int:
        """Which pod is the task's present one: as many as were lost come before it."""
        counted = self.status.losses if self.status else 0
        return max([counted, *(each.index or 0 for each in self.pods)])

    @property
    def pod(self) -> TaskPod | None:
        """The present pod."""
        return next((each for each in self.pods if each.index == self.number), None)

    @property
    def earlier(self) -> list[TaskPod]:
        """The pods that count as lost."""
        return [each for each in self.pods if each.index != self.number]
