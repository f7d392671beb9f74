"""The cluster's namespace as the machine sees it: its first process, its network, its cgroups."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from localcluster.places import Places
from localcluster.processes import Problem, Process, children, descendants, process, run, wait_until

_CGROUPS = Path("/sys/fs/cgroup")
_FIRST, _LAST = 200, 250  # candidates for the second byte of the cluster's addresses


@dataclass(frozen=True)
class Network:
    """The addresses of a cluster: all in 10.N.0.0/16, which the machine routes into the namespace."""

    number: int

    @property
    def all(self) -> str:
        return f"10.{self.number}.0.0/16"

    @property
    def node(self) -> str:
        """Of the node, the API server and DNS: the pods' gateway."""
        return f"10.{self.number}.0.1"

    @property
    def pods(self) -> str:
        return f"10.{self.number}.0.0/24"

    @property
    def services(self) -> str:
        return f"10.{self.number}.128.0/17"

    @property
    def api_service(self) -> str:
        """Of the service `kubernetes`: the first of the services' addresses."""
        return f"10.{self.number}.128.1"

    @property
    def outside(self) -> str:
        """The machine's end of the link."""
        return f"10.{self.number}.64.1"

    @property
    def inside(self) -> str:
        """The namespace's end of the link."""
        return f"10.{self.number}.64.2"


def start_keeper(place: Places) -> tuple[Process, IO[bytes]]:
    """Start the namespace, and return its first process, with the pipe on which that waits for a line.

    A shell is its parent for a moment, so that it becomes the machine's child and not ours.
    """
    alone = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private"]
    keeper = [sys.executable, "-m", "localcluster.keeper", str(place.state)]
    log = place.logs / "keeper.log"
    leave = 'log=$1; shift; exec 3<&0; "$@" <&3 >>"$log" 2>&1 3<&- & echo $!'
    reads, writes = os.pipe()
    with ExitStack() as undo:
        begin = undo.enter_context(os.fdopen(writes, "wb"))
        with os.fdopen(reads, "rb") as stdin:
            started = subprocess.run(
                ["sh", "-c", leave, "sh", log, *alone, *keeper],
                stdin=stdin,
                stdout=subprocess.PIPE,
                cwd="/",
                env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
                start_new_session=True,
                check=True,
            )
        outer = process(int(started.stdout))
        wait_until(lambda: bool(children(outer.pid)) or not outer.is_alive(), "the namespace", seconds=10)
        if not (found := children(outer.pid)):
            raise Problem(f"no namespace can be made here: {log.read_text()}")
        inner = process(found[0])
        undo.pop_all()
    return inner, begin


def connect(place: Places, keeper: Process) -> Network:
    """Join the namespace to the machine, with addresses that the machine does not use otherwise."""
    name = _link(place)
    inside = ("nsenter", f"--net=/proc/{keeper.pid}/ns/net")
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "machine", "netns", str(keeper.pid))
    network = _unused()
    run("ip", "addr", "add", f"{network.outside}/30", "dev", name)
    run("ip", "link", "set", name, "up")
    for words in (
        "link set lo up",
        f"addr add {network.inside}/30 dev machine",
        "link set machine up",
        "link add kube0 type bridge",
        f"addr add {network.node}/24 dev kube0",
        "link set kube0 up",
        f"route add {network.services} dev kube0",  # kube-proxy turns it elsewhere; nothing of it leaves
    ):
        run(*inside, "ip", *words.split())
    run("ip", "route", "add", network.all, "via", network.inside)
    run(*inside, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    return network


def disconnect(place: Places) -> None:
    """Remove the link of a cluster that ended: the kernel does so too, but a while later."""
    with suppress(Problem):  # it was removed already
        run("ip", "link", "delete", _link(place))


def _link(place: Places) -> str:
    return f"kl-{place.id}"


def _unused() -> Network:
    """Return the first network that nothing here uses; should another cluster take it now, adding our route fails."""
    used = {each.get("dst", "").split(".")[1] for each in _routes() if each.get("dst", "").startswith("10.")}
    for number in range(_FIRST, _LAST):
        if str(number) not in used:
            return Network(number)
    raise Problem(f"no free network among 10.{_FIRST}.0.0/16 to 10.{_LAST - 1}.0.0/16")


def _routes() -> list[dict[str, str]]:
    return list(json.loads(run("ip", "-4", "-json", "route", "show", "table", "all") or "[]"))


def pid_of(keeper: Process, inner: int) -> int | None:
    """Return the machine's id of a process, of which the namespace's id is known."""
    for pid in descendants(keeper.pid):
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            if numbers[-1] == str(inner) and len(numbers) == 2:  # a container's processes have a third
                return pid
    return None


def cgroup_name(place: Places) -> str:
    """Return the cgroup below which this cluster's pods are."""
    return f"/kube-local-{place.id}"


def make_cgroups(place: Places) -> None:
    """Make the cgroup in every hierarchy, as kubelet wants it."""
    for hierarchy in _hierarchies():
        folder = hierarchy / cgroup_name(place).strip("/")
        folder.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # a new one of version 1 has none
            if (hierarchy / name).exists() and not (folder / name).read_text().strip():
                (folder / name).write_text((hierarchy / name).read_text())


def remove_cgroups(place: Places) -> None:
    """Remove what is left of it; those of the dead are empty."""
    for hierarchy in _hierarchies():
        top = hierarchy / cgroup_name(place).strip("/")
        for folder, _, _ in os.walk(top, topdown=False):
            wait_until(lambda folder=folder: _removed(folder), f"removing {folder}", seconds=10)  # type: ignore[misc]


def _removed(folder: str) -> bool:
    with suppress(FileNotFoundError):
        try:
            os.rmdir(folder)
        except OSError:
            return False  # its last process is still on its way out
    return True


def _hierarchies() -> list[Path]:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted({Path(each[1]) for each in mounts if each[2] in ("cgroup", "cgroup2")})
