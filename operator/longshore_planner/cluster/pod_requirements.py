"""What the pods of a run need, and where they find volumes and the source folder.

Volumes are mounted below MOUNTS, the source folder lies at SOURCE.
"""

from __future__ import annotations

import posixpath
from dataclasses import asdict, dataclass, field
from typing import Any

from longshore_planner.cluster.nodes import NodeShape
from longshore_protocol.reading import read

MOUNTS = "/mnt/longshore"
SOURCE = "/longshore/source"
RUNS = "longshore"  # the folder of a Datastore that the runs in it have their folders in

_CLAIMS, _FOLDERS = f"{MOUNTS}/claim/", f"{MOUNTS}/host/"


@dataclass(frozen=True)
class Volume:
    """A volume that a Datastore lies on: a claim, or a folder of the node."""

    claim: str | None = None
    host_path: str | None = None

    @property
    def mount_path(self) -> str:
        """Where the pods of a run see it."""
        return f"{_CLAIMS}{self.claim}" if self.claim else f"{MOUNTS}/host{self.host_path}"

    @property
    def uri(self) -> str:
        """What its Datastore calls it."""
        return f"pvc:{self.claim}" if self.claim else f"file://{self.host_path}"


@dataclass(frozen=True)
class PodRequirements:
    """What the pods of a run are given."""

    image: str = ""  # of the user's container; none for a transfer
    interpreter: str = "python"  # inside the image
    volumes: tuple[Volume, ...] = ()
    folders: tuple[str, ...] = ()  # of the Datastores on them, as pods know them
    secrets: tuple[str, ...] = ()  # names of Secrets with credentials of stores: for containers of ours
    service_account: str | None = None  # whose cloud identity they have; the namespace's own if None
    config_map: str | None = None  # the source folder, if it is one
    source_uri: str | None = None  # from which the source is fetched: a URL, or a location inside the pods
    source_image: str | None = None  # the source folder, if it is in the image
    node: NodeShape = field(default_factory=NodeShape)  # of one pod that is a node

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON value that `from_dict` reads back."""
        return asdict(self)

    @staticmethod
    def from_dict(raw: dict[str, Any]) -> PodRequirements:
        """Read what `to_dict` wrote, in this version or an adjacent one. Raises ValueError."""
        return read(PodRequirements, raw)


def user_location(location: str) -> str:
    """Return a place in pods as its users know it: on a claim, or a folder of the node."""
    if location.startswith(_CLAIMS):
        return f"pvc:{location.removeprefix(_CLAIMS)}"
    return f"file:///{location.removeprefix(_FOLDERS)}" if location.startswith(_FOLDERS) else location


def pod_location(uri: str) -> str:
    """Return a place as the pods of a run know it: the inverse of `user_location`."""
    if uri.startswith("pvc:"):
        return _CLAIMS + uri.removeprefix("pvc:").lstrip("/")
    return _FOLDERS + uri.removeprefix("file:").lstrip("/") if uri.startswith("file:/") else uri


def is_below(location: str, root: str) -> bool:
    """Tell whether a place, as users or pods know it, is that of a Datastore, or below it."""
    location, root = (
        each if "://" in each else posixpath.normpath(each) for each in map(pod_location, (location, root))
    )
    return location == root.rstrip("/") or location.startswith(root.rstrip("/") + "/")
