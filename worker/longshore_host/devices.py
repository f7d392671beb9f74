"""Which of a worker's GPUs each process is to use. Processes know their GPUs by CUDA_VISIBLE_DEVICES alone."""

from __future__ import annotations

import glob
import os
from typing import List, Mapping, Optional

VISIBLE = "CUDA_VISIBLE_DEVICES"
_GIVEN = "NVIDIA_VISIBLE_DEVICES"  # set by who gives devices to the container: ids of its GPUs, or "all", "void", ...
_IDS = ("GPU-", "MIG-")


def visible_devices(slot: int, *, processes: int, gpus: int, environment: Mapping[str, str]) -> Optional[str]:
    """Return what CUDA_VISIBLE_DEVICES is to be for the process in a slot, counted from 0; None: leave it as it is.

    A process has one GPU, which it may share with others; where processes are fewer than GPUs, they share out all of
    them. Who comes after it in the slot has the same. `environment` is the container's: devices that it names by a list
    of its own are what is shared out, none where it names none.
    """
    if not gpus:
        return None
    devices = _devices(gpus, environment)[:gpus]
    if not devices:
        return None
    return ",".join(devices[slot::processes] or [devices[slot % len(devices)]])


def device_of(environment: Mapping[str, str], *, files: str = "/dev") -> str:
    """Return what a process of that environment was given: "cpu", or its GPUs as the variable names them: "gpu:0,1".

    "gpu" is all that there are, where nothing is said and `files`, the folder of device files, shows some.
    """
    if VISIBLE not in environment:
        return "gpu" if glob.glob(os.path.join(files, "nvidia[0-9]*")) else "cpu"
    listed = _listed(environment[VISIBLE])
    return "gpu:" + ",".join(listed) if listed and listed[0] != "-1" else "cpu"


def _devices(gpus: int, environment: Mapping[str, str]) -> List[str]:
    if VISIBLE in environment:
        listed = _listed(environment[VISIBLE])
        return [] if listed[:1] == ["-1"] else listed  # CUDA's word for none
    given = _listed(environment.get(_GIVEN, ""))
    if given and all(each.startswith(_IDS) for each in given):
        return given
    return [str(index) for index in range(gpus)]  # numbers in _GIVEN are the node's: in here they count from 0


def _listed(text: str) -> List[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
