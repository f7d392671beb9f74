"""Memory: which process the kernel kills first, how many it has killed, and what the allocator keeps.

All of it is Linux's and glibc's; elsewhere nothing is set, and no kill is counted.
"""

from __future__ import annotations

import ctypes
import os
from typing import List

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt()
_LARGEST_MMAP_THRESHOLD = 32 << 20  # bytes; where glibc itself raises the threshold to, step by step


def prefer_as_out_of_memory_victim() -> None:
    """Make the kernel kill this process first when memory runs out: it can be replaced, the host cannot."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass  # not Linux, or /proc is read-only: the kernel chooses by size, which is this process too


def reuse_freed_memory() -> None:
    """Set glibc's allocator to keep up to 64 MiB of freed memory, which large allocations then use again.

    Otherwise each mini-batch maps and clears the pages of its buffers, which takes a fifth of the time of parsing.
    glibc reaches these values itself, but only after blocks of that size were freed. Settings in the environment win,
    and an allocator without mallopt() stays as it is.
    """
    if any(name in os.environ for name in ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_MMAP_THRESHOLD)


def out_of_memory_kills() -> int:
    """Return how many processes of this control group the kernel has killed for memory so far; 0 if that is unknown."""
    for path, key in _out_of_memory_counters():
        try:
            with open(path) as file:
                for line in file:
                    name, _, count = line.partition(" ")
                    if name == key:
                        return int(count)
        except (OSError, ValueError):
            continue
    return 0


def _out_of_memory_counters() -> List[List[str]]:
    counters = []
    try:
        with open("/proc/self/cgroup") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        groups = []
    for _, controllers, path in groups:
        # Inside a container the group's own folder is usually mounted as the root: try both.
        if controllers == "memory":
            counters.append(["/sys/fs/cgroup/memory" + path + "/memory.oom_control", "oom_kill"])
            counters.append(["/sys/fs/cgroup/memory/memory.oom_control", "oom_kill"])
        elif controllers == "":
            counters.append(["/sys/fs/cgroup" + path + "/memory.events", "oom_kill"])
            counters.append(["/sys/fs/cgroup/memory.events", "oom_kill"])
    counters.append(["/proc/vmstat", "oom_kill"])  # of the whole machine: an approximation
    return counters
