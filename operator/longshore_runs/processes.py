"""Commands in the background: started so that they outlive their starter, found again, and signalled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

_SECOND = 1.0  # two reports of a process's start differ by less


@dataclass(frozen=True)
class Background:
    """A process of this machine; its start time distinguishes it from a later one of the same number."""

    pid: int
    started: float  # Unix seconds, as the kernel reports it

    @staticmethod
    def of(pid: int) -> Background | None:
        """Return the process of this number; None if there is none."""
        try:
            return Background(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def wait(self, seconds: float) -> None:
        """Wait until the process has exited, at most `seconds`."""
        with suppress(psutil.Error):
            psutil.Process(self.pid).wait(seconds)

    def is_alive(self) -> bool:
        """Return whether the process still runs."""
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started) < _SECOND
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal; do nothing if the process has exited."""
        if self.is_alive():
            os.kill(self.pid, number)


def start(arguments: Sequence[str], *, log: str, folder: str) -> Background:
    """Start `longshore ARGUMENTS` in the background; return its process.

    A shell starts it and exits at once, so that it is no child of this process: it belongs to another session, survives
    this process, and its end needs no wait here.

    Args:
        arguments: Arguments of the command.
        log: File that its output is appended to.
        folder: Its current folder.

    Raises:
        OSError: The log cannot be written, or no process can be started.
    """
    command = [sys.executable, "-m", "longshore_cli", *arguments]
    script = '"$@" >>"$0" 2>&1 </dev/null & echo $!'  # $0 is the log
    ended = subprocess.run(
        ["/bin/sh", "-c", script, log, *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        check=True,
    )
    pid = int(ended.stdout)
    return Background.of(pid) or Background(pid, 0.0)  # of one that has exited already
