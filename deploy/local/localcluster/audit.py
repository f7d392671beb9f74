"""Calls of the API server, read from its audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.places import Places

_COMPONENTS = ("apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [  # the first that fits
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"]},
        {
            "level": "None",
            "users": [
                f"system:{each}" for each in ("apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
            ],
        },
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True, order=True)
class Use:
    """The permission that a call needs: a verb on a resource, or on a non-resource path."""

    verb: str
    group: str  # "" is the core group
    resource: str  # with its subresource, as roles name it: "pods/exec"; "" for a path
    path: str = ""  # of what is no resource, such as "/version"

    def __str__(self) -> str:
        return f"{self.verb:16} {self.path or '.'.join(filter(None, (self.resource, self.group)))}"


@dataclass(frozen=True)
class Call:
    """One call of a user outside the cluster's own components."""

    id: str
    user: str
    agent: str  # what the client calls itself
    use: Use
    namespace: str
    name: str
    code: int  # of HTTP
    at: str  # when it arrived: RFC 3339 with microseconds, UTC

    @property
    def writes(self) -> bool:
        """Whether it asked for a change."""
        return self.use.verb not in ("get", "list", "watch")


def calls(place: Places, *, user: str | None = None) -> Iterator[Call]:
    """Yield the calls that were answered, of one user or of all, in the order of their answers.

    Kubernetes 1.20 logs a watch when it ends. The cluster's own components are not in the log.
    """
    seen = set()
    for file in sorted(place.audit.parent.glob(f"{place.audit.stem}*{place.audit.suffix}"), key=_age):
        with file.open() as lines:
            for line in lines:
                if not line.endswith("\n"):
                    break  # it is being written
                event = json.loads(line)
                if event["auditID"] not in seen and user in (None, event["user"].get("username")):
                    seen.add(event["auditID"])  # a watch has two records
                    yield _call(event)


def uses(place: Places, user: str) -> set[Use]:
    """Return what a user did, each verb on each resource once; refused calls are among them."""
    return {each.use for each in calls(place, user=user)}


def _age(file: Path) -> tuple[bool, str]:
    return "-" not in file.stem, file.name  # those that were put aside have the time in their names


def _call(event: dict[str, Any]) -> Call:
    target = event.get("objectRef", {})
    resource = "/".join(filter(None, (target.get("resource"), target.get("subresource"))))
    path = "" if resource else event["requestURI"].partition("?")[0]
    return Call(
        id=event["auditID"],
        user=event["user"].get("username", ""),
        agent=event.get("userAgent", ""),
        use=Use(event["verb"], target.get("apiGroup", ""), resource, path),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        at=event["requestReceivedTimestamp"],
    )
