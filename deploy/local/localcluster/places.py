"""Where a cluster keeps its files, and the record of the one that runs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from localcluster.processes import Process

CHECKOUT = Path(__file__).resolve().parents[3]


def cache() -> Path:
    """Return the folder for what takes long to make, shared by all checkouts."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kube-local"


def publish(programs: Iterable[Path], folder: Path) -> None:
    """Copy programs into a folder of the cache, each whole or not at all: another process may look for them now."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in programs:
        new = folder / f".{each.name}.{os.getpid()}"
        shutil.copy2(each, new)
        new.replace(folder / each.name)


@dataclass(frozen=True)
class Places:
    """The files of one cluster."""

    state: Path

    @property
    def id(self) -> str:
        """Eight characters, for names that the whole machine shares."""
        return hashlib.sha256(str(self.state).encode()).hexdigest()[:8]

    @property
    def mark(self) -> Path:
        """The file that marks the folder as a cluster's, which may be removed."""
        return self.state / "KUBE-LOCAL"

    @property
    def record(self) -> Path:
        return self.state / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        return self.kubeconfig_of("admin")

    def kubeconfig_of(self, user: str) -> Path:
        return self.state / f"{user}.kubeconfig"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def audit(self) -> Path:
        """The audit log of the API server; rotated parts are beside it."""
        return self.logs / "audit.jsonl"

    @property
    def containerd(self) -> Path:
        """The socket of containerd, which is reachable from outside the namespace too."""
        return self.state / "containerd.sock"

    @property
    def components(self) -> Path:
        """One JSON file for each component that is to run: its command line."""
        return self.state / "components"

    @property
    def held(self) -> Path:
        """One empty file for each component that is not to run for now."""
        return self.state / "held"

    @property
    def running(self) -> Path:
        """One file for each component that runs: its process id inside the namespace."""
        return self.state / "running"


@dataclass(frozen=True)
class Record:
    """What is written down of a cluster that was started."""

    keeper: Process
    network: int  # second byte of the cluster's addresses: 10.N.0.0/16
    with_node: bool
    ready: bool
    binaries: str = ""  # the folder of the Kubernetes binaries
    release: str = ""  # of Kubernetes, such as "1.36"


def places() -> Places:
    """Return the places of this checkout's cluster, or of the one that LONGSHORE_CLUSTER_STATE names."""
    named = os.environ.get("LONGSHORE_CLUSTER_STATE")
    of_checkout = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:8]
    return Places(Path(named).resolve() if named else cache() / "clusters" / of_checkout)


def read_record(place: Places) -> Record | None:
    """Return the record, or None where there is none, or one that cannot be read."""
    try:
        raw = json.loads(place.record.read_text())
        return Record(**{**raw, "keeper": Process(**raw["keeper"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_record(place: Places, record: Record) -> None:
    """Write the record in one piece."""
    new = place.record.with_suffix(".new")
    new.write_text(json.dumps(asdict(record)))
    new.replace(place.record)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold off other commands that are about the same path; the lock goes with its process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
