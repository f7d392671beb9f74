"""Current resource usage of this machine and its processes, from psutil. Values that a platform lacks are None."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import psutil

_T = TypeVar("_T")

_MB = 1024 * 1024
_LAYERED = ("loop", "ram", "zram", "dm-", "md", "sr")  # not disks, or counted by the disks below them
_LOOPBACK = ("lo", "lo0")


def cpu_seconds() -> tuple[float, float] | None:
    """Return the busy time and the total time of all processors in seconds. User time includes guest time."""
    times = _read(psutil.cpu_times)
    if times is None:
        return None
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


def memory() -> tuple[float | None, float | None, float | None, float | None]:
    """Return total, available and used MB, and the used percent."""
    found = _read(psutil.virtual_memory)
    if found is None or not found.total:
        return None, None, None, None
    used = found.total - found.available
    return found.total / _MB, found.available / _MB, used / _MB, 100.0 * used / found.total


def disks() -> tuple[int | None, float | None, int | None, float | None]:
    """Return reads, MB read, writes and MB written, over all disks."""
    every = _read(lambda: psutil.disk_io_counters(perdisk=True, nowrap=False))
    if not every:
        return None, None, None, None
    whole = [each for name, each in every.items() if not name.startswith(_LAYERED) and not _is_partition(name, every)]
    read, written = sum(each.read_bytes for each in whole) / _MB, sum(each.write_bytes for each in whole) / _MB
    return sum(each.read_count for each in whole), read, sum(each.write_count for each in whole), written


def network() -> tuple[float | None, float | None]:
    """Return MB sent and MB received, over all interfaces but the loopback."""
    every = _read(lambda: psutil.net_io_counters(pernic=True, nowrap=False))
    if not every:
        return None, None
    real = [each for name, each in every.items() if name not in _LOOPBACK]
    return sum(each.bytes_sent for each in real) / _MB, sum(each.bytes_recv for each in real) / _MB


def sockets() -> tuple[int | None, int | None]:
    """Return the numbers of TCP and UDP sockets in use. psutil would list each one, which needs root on macOS."""
    texts = [_read(partial(_sockstat, name)) or "" for name in ("sockstat", "sockstat6")]
    counts: dict[str, int] = {}
    for protocol, count in re.findall(r"^(TCP|UDP)6?: inuse (\d+)", "\n".join(texts), re.MULTILINE):
        counts[protocol] = counts.get(protocol, 0) + int(count)
    return counts.get("TCP"), counts.get("UDP")


def process(pid: int) -> tuple[float | None, float | None]:
    """Return a process's CPU seconds and resident MB."""
    return _read(lambda: _process(psutil.Process(pid))) or (None, None)


def _process(found: psutil.Process) -> tuple[float, float]:
    with found.oneshot():
        times = found.cpu_times()
        return times.user + times.system, found.memory_info().rss / _MB


def _sockstat(name: str) -> str:
    with open(f"{psutil.PROCFS_PATH}/net/{name}", encoding="ascii") as file:
        return file.read()


def _read(call: Callable[[], _T]) -> _T | None:
    """Return None if psutil fails: sandboxes hide parts of /proc, and processes exit."""
    try:
        return call()
    except Exception:  # noqa: BLE001  (psutil raises any error of parsing)
        return None


def _is_partition(name: str, every: Mapping[str, object]) -> bool:
    """Return whether a device is a part of another: sda1 of sda, nvme0n1p1 of nvme0n1."""
    disk = name.rstrip("0123456789")
    if disk == name:
        return False
    return disk in every or (disk.endswith("p") and disk[:-1] in every)
