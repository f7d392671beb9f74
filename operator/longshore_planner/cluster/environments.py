"""The environment of a step's pods: its image, and the packages that a builder installs on top of the image."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from longshore_planner.locations import join
from longshore_protocol.built_environment import FOLDER
from longshore_protocol.package_set import PackageSet

INSTALLED = "/longshore/environment"  # mount path of the volume with installed packages, in all pods
ENVIRONMENT = f"{INSTALLED}/venv"  # the virtual environment
INTERPRETER = f"{ENVIRONMENT}/bin/python"
ARCHITECTURE = "kubernetes.io/arch"  # label of Kubernetes nodes

_FORMAT = 1  # of archives and what they contain; a change builds every environment again
_DIGITS = 32


@dataclass(frozen=True)
class DefaultImages:
    """Images of Environments that name none."""

    cpu: str = ""
    gpu: str = ""  # for nodes with GPUs; "": the same

    def image(self, *, gpus: int) -> str:
        """Return the image for a node; "" if there is none."""
        return (self.gpu if gpus else "") or self.cpu


NO_DEFAULTS = DefaultImages()


@dataclass(frozen=True)
class PackedEnvironment:
    """Packages on top of an image, and where their archive is stored. The field names are stored with the run."""

    name: str  # of the Environment
    packages: PackageSet
    interpreter: str  # of the image, on which the packages are installed
    uri: str  # folder of the archive, in the form of pods
    architecture: str = ""  # of the Kubernetes nodes; "": any, which must then all have the same

    @property
    def key(self) -> str:
        """Digest that identifies the environment and its location; equal for all steps that share the archive."""
        return hashlib.sha256(self.uri.encode()).hexdigest()[:_DIGITS]


def packed_environment(
    name: str, packages: PackageSet, *, image: str, interpreter: str, architecture: str, runs: str
) -> PackedEnvironment:
    """Return the environment of a step whose runs are stored in the folder `runs`."""
    parts = [_FORMAT, packages.digest, image, interpreter, architecture]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGITS]
    return PackedEnvironment(name, packages, interpreter, join(runs, f"{FOLDER}/{digest}"), architecture)
