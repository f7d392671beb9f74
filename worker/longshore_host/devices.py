"""Assign the GPUs of a worker to its processes through CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import glob
import os
from typing import List, Mapping, Optional

VISIBLE = "CUDA_VISIBLE_DEVICES"
_GIVEN = "NVIDIA_VISIBLE_DEVICES"  # set by the container runtime: ids of the container's GPUs, or "all", "void", ...
_IDS = ("GPU-", "MIG-")


def visible_devices(slot: int, *, processes: int, gpus: int, environment: Mapping[str, str]) -> Optional[str]:
    """Return CUDA_VISIBLE_DEVICES for the process in a slot; None to leave the variable unchanged.

    Each process has one GPU, which it may share with others; fewer processes than GPUs divide all GPUs among them. A
    later process in the slot has the same ones.

    Args:
        slot: The slot, from 0.
        processes: The number of slots.
        gpus: The number of GPUs.
        environment: That of the container. If it lists devices, those are assigned; an empty list assigns none.
    """
    if not gpus:
        return None
    devices = _devices(gpus, environment)[:gpus]
    if not devices:
        return None
    return ",".join(devices[slot::processes] or [devices[slot % len(devices)]])


def device_of(environment: Mapping[str, str], *, files: str = "/dev") -> str:
    """Return the devices of a process with this environment: "cpu", or its GPUs by their names, such as "gpu:0,1".

    "gpu" means all GPUs: no variable restricts them, and the folder `files` has device files of some.
    """
    if VISIBLE not in environment:
        return "gpu" if glob.glob(os.path.join(files, "nvidia[0-9]*")) else "cpu"
    listed = _listed(environment[VISIBLE])
    return "gpu:" + ",".join(listed) if listed and listed[0] != "-1" else "cpu"


def _devices(gpus: int, environment: Mapping[str, str]) -> List[str]:
    if VISIBLE in environment:
        listed = _listed(environment[VISIBLE])
        return [] if listed[:1] == ["-1"] else listed  # means none to CUDA
    given = _listed(environment.get(_GIVEN, ""))
    if given and all(each.startswith(_IDS) for each in given):
        return given
    return [str(index) for index in range(gpus)]  # numbers in _GIVEN are the node's: in here they count from 0


def _listed(text: str) -> List[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
