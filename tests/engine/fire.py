"""An arsonist for local runs: kills and stops their processes while they work, and always leaves none stopped.

Which processes it takes, how, and after how many calls of run() follows from the seed; when that is follows from the
machine.
"""

from __future__ import annotations

import heapq
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import psutil

CHILD, HOST, AGENT, COORDINATOR = "child", "host", "agent", "coordinator"
_MODULES = {"longshore_host.child": CHILD, "longshore_host": HOST, "longshore_agent": AGENT}
_PATIENCE = 120.0  # seconds: far longer than anything takes on a loaded machine


def find(pid: int) -> psutil.Process | None:
    """Return the process with an id; None for one that is gone. A later one with the same id is another."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid)
    return None


def send(process: psutil.Process, number: signal.Signals) -> bool:
    """Send a signal; return whether the process was still there."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True


def is_stopped(process: psutil.Process) -> bool:
    """Return whether a process was stopped by a signal."""
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def processes(kind: str, command: Any, pids: list[int]) -> list[psutil.Process]:
    """Return the processes of a kind, of these pids, that a command has started: the oldest comes first."""
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            each = psutil.Process(pid)
            arguments = each.cmdline()
            parent = psutil.Process(each.ppid()) if kind == CHILD else each
            if _kind(arguments) == kind and command.pid == parent.ppid():
                found.append(each)
    return sorted(found, key=lambda process: (process.create_time(), process.pid))


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
        self._stopped: list[tuple[float, int, psutil.Process]] = []  # heap: what is released first, by monotonic time

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
        candidates = [process for process in found if not is_stopped(process)]
        if not candidates:
            return False
        victim = candidates[int(act.pick * len(candidates))]
        if act.kind == "kill":
            return send(victim, signal.SIGKILL)
        # On the list first: whatever happens now, it will be released.
        heapq.heappush(self._stopped, (time.monotonic() + act.seconds, victim.pid, victim))
        return send(victim, signal.SIGSTOP)

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
            send(heapq.heappop(self._stopped)[2], signal.SIGCONT)


def _kind(arguments: list[str]) -> str:
    return next((kind for module, kind in _MODULES.items() if module in arguments), "")
