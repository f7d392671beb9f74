"""Which process is ours, and running others."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


class Problem(Exception):
    """What stands in the way, in a sentence."""


@dataclass(frozen=True)
class Process:
    """One process of the machine. Its id may belong to another later; id, start and boot together never do."""

    pid: int
    start: int  # clock ticks since boot
    boot: str

    def is_alive(self) -> bool:
        """Whether it is there, and not merely waiting to be reaped."""
        return self.boot == _boot() and _start(self.pid) == self.start

    def kill(self) -> None:
        """Kill it if it still is the one that was meant."""
        with suppress(ProcessLookupError):
            watch = os.pidfd_open(self.pid)  # from here on the id cannot be taken by another
            try:
                if self.is_alive():
                    signal.pidfd_send_signal(watch, signal.SIGKILL)
            finally:
                os.close(watch)


def process(pid: int) -> Process:
    """Return the living process with this id; Problem if there is none."""
    if (start := _start(pid)) is None:
        raise Problem(f"process {pid} ended at once")
    return Process(pid, start, _boot())


def children(pid: int) -> list[int]:
    """Return the ids of a process' children."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def descendants(pid: int) -> Iterator[int]:
    """Yield the ids of a process' children, and of theirs."""
    for each in children(pid):
        yield each
        yield from descendants(each)


def run(*command: str | Path, stdin: str | None = None, **environment: str) -> str:
    """Run a command to its end and return what it printed; Problem with its last lines if it fails."""
    arguments = [str(each) for each in command]
    ended = subprocess.run(
        arguments, input=stdin, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if ended.returncode:
        output = " / ".join((ended.stderr or ended.stdout).strip().splitlines()[-5:])
        raise Problem(f"{' '.join(arguments)[:200]} ended with {ended.returncode}: {output}")
    return ended.stdout


def show(command: Sequence[str | Path], **options: str | Path | None) -> None:
    """Run a long command with its output on our stderr; Problem if it fails.

    `options` are variables of its environment; `cwd` is its folder.
    """
    cwd = options.pop("cwd", None)
    environment = {**os.environ, **{name: str(each) for name, each in options.items()}}
    arguments = [str(each) for each in command]
    ended = subprocess.run(arguments, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=2, check=False)
    if ended.returncode:
        raise Problem(f"{' '.join(arguments)[:200]} ended with {ended.returncode}")


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Look until the condition holds; Problem if it does not within some seconds."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            raise Problem(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)


def _start(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
