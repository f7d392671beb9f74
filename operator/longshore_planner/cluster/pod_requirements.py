"""Requirements of a run's pods. The source folder is SOURCE."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from longshore_planner.cluster.environments import INTERPRETER, PackedEnvironment
from longshore_planner.cluster.nodes import NodeShape
from longshore_planner.pod_locations import pod_location
from longshore_protocol.reading import read

SOURCE = "/longshore/source"
RUNS = "longshore"  # the folder of a Datastore that contains the folders of its runs


@dataclass(frozen=True)
class Volume:
    """The volume of a Datastore: a PersistentVolumeClaim, or a folder of the node."""

    claim: str | None = None
    host_path: str | None = None

    @property
    def mount_path(self) -> str:
        """Mount path of the volume in the pods of a run."""
        return pod_location(self.uri)

    @property
    def uri(self) -> str:
        """URI of the volume in its Datastore."""
        return f"pvc:{self.claim}" if self.claim else f"file://{self.host_path}"


@dataclass(frozen=True)
class PodRequirements:
    """Everything that the pods of a run need besides the job. The field names are stored with the run."""

    image: str = ""  # image of the user's container; "" for a transfer
    interpreter: str = "python"  # interpreter inside the image
    environment: PackedEnvironment | None = None  # packages on top of the image
    volumes: tuple[Volume, ...] = ()
    folders: tuple[str, ...] = ()  # folders of the Datastores on these volumes, in the form of pods
    secrets: tuple[str, ...] = ()  # names of Secrets with credentials of stores, for Longshore's containers
    service_account: str | None = None  # account with the cloud identity; the namespace's default if None
    config_map: str | None = None  # ConfigMap with the source folder, if it is in one
    source_uri: str | None = None  # URL, or location inside the pods, that the source is downloaded from
    source_image: str | None = None  # path of the source folder inside the image, if it is there
    node: NodeShape = field(default_factory=NodeShape)  # shape of one pod

    @property
    def script_interpreter(self) -> str:
        """Interpreter that runs the script: that of the installed packages, or the image's own."""
        return INTERPRETER if self.environment is not None else self.interpreter

    @property
    def index_secret(self) -> str:
        """Name of the Secret with the credentials of the package index; "" if there is none."""
        return self.environment.packages.secret if self.environment is not None else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the requirements as a JSON value that `from_dict` reads."""
        return asdict(self)

    @staticmethod
    def from_dict(raw: dict[str, Any]) -> PodRequirements:
        """Read the value of `to_dict`, of this version or an adjacent one; raise ValueError for anything else."""
        return read(PodRequirements, raw)
