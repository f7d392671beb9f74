"""An arsonist for local runs: kills and stops their processes while they work, and always leaves none stopped.

Which processes it takes, how, and after how many calls of run() follows from the seed; when that is follows from the
machine.
"""

from __future__ import annotations

import heapq
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

CHILD, HOST, AGENT, COORDINATOR = "child", "host", "agent", "coordinator"
_MODULES = {"longshore_host.child": CHILD, "longshore_host": HOST, "longshore_agent": AGENT}
_PATIENCE = 120.0  # seconds: far longer than anything takes on a loaded machine


@dataclass(frozen=True)
class Process:
    """A process, told by its start from a later one with the same pid."""

    pid: int
    start: int  # clock ticks since boot

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; return whether the process was still there."""
        if self.state() in "XZ":
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def state(self) -> str:
        """Return the kernel's letter for what it does: T is stopped, Z is dead and X is gone."""
        fields = _stat(self.pid)
        return fields[0] if fields and int(fields[19]) == self.start else "X"

    def arguments(self) -> list[str]:
        """Return its command line."""
        return _strings(f"/proc/{self.pid}/cmdline")

    def environment(self) -> list[str]:
        """Return its environment, as NAME=VALUE."""
        return _strings(f"/proc/{self.pid}/environ")


def start_of(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 for one that is gone."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def processes(kind: str, command: Any, pids: list[int]) -> list[Process]:
    """Return the processes of a kind, of these pids, that a command has started: the oldest comes first."""
    found = []
    for pid in pids:
        fields = _stat(pid)
        parent = int(fields[1]) if fields else 0
        if _kind(pid) == kind and command.pid == (_parent(parent) if kind == CHILD else parent):
            found.append(Process(pid, int(fields[19])))
    return sorted(found, key=lambda process: (process.start, process.pid))


@dataclass(frozen=True)
class Act:
    """One deed."""

    kind: str  # "kill" or "stop"
    victim: str
    calls: int  # of run() that were begun before
    delay: float  # seconds after that, and after the act before
    pick: float  # 0 to 1: which of the processes there are then
    seconds: float  # how long it is stopped


def plan(
    seed: int, *, counts: Mapping[tuple[str, str], int], calls: int, stops: Mapping[str, tuple[float, float]]
) -> list[Act]:
    """Return so many acts of each (kind, victim), shuffled and spread over this number of calls of run().

    `stops` says between how many seconds a victim of each kind is stopped.
    """
    chance = random.Random(seed)
    deeds = [deed for deed, count in sorted(counts.items()) for _ in range(count)]
    chance.shuffle(deeds)
    moments = sorted(chance.randrange(1, calls) for _ in deeds)
    return [
        Act(
            kind,
            victim,
            calls=moment,
            delay=chance.uniform(0.0, 0.2),
            pick=chance.random(),
            seconds=chance.uniform(*stops.get(victim, (0.0, 0.0))),
        )
        for (kind, victim), moment in zip(deeds, moments, strict=True)
    ]


class Arsonist:
    """Carries out a plan on a run. Use in a `with`: at its end nothing is stopped any more.

    `longshore` is the fixture that started the run, `command` what it returned; `calls` counts the calls of run().
    """

    def __init__(self, longshore: Any, command: Any, acts: list[Act], *, calls: Callable[[], int]) -> None:
        self.done: Counter[tuple[str, str]] = Counter()
        self._longshore = longshore
        self._command = command
        self._acts = acts
        self._calls = calls
        self._stopped: list[tuple[float, int, Process]] = []  # heap: what is released first, by monotonic time

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._release(all_of_them=True)

    def burn(self) -> Any:
        """Do all the plan says, resuming the run whenever its coordinator was killed; then let it come to its end.

        Returns what the last command left behind.
        """
        for act in self._acts:
            self._until(lambda act=act: self._calls() >= act.calls)
            moment = time.monotonic() + act.delay
            self._until(lambda moment=moment: time.monotonic() >= moment)
            if act.victim == COORDINATOR:
                self._kill_coordinator()
            else:
                self._until(lambda act=act: self._strike(act))
            self.done[act.kind, act.victim] += 1
        self._until(lambda: not self._stopped or not self._command.is_running(), may_end=True)
        return self._command.wait(patience=_PATIENCE)

    def _strike(self, act: Act) -> bool:
        found = processes(act.victim, self._command, self._longshore.processes())
        candidates = [process for process in found if process.state() != "T"]
        if not candidates:
            return False
        victim = candidates[int(act.pick * len(candidates))]
        if act.kind == "kill":
            return victim.send(signal.SIGKILL)
        # On the list first: whatever happens now, it will be released.
        heapq.heappush(self._stopped, (time.monotonic() + act.seconds, victim.pid, victim))
        return victim.send(signal.SIGSTOP)

    def _kill_coordinator(self) -> None:
        self._command.signal(signal.SIGKILL)
        self._command.wait()
        self._until(lambda: not self._longshore.processes(), may_end=True)  # all of the run dies with it
        self._command = self._longshore.start("--resume", str(self._longshore.run_dir))

    def _until(self, condition: Callable[[], bool], *, may_end: bool = False) -> None:
        def looked() -> bool:
            self._release()
            assert may_end or self._command.is_running(), self._command.wait()
            return condition()

        self._longshore.wait_until(looked, patience=_PATIENCE)

    def _release(self, *, all_of_them: bool = False) -> None:
        while self._stopped and (all_of_them or self._stopped[0][0] <= time.monotonic()):
            heapq.heappop(self._stopped)[2].send(signal.SIGCONT)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""  # it ended meanwhile


def _stat(pid: int) -> list[str]:
    """Return a process's state, parent and so on, as /proc/PID/stat has them after the name; empty when it is gone."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].decode().split()


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _kind(pid: int) -> str:
    arguments = _strings(f"/proc/{pid}/cmdline")
    return next((kind for module, kind in _MODULES.items() if module in arguments), "")


def _strings(path: str) -> list[str]:
    """Return strings that each end in NUL."""
    return _read(path).decode(errors="replace").split("\0")[:-1]
