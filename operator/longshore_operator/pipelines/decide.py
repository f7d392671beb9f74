"""What a Pipeline's status says: whether it could be run, as far as that can be told without its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from longshore_api.status import ResourceStatus
from longshore_operator.common.actions import Action, Delete, Plan
from longshore_operator.common.conditions import INVALID, milestones
from longshore_operator.manifests.subject import Subject
from longshore_planner.status import condition

VALID = "Valid"


@dataclass(frozen=True)
class Template:
    """All that one reconcile of a Pipeline knows."""

    subject: Subject
    generation: int
    status: ResourceStatus | None
    contents: str  # "3 steps, 2 parameters"
    problem: str = ""  # what is wrong with it
    surplus: tuple[Subject, ...] = ()  # ended runs of it that are more than its history limits keep


def decide_template(seen: Template, *, now: datetime) -> Plan[ResourceStatus]:
    """Return what to do next."""
    actions: tuple[Action, ...] = tuple(Delete(each.kind, each.name, each.uid) for each in seen.surplus)
    ready = condition(
        "Ready",
        "False" if seen.problem else "True",
        reason=INVALID if seen.problem else VALID,
        message=seen.problem or seen.contents,
        previous=seen.status,
        generation=seen.generation,
        now=now,
    )
    status = ResourceStatus(observed_generation=seen.generation, conditions=[ready])
    return Plan(actions, status, milestones(seen.status, status))
