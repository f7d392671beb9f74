"""The registrations of a succeeded step, and which of them exist already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longshore_api.registrations import Origin
from longshore_api.status import Registered
from longshore_operator.cluster.api import Kube, Manifest
from longshore_operator.common.actions import Register
from longshore_operator.common.values import Blocked
from longshore_planner.registering import REGISTRATION, Request, registered, requests


@dataclass(frozen=True)
class Registrations:
    """The registrations of a succeeded step."""

    missing: tuple[Request, ...] = ()
    made: tuple[Registered, ...] = ()
    fault: str = ""  # why they cannot be read

    @property
    def actions(self) -> tuple[Register, ...]:
        """The actions that create what is missing."""
        return tuple(map(Register, self.missing))

    @property
    def blocked(self) -> Blocked | None:
        """Why the step is not finished; None once all registrations exist."""
        if not self.missing:
            return None
        names = ", ".join(f'{each.kind} "{each.name}"' for each in self.missing[:_MOST_NAMED])
        more = len(self.missing) - _MOST_NAMED
        return Blocked("Registering", f"registering {names}" + (f" and {more} more" if more > 0 else ""))


_MOST_NAMED = 5


def observe_registrations(
    kube: Kube, namespace: str, packed: str, job: Mapping[str, Any], origin: Origin, *, attempt: int = 0
) -> Registrations:
    """Return what a succeeded step registers; see `longshore_planner.registering.requests`. Raises ApiError."""
    if not packed:
        return Registrations()
    stores = {each["metadata"]["name"]: str(each["spec"].get("uri", "")) for each in kube.list("Datastore", namespace)}
    try:
        wanted = requests(packed, job, origin, attempt=attempt, datastores=stores)
    except ValueError as error:
        return Registrations(fault=str(error))
    found = [(each, find_registered(kube, namespace, each)) for each in wanted]
    return Registrations(
        missing=tuple(each for each, raw in found if raw is None or not has_origin(raw)),
        made=tuple(registered(raw) for _, raw in found if raw is not None),
    )


def find_registered(kube: Kube, namespace: str, request: Request) -> Manifest | None:
    """Return the resource of a registration, or None. Raises ApiError."""
    return next(iter(kube.list(request.kind, namespace, f"{REGISTRATION}={request.key}")), None)


def has_origin(raw: Manifest) -> bool:
    """Return whether the status of a registered resource was written."""
    return bool((raw.get("status") or {}).get("origin"))
