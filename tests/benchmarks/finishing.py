"""Measure what the end of a large run takes: a coordinator that finds nearly everything done, in a process of its own.

`PYTHONPATH=tests python tests/benchmarks/finishing.py [MINI_BATCHES FAILING_PERCENT LEFT]`, or `make bench-finish`.
Without arguments, the two cases that have limits: 300,000 mini-batches of which a fifth failed (20 s and 250 MB), and
a million of which four are left (300 MB).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from synthetic_run import SyntheticRun

from longshore_coordinator.service import Coordinator
from longshore_protocol import wire
from longshore_protocol.wire import Completion

CASES = (((300_000, 20, 0), 20.0, 250), ((1_000_000, 0, 4), None, 300))  # ..., seconds, MB


async def finish(run: SyntheticRun) -> dict[str, float]:
    """Take over a run as a new coordinator does, and see it through; return what it took."""
    began = time.monotonic()
    coordinator = Coordinator(run.job, resumed_by_user=run.left > 0, cut=run.cut)
    await coordinator.open()
    restored = time.monotonic()
    running = asyncio.create_task(coordinator.run())
    if run.left:
        await work(coordinator)
    await coordinator.plan_complete()
    committed, processor = time.monotonic(), time.process_time()
    last = await running
    assert last.state == "Succeeded", last
    assert last.mini_batches.succeeded + last.mini_batches.failed == run.mini_batches, last
    return {
        "restoring": restored - began,
        "listing": committed - restored,
        "finishing": time.monotonic() - committed,
        "finishing_processor": time.process_time() - processor,
        "most_memory_mb": most_memory() / 1e6,
    }


async def work(coordinator: Coordinator) -> None:
    """Do what is left, as an agent does; its results are without rows."""
    agent, epoch = coordinator.register("worker-0", "1")
    while True:
        grants, orders = await coordinator.lease(agent, epoch, 2)
        if orders:
            return coordinator.deregister(agent)
        done = [Completion(each.mini_batch, each.attempt, 0, 0, 0, 1, -1, 0, 1, 1, 1, 1) for each in grants]
        coordinator.report(json.loads(json.dumps(wire.report(agent, epoch, segment="none", completed=done))))


def most_memory() -> int:
    """Return the most memory that this process had, in bytes. What rusage says counts who started it, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def measured(mini_batches: int, failing: int, left: int) -> dict[str, float]:
    """Write a run folder and let a coordinator in a process of its own finish it."""
    with tempfile.TemporaryDirectory(prefix="longshore-finishing-") as folder:
        SyntheticRun(folder, mini_batches, failing, left).write()
        command = [sys.executable, __file__, folder, str(mini_batches), str(failing), str(left)]
        found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return found


def main() -> int:
    """Print a line for each case; 1 when one is above its limits."""
    numbers = [int(each) for each in sys.argv[1:] if each.isdigit()]
    if len(sys.argv) == 5:
        print(json.dumps(asyncio.run(finish(SyntheticRun(sys.argv[1], *numbers)))))
        return 0
    good = True
    for case, seconds, megabytes in [(tuple(numbers), None, None)] if numbers else CASES:
        found = measured(*case)
        is_good = (seconds is None or found["finishing"] <= seconds) and found["most_memory_mb"] <= (megabytes or 1e9)
        good &= is_good
        limits = f"limits: {seconds or '-'} s, {megabytes or '-'} MB: {'met' if is_good else 'NOT MET'}"
        print(
            f"{case[0]:,} mini-batches, {case[1]} % failed, {case[2]} left: restored in {found['restoring']:.1f} s, "
            f"listed in {found['listing']:.1f} s, finished in {found['finishing']:.1f} s "
            f"({found['finishing_processor']:.1f} s of processor), "
            f"at most {found['most_memory_mb']:.0f} MB; {limits}"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
