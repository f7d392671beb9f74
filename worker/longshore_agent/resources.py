"""Resource usage of the machine and the worker's processes, sampled into two tables of the run folder.

    logs/perf/<worker>/node_resource_usage.csv         a row per sample
    logs/perf/<worker>/processes_resource_usage.csv    a row per sample and process

Disk and network counters are the kernel's and count from the machine's start, so the difference of two rows is the
usage between them, across restarts of the agent. Values that the platform does not provide are empty cells.
"""

from __future__ import annotations

import asyncio
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

_LIMIT = 5000  # lines of a table: a month of node samples at the default interval

Cells = Sequence[float | str | None]


class ResourceMonitor:
    """Samples resource usage periodically. A sample that cannot be written is logged and never stops the worker.

    Args:
        store: The run folder.
        worker: Name of the worker.
        interval: Seconds between samples; 0 disables the monitor.
        clock: Returns Unix seconds.
    """

    def __init__(
        self,
        store: Store,
        worker: str,
        *,
        interval: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        folder = f"logs/perf/{worker}"
        self._node = Lines(store, f"{folder}/node_resource_usage.csv", limit=_LIMIT, header=NODE_COLUMNS)
        self._processes = Lines(store, f"{folder}/processes_resource_usage.csv", limit=_LIMIT, header=PROCESS_COLUMNS)
        self._interval = interval
        self._clock = clock
        self._cpu: tuple[float, float] | None = None  # of the sample before

    async def run(self, pids: Callable[[], dict[str, int]], ending: asyncio.Event) -> None:
        """Sample now, at every interval, and a last time once `ending` is set.

        Args:
            pids: Returns the pids of the processes by name; 0 for one that this machine does not show.
            ending: Set before the processes exit.
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
        from longshore_agent import usage  # late: psutil takes 6 ms, and no start waits for this thread

        now = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%d %H:%M:%S")
        before, self._cpu = self._cpu, usage.cpu_seconds()
        machine = cpu_percent(before, self._cpu), *usage.memory(), *usage.disks(), *usage.network(), *usage.sockets()
        node = _line([now, *machine])
        processes = [_line([now, name, pid or None, *usage.process(pid)]) for name, pid in sorted(pids.items())]
        try:
            self._node.add([node])
            self._processes.add(processes)
        except OSError as error:
            sys.stderr.write(f"longshore-agent: resource usage could not be written: {error}\n")


def cpu_percent(before: tuple[float, float] | None, now: tuple[float, float] | None) -> float | None:
    """Return the CPU usage between two samples in percent of all processors, or None if unknown."""
    if before is None or now is None or now[1] <= before[1]:
        return None
    return 100.0 * (now[0] - before[0]) / (now[1] - before[1])


def _line(cells: Cells) -> bytes:
    return (",".join(map(_cell, cells)) + "\n").encode()


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
