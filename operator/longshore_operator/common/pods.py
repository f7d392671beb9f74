"""Reads pods: from an object of the API to the values that decisions need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from longshore_operator.common.reasons import IMAGE_PULL, NOT_STARTED, UNSCHEDULABLE
from longshore_operator.common.values import LONG_AGO, Blocked, Pod
from longshore_operator.manifests.environments import UNPACK
from longshore_protocol.built_environment import MISSING

_PULL = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable")
_REJECTED = ("OutOf", "NodeAffinity", "UnexpectedAdmissionError", "NodePorts", "Topology")  # reasons of kubelets
_PAUSE = timedelta(seconds=10)
_OVERDUE = timedelta(seconds=60)  # that a pod may be late in going; then its node is taken for lost


def observed_pod(raw: Mapping[str, Any], *, index: int | None = None) -> Pod:
    """Return a pod of the API as a value; `index` is the number in its name, None for a pod without one."""
    metadata, status = raw["metadata"], raw.get("status", {})
    name = metadata["name"]
    created = metadata.get("creationTimestamp")
    return Pod(
        name=name,
        uid=metadata["uid"],
        phase=status.get("phase", "Pending"),
        index=index,
        created=LONG_AGO if created is None else datetime.fromisoformat(created),
        gone_by=_instant(metadata.get("deletionTimestamp")),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        last_words=_last_words(status),
        blocked=_blocked(name, status),
        lacks_environment=_lacks_environment(status),
    )


def was_just_rejected(pod: Pod, *, now: datetime) -> bool:
    """Return whether a node refused the pod a moment ago: the next pod may be refused as well."""
    return was_rejected(pod) and now < pod.created + _PAUSE


def was_rejected(pod: Pod) -> bool:
    """Return whether a node refused the pod, so that none of its containers ran."""
    return pod.reason.startswith(_REJECTED)


def is_overdue(pod: Pod, *, now: datetime) -> bool:
    """Return whether a pod should have ended long ago. What it may still do does not count: leases and epochs."""
    return pod.gone_by is not None and now >= pod.gone_by + _OVERDUE


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _last_words(status: Mapping[str, Any]) -> str:
    for each in status.get("containerStatuses", []):
        terminated = each.get("state", {}).get("terminated")
        if terminated:
            return str(terminated.get("message", ""))
    return ""


def _lacks_environment(status: Mapping[str, Any]) -> bool:
    for each in status.get("initContainerStatuses", []):
        if each["name"] == UNPACK:
            states = (each.get("state", {}), each.get("lastState", {}))
            return any((state.get("terminated") or {}).get("exitCode") == MISSING for state in states)
    return False


def _blocked(name: str, status: Mapping[str, Any]) -> Blocked | None:
    for each in status.get("conditions", []):
        if each.get("type") == "PodScheduled" and each.get("status") == "False":
            message = each.get("message") or "no node takes it"
            return Blocked(each.get("reason") or UNSCHEDULABLE, f"pod {name} cannot be scheduled: {message}")
    for container in _containers(status):
        waiting = container.get("state", {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        where = f"container {container['name']} of pod {name}"
        if reason in _PULL:
            message = waiting.get("message") or reason
            return Blocked(IMAGE_PULL, f"{where} has no image {container.get('image', '')}: {message}")
        if reason in NOT_STARTED:
            return Blocked(reason, f"{where} does not start: {_why(container, waiting)}")
    return None


def _why(container: Mapping[str, Any], waiting: Mapping[str, Any]) -> str:
    """Return the message of the container's last run, which explains more than that it is restarted."""
    last = container.get("lastState", {}).get("terminated") or {}
    message = last.get("message") or waiting.get("message") or waiting.get("reason", "")
    code = f" (exit code {last['exitCode']})" if "exitCode" in last else ""
    return " ".join(str(message).split()) + code


def container_states(raw: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the state of each container of a pod, by name; init containers come first."""
    return {each["name"]: each.get("state", {}) for each in _containers(raw.get("status", {}))}


def _containers(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from status.get("initContainerStatuses", [])
    yield from status.get("containerStatuses", [])
