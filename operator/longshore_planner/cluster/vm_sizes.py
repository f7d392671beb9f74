"""Azure's machine sizes, and what a worker pod asks for to have such a machine to itself. Pure.

Cores, memory and GPUs are those of Azure's pages on sizes of virtual machines. A GPU is what the machine shows: of K80
and M60 cards, which are two each, a half.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_GENERAL = ((2, 8), (4, 16), (8, 32), (16, 64), (32, 128), (48, 192), (64, 256))
_GENERAL_TO_96 = (*_GENERAL, (96, 384))
_MEMORY = ((2, 16), (4, 32), (8, 64), (16, 128), (20, 160), (32, 256), (48, 384))
_COMPUTE = ((1, 2), (2, 4), (4, 8), (8, 16), (16, 32))
_COMPUTE_V2 = (*_COMPUTE[1:], (32, 64), (48, 96), (64, 128), (72, 144))

# Series whose names tell the cores: pattern of the name, (cores, GiB) of each size.
_BY_CORES: Sequence[tuple[str, Sequence[tuple[int, float]]]] = (
    ("A{}_v2", ((1, 2), (2, 4), (4, 8), (8, 16))),
    ("A{}m_v2", ((2, 16), (4, 32), (8, 64))),
    ("D{}_v3", _GENERAL),
    ("D{}s_v3", _GENERAL),
    ("D{}_v4", _GENERAL),
    ("D{}s_v4", _GENERAL),
    ("D{}a_v4", _GENERAL_TO_96),
    ("D{}as_v4", _GENERAL_TO_96),
    ("D{}_v5", _GENERAL_TO_96),
    ("D{}s_v5", _GENERAL_TO_96),
    ("E{}_v3", (*_MEMORY, (64, 432))),
    ("E{}s_v3", (*_MEMORY, (64, 432))),
    ("E{}_v4", (*_MEMORY, (64, 504))),
    ("E{}s_v4", (*_MEMORY, (64, 504))),
    ("E{}_v5", (*_MEMORY, (64, 512), (96, 672))),
    ("E{}s_v5", (*_MEMORY, (64, 512), (96, 672))),
    ("F{}", _COMPUTE),
    ("F{}s", _COMPUTE),
    ("F{}s_v2", _COMPUTE_V2),
)

# Series that number their sizes, each with the letters of both kinds of storage: number, cores, GiB.
_NUMBERED = (
    (1, 1, 3.5),
    (2, 2, 7),
    (3, 4, 14),
    (4, 8, 28),
    (5, 16, 56),
    (11, 2, 14),
    (12, 4, 28),
    (13, 8, 56),
    (14, 16, 112),
    (15, 20, 140),
)

# Name, cores, GiB, GPUs.
_WITH_GPUS = (
    ("NC6", 6, 56, 1),
    ("NC12", 12, 112, 2),
    ("NC24", 24, 224, 4),
    ("NC24r", 24, 224, 4),
    ("NC6s_v2", 6, 112, 1),
    ("NC12s_v2", 12, 224, 2),
    ("NC24s_v2", 24, 448, 4),
    ("NC24rs_v2", 24, 448, 4),
    ("NC6s_v3", 6, 112, 1),
    ("NC12s_v3", 12, 224, 2),
    ("NC24s_v3", 24, 448, 4),
    ("NC24rs_v3", 24, 448, 4),
    ("NC4as_T4_v3", 4, 28, 1),
    ("NC8as_T4_v3", 8, 56, 1),
    ("NC16as_T4_v3", 16, 110, 1),
    ("NC64as_T4_v3", 64, 440, 4),
    ("NC24ads_A100_v4", 24, 220, 1),
    ("NC48ads_A100_v4", 48, 440, 2),
    ("NC96ads_A100_v4", 96, 880, 4),
    ("ND96asr_v4", 96, 900, 8),
    ("ND96amsr_A100_v4", 96, 1900, 8),
    ("NV6", 6, 56, 1),
    ("NV12", 12, 112, 2),
    ("NV24", 24, 224, 4),
)


@dataclass(frozen=True)
class VmSize:
    """A machine size of Azure."""

    name: str  # as Azure writes it: Standard_NC6s_v3
    cores: float
    memory_gib: float
    gpus: int


def find(name: str) -> VmSize | None:
    """Return the size of that name; None for one that is not in the catalogue.

    Upper and lower case are the same, as are - and _; `Standard_` may be left out: "STANDARD-DS3-V2", "ds3_v2".
    """
    return _SIZES.get(_key(name))


def nearest(name: str) -> list[str]:
    """Return up to three names of the catalogue that resemble this one, the most similar first."""
    return [_SIZES[key].name for key in difflib.get_close_matches(_key(name), _SIZES, n=3, cutoff=0.6)]


def requests(size: VmSize) -> dict[str, str]:
    """Return what a worker's `main` container asks for to have a machine of this size to itself: cpu and memory.

    A pod that asked for all of a machine would fit on none: a node keeps some for itself. So it is what is left, in
    the manner of AKS ("Node resource reservations in Azure Kubernetes Service", in its documentation), of

    * cpu, after 60m of the first core, 40m of the second, 20m each of the third and fourth, 10m of each further one;
    * memory, after 25 % of the first 4 GiB, 20 % of the next 4, 10 % of the next 8, 6 % of the next 112 and 2 % of all
      beyond, and 750Mi below which the kubelet evicts (before 1.29), or after 25 % up to 20 MB a pod and 50 MB, for the
      250 pods of a large node, and 100Mi (since); whichever leaves less, so that the pod fits under both;
    * memory, after what the kernel never shows: 2 % and 100Mi;

    and after what runs on every node besides (network, volumes, policies: 400m and 750Mi, as seen on AKS) and our agent
    (50m and 64Mi). Never less than a quarter of the machine, which concerns sizes that are too small for AKS. Rounded
    down to 10m and 1Mi. GPUs are asked for by a name that is the cluster's choice.
    """
    cpu = max(1000 * size.cores - _cpu_reserved(size.cores) - 400 - 50, 250 * size.cores)
    total = 1024 * size.memory_gib
    kernel = 0.02 * total + 100
    memory = max(total - _memory_reserved(size.memory_gib) - kernel - 750 - 64, total / 4)
    return {"cpu": f"{int(cpu // 10) * 10}m", "memory": f"{int(memory)}Mi"}


def _cpu_reserved(cores: float) -> float:
    """Return the millicores that AKS keeps: its table, and as much per core between and beyond."""
    return _in_steps(cores, ((1, 60.0), (2, 40.0), (4, 20.0), (float("inf"), 10.0)))


def _memory_reserved(gib: float) -> float:
    """Return the MiB that AKS keeps, by the rule of whichever version keeps more."""
    in_steps = _in_steps(gib, ((4, 0.25), (8, 0.20), (16, 0.10), (128, 0.06), (float("inf"), 0.02)))
    by_pods = min(0.25 * 1024 * gib, (20 * 250 + 50) * 1e6 / 2**20)
    return max(1024 * in_steps + 750, by_pods + 100)


def _in_steps(amount: float, steps: Sequence[tuple[float, float]]) -> float:
    """Return the sum of what each part of an amount costs, up to each step's limit."""
    cost = begin = 0.0
    for limit, rate in steps:
        cost += rate * max(0.0, min(amount, limit) - begin)
        begin = limit
    return cost


def _key(name: str) -> str:
    return re.sub(r"^standard_", "", name.strip().lower().replace("-", "_"))


def _all() -> Iterator[VmSize]:
    for pattern, sizes in _BY_CORES:
        for cores, memory in sizes:
            yield _size(pattern.format(cores), cores, memory)
    for number, cores, memory in _NUMBERED:
        for letters in ("D", "DS"):
            yield _size(f"{letters}{number}_v2", cores, memory)
    for name, cores, memory, gpus in _WITH_GPUS:
        yield _size(name, cores, memory, gpus)


def _size(name: str, cores: float, memory: float, gpus: int = 0) -> VmSize:
    return VmSize(f"Standard_{name}", cores, memory, gpus)


_SIZES = {_key(size.name): size for size in _all()}
