"""End processes when their parent dies, however it dies.

Linux sends a signal itself (PR_SET_PDEATHSIG). Elsewhere the parent starts a `guard`, a process that reads a pipe: its
end of file means that the parent is dead. Each child writes its process id into the pipe before it does anything else,
and closes its copy, so that the guard learns of every child even if the parent dies meanwhile.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NamedTuple, Optional, Tuple

from longshore_host import guard, prctl


class Link(NamedTuple):
    """What a parent passes to a child process."""

    argument: str  # for the child's command line, and there for `end_with_parent`
    descriptors: Tuple[int, ...]  # that the child inherits


_pipe: Optional[int] = None  # the writing end of the pipe to this process's guard


def link() -> Link:
    """Return what a child of this process needs to end with it. Raises OSError if no guard can be started.

    The child has to lead a process group of its own.
    """
    if prctl.IS_AVAILABLE:
        return Link(str(os.getpid()), ())
    pipe = _pipe_to_guard()
    return Link("{}:{}".format(os.getpid(), pipe), (pipe,))


def end_with_parent(argument: str, *, by: int = signal.SIGKILL) -> None:
    """Send this process the signal `by` once its parent dies; exit at once if the parent is dead already.

    `argument` is that of the parent's `Link`. Elsewhere than on Linux the signal goes to the whole process group.
    """
    parent, _, pipe = argument.partition(":")
    if pipe:
        try:
            os.write(int(pipe), guard.request(os.getpid(), by))
        except BrokenPipeError:  # the guard is dead, so nothing would end this process
            os._exit(1)
        os.close(int(pipe))
    else:
        prctl.prctl(prctl.PDEATHSIG, by)
    if os.getppid() != int(parent):
        os._exit(1)


def forget(pid: int) -> None:
    """Cancel the link of a child that has ended; another process may get its id."""
    if _pipe is not None:
        try:
            os.write(_pipe, guard.request(pid, 0))
        except BrokenPipeError:
            pass  # the guard is dead; the next `link` starts another one


def _pipe_to_guard() -> int:
    """Return the writing end of the pipe to a living guard."""
    global _pipe
    if _pipe is not None:
        try:
            os.write(_pipe, guard.request(0, 0))
        except BrokenPipeError:
            os.close(_pipe)
        else:
            return _pipe
    import subprocess  # late: no child needs it

    reading, _pipe = os.pipe()
    try:
        started = subprocess.Popen(
            [sys.executable, "-m", guard.__name__],
            cwd="/",  # no folder of a run is held by it
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        os.close(reading)
    started.returncode = 0  # it outlives this process
    return _pipe
