from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VmSize:
    name: str
    cores: float
    memory_gib: float
    gpus: int = 0


def find(name: str) -> VmSize | None:
    sizes = {"STANDARD_D2_V2": VmSize("STANDARD_D2_V2", 2, 7), "STANDARD_NC6": VmSize("STANDARD_NC6", 6, 56, 1)}
    return sizes.get(name.upper())


def nearest(name: str) -> list[str]:
    return ["STANDARD_D2_V2"]


def requests(size: VmSize) -> dict[str, str]:
    return {"cpu": f"{int(size.cores * 900)}m", "memory": f"{int(size.memory_gib * 700)}Mi"}
