"""Requirements of a run's pods, and the conversion between locations of users and pods.

Volumes are mounted below MOUNTS; the source folder is SOURCE.
"""

from __future__ import annotations

import posixpath
from dataclasses import asdict, dataclass, field
from typing import Any

from longshore_planner.cluster.nodes import NodeShape
from longshore_protocol.reading import read

MOUNTS = "/mnt/longshore"
SOURCE = "/longshore/source"
RUNS = "longshore"  # the folder of a Datastore that contains the folders of its runs

_CLAIMS, _FOLDERS = f"{MOUNTS}/claim/", f"{MOUNTS}/host/"


@dataclass(frozen=True)
class Volume:
    """The volume of a Datastore: a PersistentVolumeClaim, or a folder of the node."""

    claim: str | None = None
    host_path: str | None = None

    @property
    def mount_path(self) -> str:
        """Mount path of the volume in the pods of a run."""
        return f"{_CLAIMS}{self.claim}" if self.claim else f"{MOUNTS}/host{self.host_path}"

    @property
    def uri(self) -> str:
        """URI of the volume in its Datastore."""
        return f"pvc:{self.claim}" if self.claim else f"file://{self.host_path}"


@dataclass(frozen=True)
class PodRequirements:
    """Everything that the pods of a run need besides the job. The field names are stored with the run."""

    image: str = ""  # image of the user's container; "" for a transfer
    interpreter: str = "python"  # interpreter inside the image
    volumes: tuple[Volume, ...] = ()
    folders: tuple[str, ...] = ()  # folders of the Datastores on these volumes, in the form of pods
    secrets: tuple[str, ...] = ()  # names of Secrets with credentials of stores, for Longshore's containers
    service_account: str | None = None  # account with the cloud identity; the namespace's default if None
    config_map: str | None = None  # ConfigMap with the source folder, if it is in one
    source_uri: str | None = None  # URL, or location inside the pods, that the source is downloaded from
    source_image: str | None = None  # path of the source folder inside the image, if it is there
    node: NodeShape = field(default_factory=NodeShape)  # shape of one pod

    def to_dict(self) -> dict[str, Any]:
        """Return the requirements as a JSON value that `from_dict` reads."""
        return asdict(self)

    @staticmethod
    def from_dict(raw: dict[str, Any]) -> PodRequirements:
        """Read the value of `to_dict`, of this version or an adjacent one; raise ValueError for anything else."""
        return read(PodRequirements, raw)


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
