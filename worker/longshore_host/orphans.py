"""Kill the processes that scripts leave behind, wherever they went.

On Linux a process that adopts orphans becomes the parent of every descendant whose own parent ends. Elsewhere orphans
go to the system's first process, and the marks in their environment are all that identifies them.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Callable, Collection, Iterator, List, Sequence, Tuple

from longshore_host import prctl, process_table

CAN_ADOPT = prctl.IS_AVAILABLE and process_table.HAS_PROC
_PATIENCE = 5.0  # seconds until processes that do not die of SIGKILL are left alone
_PAUSE = 0.01  # seconds between two looks at processes that are dying


def adopt() -> None:
    """Become the parent of every descendant whose own parent ends, on Linux."""
    if CAN_ADOPT:
        prctl.prctl(prctl.CHILD_SUBREAPER, 1)


def kill_left(run: bytes, process: bytes = b"", *, spare: Collection[int] = ()) -> None:
    """Kill what the scripts of this host left behind, apart from the process ids `spare`.

    `run` marks all that they started (see `process_table`); `process` restricts it to what one process started.
    """
    if not CAN_ADOPT:
        kill_marked([each for each in (run, process) if each], spare=spare)
    elif process:
        kill_and_reap(lambda: [each for each in _adopted(spare) if _has_mark(each, process)])
    else:
        kill_and_reap(lambda: _adopted(spare))


def kill_adopted() -> None:
    """Kill all children of this process, adopted ones among them, on Linux."""
    if CAN_ADOPT:
        kill_and_reap(lambda: _adopted(()))


def kill_marked(marks: Sequence[bytes], *, spare: Collection[int] = ()) -> None:
    """Kill every process with these marks in its environment, apart from the process ids `spare`; blocks.

    Repeats that until none is left, since the processes may start others meanwhile, but at most for five seconds.
    """
    give_up = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up:
        left = [pid for pid in process_table.marked(marks) if pid not in spare and pid != os.getpid()]
        if not left:
            return
        for pid in left:
            try:
                _kill(pid)
            except PermissionError:
                continue  # it became another user's
        time.sleep(_PAUSE)


def kill_and_reap(left: Callable[[], List[int]]) -> None:
    """Kill the children that `left` returns until it returns none: each death may add children of its own."""
    while True:
        pids = left()
        if not pids:
            return
        for pid in pids:
            _kill(pid)
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass


def _reaped_with_waitid() -> Iterator[Tuple[int, int]]:
    """Reap the children that have ended, adopted ones included; yield process id and exit code of each.

    The code of one that was killed is the signal's number, negative. A child is reaped once the caller asks for the
    next: until then no other process can have its id, and what is left of its group can be killed by it.
    """
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        yield ended.si_pid, ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        try:
            os.waitpid(ended.si_pid, 0)
        except ChildProcessError:
            pass  # the caller has reaped it


def _reaped_with_waitpid() -> Iterator[Tuple[int, int]]:
    """Do the same on macOS, where Python has waitid() from 3.13 on only.

    The child is reaped already. While any process of its group is left, no other process gets its id.
    """
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


reaped = _reaped_with_waitid if hasattr(os, "waitid") else _reaped_with_waitpid


def _adopted(spare: Collection[int]) -> List[int]:
    return [pid for pid in process_table.children_of(os.getpid()) if pid not in spare]


def _has_mark(pid: int, mark: bytes) -> bool:
    return process_table.has_marks(process_table.environment_of(pid), [mark])


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
