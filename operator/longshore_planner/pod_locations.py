"""Conversion between locations of users and pods: volumes are mounted below MOUNTS in pods."""

from __future__ import annotations

import posixpath

MOUNTS = "/mnt/longshore"

_CLAIMS, _FOLDERS = f"{MOUNTS}/claim/", f"{MOUNTS}/host/"


def user_location(location: str) -> str:
    """Convert a location of pods into the user's form: pvc:CLAIM/..., or file:/// for folders of the node."""
    if location.startswith(_CLAIMS):
        return f"pvc:{location.removeprefix(_CLAIMS)}"
    return f"file:///{location.removeprefix(_FOLDERS)}" if location.startswith(_FOLDERS) else location


def pod_location(uri: str) -> str:
    """Convert a location of users into the form of pods; the inverse of `user_location`."""
    if uri.startswith("pvc:"):
        return _CLAIMS + uri.removeprefix("pvc:").lstrip("/")
    return _FOLDERS + uri.removeprefix("file:").lstrip("/") if uri.startswith("file:/") else uri


def is_below(location: str, root: str) -> bool:
    """Return whether a location, of users or pods, equals the root of a Datastore or is below it."""
    location, root = (
        each if "://" in each else posixpath.normpath(each) for each in map(pod_location, (location, root))
    )
    return location == root.rstrip("/") or location.startswith(root.rstrip("/") + "/")
