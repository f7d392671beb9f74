"""An arsonist for local runs: kills and stops their processes while they work, and always leaves none stopped.

Which processes it takes, how, and after how many calls of run() follows from the seed; when that is follows from the
machine.
"""

from __future__ import annotations

import heapq
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "FIRE_MARK"  # names the run in the environment of all its processes; hosts pass LONGSHORE_... on to no child
DEADLINE = 120.0  # seconds: far longer than anything here takes on a loaded machine

CHILD, HOST, AGENT, COORDINATOR = "child", "host", "agent", "coordinator"
_MODULES = {"longshore_host.child": CHILD, "longshore_host": HOST, "longshore_agent": AGENT}


def until(condition: Callable[[], object], what: str, *, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait until the condition holds, calling `meanwhile` again and again; fail, saying `what` was waited for."""
    give_up = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < give_up, f"waited in vain for {DEADLINE:.0f} s: {what}"
        meanwhile()
        time.sleep(0.01)


@dataclass(frozen=True)
class Process:
    """A process of a run, told from a later one with the same pid by its start."""

    pid: int
    start: str  # clock ticks since boot

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; return whether the process was still there."""
        if _stat(self.pid)[1] != self.start:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def state(self) -> str:
        """Return the kernel's letter for what it does: T for stopped, X or Z for dead."""
        state, start = _stat(self.pid)
        return state if start == self.start else "X"


class LocalRun:
    """`longshore run` as a user starts it, in a folder; `mark` is found in the environment of all its processes."""

    def __init__(self, folder: Path, *, mark: str) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self.mark = mark
        self.command: subprocess.Popen[bytes]
        self._starts = 0

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start `longshore run` on the folder's manifest with more arguments; it is the run's coordinator from now."""
        self._starts += 1
        scratch = self.folder / "t"  # a short name: sockets go there, and their paths are limited
        scratch.mkdir(exist_ok=True)
        command = [Path(sys.executable).with_name("longshore"), "run", self.folder / "step.yaml", "--json", *arguments]
        with self._path("out").open("wb") as out, self._path("err").open("wb") as err:
            self.command = subprocess.Popen(
                command,
                env={**os.environ, MARK: self.mark, "TMPDIR": str(scratch)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return self.command

    def resume(self) -> subprocess.Popen[bytes]:
        """Start a coordinator that goes on with the run."""
        return self.start("--resume", self.run_dir)

    def output(self, start: int | None = None) -> str:
        """Return what the start of this number (from 1), or else the last one, wrote on stdout."""
        return self._path("out", start).read_text()

    def complaints(self, start: int | None = None) -> str:
        """Return what it wrote on stderr."""
        return self._path("err", start).read_text()

    def assert_running(self) -> None:
        """Fail when the run's coordinator has ended."""
        code = self.command.poll()
        assert code is None, f"start {self._starts} ended with {code}: {self.output()}{self.complaints()}"

    def processes(self, kind: str) -> list[Process]:
        """Return the processes of a kind that work for the present coordinator, in the order of their start."""
        found = []
        for pid in self._marked():
            start, parent = _stat(pid)[1], _parent(pid)
            owner = _parent(parent) if kind == CHILD else parent
            if _kind(pid) == kind and owner == self.command.pid:
                found.append(Process(pid, start))
        return sorted(found, key=lambda process: (int(process.start), process.pid))

    def is_deserted(self) -> bool:
        """Tell whether no process of this run is left, dead ones that nobody has buried yet not counted."""
        return not any(True for _ in self._marked())

    def sweep(self) -> None:
        """Kill what is left, so that a failed test leaves nothing either."""
        while not self.is_deserted():
            for pid in self._marked():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.command.poll()

    def _marked(self) -> Iterator[int]:
        mark = f"{MARK}={self.mark}".encode()
        for entry in os.listdir("/proc"):
            if entry.isdigit() and mark in _read(f"/proc/{entry}/environ").split(b"\0"):
                yield int(entry)

    def _path(self, stream: str, start: int | None = None) -> Path:
        return self.folder / f"{start or self._starts}.{stream}"


@dataclass(frozen=True)
class Act:
    """One deed."""

    kind: str  # "kill" or "stop"
    victim: str
    calls: int  # of run() that were begun before
    delay: float  # seconds after that, and after the act before
    pick: float  # 0 to 1: which of the processes there are then
    seconds: float  # how long it is stopped


def plan(seed: int, *, counts: dict[tuple[str, str], int], calls: int, stops: dict[str, tuple[float, float]]) -> list[Act]:  # fmt: skip
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
    """Carries out a plan on a run. Use in a `with`: at its end nothing is stopped any more."""

    def __init__(self, run: LocalRun, acts: list[Act], *, calls: Callable[[], int]) -> None:
        self.done: Counter[tuple[str, str]] = Counter()
        self._run = run
        self._acts = acts
        self._calls = calls
        self._stopped: list[tuple[float, int, Process]] = []  # heap: monotonic time of its release first

    def __enter__(self) -> Arsonist:
        return self

    def __exit__(self, *_: object) -> None:
        self._release(all_of_them=True)

    def burn(self) -> None:
        """Do all the plan says, resuming the run whenever its coordinator was killed."""
        for act in self._acts:
            self._until(lambda act=act: self._calls() >= act.calls, f"{act.calls} calls of run() before {act}")
            moment = time.monotonic() + act.delay
            self._until(lambda moment=moment: time.monotonic() >= moment, "the moment")
            if act.victim == COORDINATOR:
                self._kill_coordinator()
            else:
                self._until(lambda act=act: self._strike(act), f"a process for {act}")
            self.done[act.kind, act.victim] += 1

    def finish(self) -> int:
        """Wait for the end of the run, releasing what is stopped in time; return the command's exit code."""
        until(lambda: self._run.command.poll() is not None, "the end of the run", meanwhile=self._release)
        return self._run.command.wait()

    def _strike(self, act: Act) -> bool:
        candidates = [each for each in self._run.processes(act.victim) if each.state() != "T"]
        if not candidates:
            return False
        victim = candidates[int(act.pick * len(candidates))]
        if act.kind == "kill":
            return victim.send(signal.SIGKILL)
        # On the list first: whatever happens now, it will be released.
        heapq.heappush(self._stopped, (time.monotonic() + act.seconds, victim.pid, victim))
        return victim.send(signal.SIGSTOP)

    def _kill_coordinator(self) -> None:
        self._run.command.kill()
        self._run.command.wait()
        until(self._run.is_deserted, "the end of all processes of a killed run", meanwhile=self._release)
        self._run.resume()

    def _until(self, condition: Callable[[], object], what: str) -> None:
        def meanwhile() -> None:
            self._release()
            self._run.assert_running()

        until(condition, what, meanwhile=meanwhile)

    def _release(self, *, all_of_them: bool = False) -> None:
        while self._stopped and (all_of_them or self._stopped[0][0] <= time.monotonic()):
            heapq.heappop(self._stopped)[2].send(signal.SIGCONT)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""  # it ended meanwhile


def _stat(pid: int) -> tuple[str, str]:
    """Return a process's state and start; "X" and "" for one that is gone."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return (fields[0].decode(), fields[19].decode()) if fields else ("X", "")


def _parent(pid: int) -> int:
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _kind(pid: int) -> str:
    arguments = _read(f"/proc/{pid}/cmdline").decode(errors="replace").split("\0")
    return next((kind for module, kind in _MODULES.items() if module in arguments), "")
