"""`python -m longshore_host.guard`: kill the children of a process once that process is dead.

Standard input is a pipe whose other end the process holds, so that the end of file means its death. See `parent_death`.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import BinaryIO, Dict


def request(pid: int, number: int) -> bytes:
    """Return the line that asks the guard to send a signal to process group `pid`; signal 0 cancels that."""
    return b"%d %d\n" % (pid, number)


def watched(lines: BinaryIO) -> Dict[int, int]:
    """Read requests to the end of file; return the signal for each process group that is left."""
    signals: Dict[int, int] = {}
    for line in lines:
        pid, number = map(int, line.split())
        if number:
            signals[pid] = number
        else:
            signals.pop(pid, None)
    return signals


def kill_group(group: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to every process of a group; do nothing if the group has ended."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS refuses it for a group of zombies
        pass


def main() -> int:
    """Wait for the death of the process, then signal its children."""
    for group, number in watched(sys.stdin.buffer).items():
        kill_group(group, number)
        kill_group(group, signal.SIGCONT)  # a stopped process receives nothing but SIGKILL
    return 0


if __name__ == "__main__":
    sys.exit(main())
