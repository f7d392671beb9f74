"""What the host asks of Linux: die with the parent, adopt orphans, count kills for memory, keep freed memory."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
from typing import BinaryIO, Callable, Iterator, List, Tuple

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt()
_LARGEST_MMAP_THRESHOLD = 32 << 20  # bytes; where glibc itself raises the threshold to, step by step


def die_with_parent(parent: int, *, by: int = signal.SIGKILL) -> None:
    """Ask for the signal `by` when the parent process `parent` ends; end at once when it already has."""
    _prctl(_PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none outlives the script unseen."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def prefer_as_out_of_memory_victim() -> None:
    """Let the kernel take this process first when memory runs out: it can be replaced, the host cannot."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass  # not Linux, or /proc is read-only: the kernel chooses by size, which is this process too


def reuse_freed_memory() -> None:
    """Set glibc's allocator to keep up to 64 MiB of freed memory, which large allocations then use again.

    Otherwise each mini-batch maps and clears the pages of its buffers anew, at a fifth of the time that parsing takes.
    glibc reaches these values itself, but only after blocks of that size were freed. Settings in the environment win,
    and an allocator without mallopt() stays as it is.
    """
    if any(name in os.environ for name in ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_MMAP_THRESHOLD)


def out_of_memory_kills() -> int:
    """Return how many processes of this control group the kernel has killed for memory so far (0: cannot tell)."""
    for path, key in _out_of_memory_counters():
        try:
            with open(path) as file:
                for line in file:
                    name, _, count = line.partition(" ")
                    if name == key:
                        return int(count)
        except (OSError, ValueError):
            continue
    return 0


def kill_group(group: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to every process of a group; one that is gone is no error."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass


def kill_and_reap(left: Callable[[], List[int]]) -> None:
    """Kill the children that `left` names until it names none: each death may hand us children of its own."""
    while True:
        pids = left()
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


def children_of(pid: int) -> List[int]:
    """Return the process ids of the direct children of `pid`."""
    children = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/{}/stat".format(entry)) as file:
                    after_name = file.read().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            if int(after_name[1]) == pid:
                children.append(int(entry))
    return children


def started_with(entry: bytes) -> List[int]:
    """Return the process ids of all living processes that were started with this entry (b"NAME=value") to see."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if entry in environment_of(pid).split(b"\0")]


def environment_of(pid: int) -> bytes:
    """Return the environment a process was started with, entries ended by NUL; empty when it cannot be read."""
    try:
        with open("/proc/{}/environ".format(pid), "rb") as file:
            return file.read()
    except OSError:
        return b""


def hold(path: str) -> BinaryIO:
    """Lock a file for as long as it is open, which is at most until this process ends; it is there only when locked.

    Who waits for the lock learns of the end, also of one that left no time to say so.
    """
    lock = open(path + ".unfinished", "wb")  # noqa: SIM115  (it stays open)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.replace(path + ".unfinished", path)  # a lock is the file's, whatever its name
    return lock


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _out_of_memory_counters() -> List[List[str]]:
    counters = []
    try:
        with open("/proc/self/cgroup") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        groups = []
    for _, controllers, path in groups:
        # Inside a container the group's own folder is usually mounted as the root: try both.
        if controllers == "memory":
            counters.append(["/sys/fs/cgroup/memory" + path + "/memory.oom_control", "oom_kill"])
            counters.append(["/sys/fs/cgroup/memory/memory.oom_control", "oom_kill"])
        elif controllers == "":
            counters.append(["/sys/fs/cgroup" + path + "/memory.events", "oom_kill"])
            counters.append(["/sys/fs/cgroup/memory.events", "oom_kill"])
    counters.append(["/proc/vmstat", "oom_kill"])  # the whole machine: better a guess than none
    return counters


def reaped() -> Iterator[Tuple[int, int]]:
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
