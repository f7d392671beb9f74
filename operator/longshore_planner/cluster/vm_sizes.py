"""Azure's machine sizes, and the requests of a worker pod that occupies such a machine alone.

vm_sizes.csv has cores, memory and GPUs from Azure's documentation of virtual machine sizes. The machine reports a K80
or M60 card as two GPUs.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class VmSize:
    """A machine size of Azure."""

    name: str  # in Azure's spelling: Standard_NC6s_v3
    cores: float
    memory_gib: float
    gpus: int


def find(name: str) -> VmSize | None:
    """Return the size of this name, or None if the catalogue does not contain it.

    Case is ignored, - equals _, and `Standard_` is optional: "STANDARD-DS3-V2", "ds3_v2".
    """
    return _sizes().get(_key(name))


def nearest(name: str) -> list[str]:
    """Return up to three similar names of the catalogue, the most similar first."""
    return [_sizes()[key].name for key in difflib.get_close_matches(_key(name), _sizes(), n=3, cutoff=0.6)]


def requests(size: VmSize) -> dict[str, str]:
    """Return the cpu and memory requests of a `main` container that occupies a machine of this size alone.

    A pod that requested the whole machine would never fit, because nodes reserve a part. So the request is the rest, in
    by the rules of AKS ("Node resource reservations in Azure Kubernetes Service", in its documentation):

    * cpu, after 60m of the first core, 40m of the second, 20m each of the third and fourth, 10m of each further one;
    * memory, after 25 % of the first 4 GiB, 20 % of the next 4, 10 % of the next 8, 6 % of the next 112 and 2 % of all
      beyond, and 750Mi below which the kubelet evicts (before 1.29), or after 25 % up to 20 MB a pod and 50 MB, for the
      250 pods of a large node, and 100Mi (since); whichever leaves less, so that the pod fits under both;
    * memory, after the part that the kernel does not report: 2 % and 100Mi;

    and after the other pods of every node (network, volumes, policies: 400m and 750Mi, observed on AKS) and the agent
    (50m and 64Mi). Never less than a quarter of the machine, which concerns sizes that are too small for AKS. Rounded
    down to 10m and 1Mi. The cluster determines the resource name of GPUs.
    """
    cpu = max(1000 * size.cores - _cpu_reserved(size.cores) - 400 - 50, 250 * size.cores)
    total = 1024 * size.memory_gib
    kernel = 0.02 * total + 100
    memory = max(total - _memory_reserved(size.memory_gib) - kernel - 750 - 64, total / 4)
    return {"cpu": f"{int(cpu // 10) * 10}m", "memory": f"{int(memory)}Mi"}


def _cpu_reserved(cores: float) -> float:
    """Return the millicores that AKS reserves, interpolated and extrapolated from its table."""
    return _in_steps(cores, ((1, 60.0), (2, 40.0), (4, 20.0), (float("inf"), 10.0)))


def _memory_reserved(gib: float) -> float:
    """Return the MiB that AKS reserves, by the rule of the version that reserves more."""
    in_steps = _in_steps(gib, ((4, 0.25), (8, 0.20), (16, 0.10), (128, 0.06), (float("inf"), 0.02)))
    by_pods = min(0.25 * 1024 * gib, (20 * 250 + 50) * 1e6 / 2**20)
    return max(1024 * in_steps + 750, by_pods + 100)


def _in_steps(amount: float, steps: Sequence[tuple[float, float]]) -> float:
    """Return the cost of an amount, whose parts up to each limit have different rates."""
    cost = begin = 0.0
    for limit, rate in steps:
        cost += rate * max(0.0, min(amount, limit) - begin)
        begin = limit
    return cost


def _key(name: str) -> str:
    return re.sub(r"^standard_", "", name.strip().lower().replace("-", "_"))


@cache
def _sizes() -> dict[str, VmSize]:
    """Return the catalogue, which vm_sizes.csv holds."""
    from importlib.resources import files  # late: most commands ask for no size

    rows = csv.DictReader(files(__package__).joinpath("vm_sizes.csv").read_text(encoding="utf-8").splitlines())
    sizes = (VmSize(row["name"], float(row["cores"]), float(row["memory_gib"]), int(row["gpus"])) for row in rows)
    return {_key(size.name): size for size in sizes}
