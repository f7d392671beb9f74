"""What the machine and the worker's processes use, sampled from /proc into two tables of the run folder.

    logs/perf/<worker>/node_resource_usage.csv         a row per sample
    logs/perf/<worker>/processes_resource_usage.csv    a row per sample and process

Disk and network counters are the kernel's own: they count from the machine's start, so that a difference between two
rows is what happened between them, whatever was restarted meanwhile. What /proc does not show gives empty cells.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from longshore_storage.lines import Lines
from longshore_storage.store import Store

NODE_COLUMNS = (
    "UTC Time,CPU %,Memory Total MB,Memory Available MB,Memory Used MB,Memory Used %,"
    "Disk Read Count,Disk Read MB,Disk Write Count,Disk Write MB,Network Sent MB,Network Received MB,"
    "TCP Connections,UDP Connections"
)
PROCESS_COLUMNS = "UTC Time,Process,PID,CPU Seconds,RSS MB"

_LIMIT = 5000  # lines of a table: a month of the default interval, for the machine's
_MB = 1024 * 1024
_SECTOR = 512  # bytes, in diskstats, whatever the disk's own sectors are
_LAYERED = ("loop", "ram", "zram", "dm-", "md", "sr")  # what they move is counted by the disks below, or is no disk
_TICKS = os.sysconf("SC_CLK_TCK")  # a second
_PAGE = os.sysconf("SC_PAGE_SIZE")  # bytes

Cells = Sequence[float | str | None]


class ResourceMonitor:
    """Samples every `interval` seconds (0: never). `clock` gives Unix seconds, `read` the text of a file, "" for none.

    It observes and must not disturb: a store that takes no sample costs a line on stderr, never the worker's work.
    """

    def __init__(
        self,
        store: Store,
        worker: str,
        *,
        interval: float,
        clock: Callable[[], float] = time.time,
        read: Callable[[str], str] | None = None,
    ) -> None:
        folder = f"logs/perf/{worker}"
        self._node = Lines(store, f"{folder}/node_resource_usage.csv", limit=_LIMIT, header=NODE_COLUMNS)
        self._processes = Lines(store, f"{folder}/processes_resource_usage.csv", limit=_LIMIT, header=PROCESS_COLUMNS)
        self._interval = interval
        self._clock = clock
        self._read = read or read_text
        self._cpu: tuple[int, int] | None = None  # of the sample before

    async def run(self, pids: Callable[[], dict[str, int]], ending: asyncio.Event) -> None:
        """Sample now, at every interval, and once `ending` is set; then return.

        `pids` names the processes there are; 0 is the pid of one that this machine's /proc does not show.
        """
        if not self._interval:
            return
        while True:
            is_last = ending.is_set()
            await asyncio.to_thread(self._sample, pids())
            if is_last:
                return
            try:
                async with asyncio.timeout(self._interval):  # wait_for may lose a cancellation up to Python 3.11
                    await ending.wait()
            except TimeoutError:
                continue

    def _sample(self, pids: Mapping[str, int]) -> None:
        now = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%d %H:%M:%S")
        node = _line([now, *self._machine()])
        processes = [_line([now, name, pid or None, *self._process(pid)]) for name, pid in sorted(pids.items())]
        try:
            self._node.add([node])
            self._processes.add(processes)
        except OSError as error:
            sys.stderr.write(f"longshore-agent: use of resources is not written: {error}\n")

    def _machine(self) -> Cells:
        before, self._cpu = self._cpu, cpu_ticks(self._read("/proc/stat"))
        return (
            cpu_percent(before, self._cpu),
            *memory(self._read("/proc/meminfo")),
            *disks(self._read("/proc/diskstats")),
            *network(self._read("/proc/net/dev")),
            *connections(self._read("/proc/net/sockstat") + self._read("/proc/net/sockstat6")),
        )

    def _process(self, pid: int) -> Cells:
        return process_usage(self._read(f"/proc/{pid}/stat") if pid else "", ticks=_TICKS, page=_PAGE)


def read_text(path: str) -> str:
    """Return a file's text, "" when it is not there or may not be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def cpu_ticks(stat: str) -> tuple[int, int] | None:
    """Return the ticks that all processors were busy, and all their ticks, from /proc/stat; None without them."""
    first = stat.partition("\n")[0].split()
    if len(first) < 5 or first[0] != "cpu":
        return None
    ticks = [int(each) for each in first[1:9]]  # those after count guests, which "user" holds already
    return sum(ticks) - sum(ticks[3:5]), sum(ticks)  # idle, and idle while a disk is waited for


def cpu_percent(before: tuple[int, int] | None, now: tuple[int, int] | None) -> float | None:
    """Return how busy all processors together were between two samples, in percent; None when that cannot be told."""
    if before is None or now is None or now[1] <= before[1]:
        return None
    return 100.0 * (now[0] - before[0]) / (now[1] - before[1])


def memory(meminfo: str) -> tuple[float | None, float | None, float | None, float | None]:
    """Return total, available and used MB, and the used percent, from /proc/meminfo."""
    sizes = {}
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            sizes[name] = int(value.split()[0]) / 1024
    total, available = sizes.get("MemTotal"), sizes.get("MemAvailable")
    if not total or available is None:
        return total, available, None, None
    return total, available, total - available, 100.0 * (total - available) / total


def disks(diskstats: str) -> tuple[int | None, float | None, int | None, float | None]:
    """Return reads, MB read, writes and MB written, over all disks of /proc/diskstats."""
    every = {fields[2]: fields for fields in map(str.split, diskstats.splitlines()) if len(fields) >= 10}
    whole = [
        fields for name, fields in every.items() if not name.startswith(_LAYERED) and not _is_partition(name, every)
    ]
    if not every:
        return None, None, None, None
    reads, read, writes, written = (sum(int(fields[column]) for fields in whole) for column in (3, 5, 7, 9))
    return reads, read * _SECTOR / _MB, writes, written * _SECTOR / _MB


def network(dev: str) -> tuple[float | None, float | None]:
    """Return MB sent and MB received, over all interfaces of /proc/net/dev but the loopback."""
    received = sent = 0
    interfaces = [line.partition(":")[::2] for line in dev.splitlines() if ":" in line]
    for name, counters in interfaces:
        fields = counters.split()
        if name.strip() != "lo" and len(fields) >= 9:
            received += int(fields[0])
            sent += int(fields[8])
    return (sent / _MB, received / _MB) if interfaces else (None, None)


def connections(sockstat: str) -> tuple[int | None, int | None]:
    """Return the TCP and UDP sockets in use, from /proc/net/sockstat and sockstat6."""
    counts: dict[str, int] = {}
    for line in sockstat.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) >= 2 and words[0] == "inuse":
            protocol = name.removesuffix("6")
            counts[protocol] = counts.get(protocol, 0) + int(words[1])
    return counts.get("TCP"), counts.get("UDP")


def process_usage(stat: str, *, ticks: int, page: int) -> tuple[float | None, float | None]:
    """Return CPU seconds and resident MB from /proc/<pid>/stat; `ticks` are a second's, `page` is in bytes."""
    fields = stat.rpartition(")")[2].split()  # the name before may hold anything, spaces and brackets too
    if len(fields) < 22:
        return None, None
    return (int(fields[11]) + int(fields[12])) / ticks, int(fields[21]) * page / _MB


def _is_partition(name: str, every: Mapping[str, object]) -> bool:
    """Tell whether a device is a part of another: sda1 of sda, nvme0n1p1 of nvme0n1."""
    disk = name.rstrip("0123456789")
    if disk == name:
        return False
    return disk in every or (disk.endswith("p") and disk[:-1] in every)


def _line(cells: Cells) -> bytes:
    return (",".join(map(_cell, cells)) + "\n").encode()


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
