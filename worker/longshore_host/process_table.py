"""Find processes by what stands in their environment: in /proc, elsewhere with psutil, and without that with ps.

A mark is an entry of an environment, b"NAME=value"; one that ends in "/" stands for all entries that begin so.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Iterable, List, Sequence

HAS_PROC = os.path.isdir("/proc/self")

# BSD's ps, macOS's among them, and that of Linux: all processes with their environments, untruncated.
_PS = (["ps", "-axEww", "-o", "pid=,command="], ["ps", "axeww", "-o", "pid=,command="])


def children_of(pid: int) -> List[int]:
    """Return the process ids of the direct children of `pid`. Needs /proc."""
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


def environment_of(pid: int) -> List[bytes]:
    """Return the environment that a process was started with, as entries; none if it cannot be read. Needs /proc."""
    try:
        with open("/proc/{}/environ".format(pid), "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def marked(marks: Sequence[bytes]) -> List[int]:
    """Return the ids of the living processes that were started with all these marks in their environment.

    The system shows those of its user alone, and on macOS none whose program is Apple's own.
    """
    if HAS_PROC:
        return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and has_marks(environment_of(int(pid)), marks)]
    try:
        psutil = importlib.import_module("psutil")
    except ImportError:  # the user's interpreter need not have it
        return _marked_by_ps(marks)
    return _marked_by_psutil(psutil, marks)


def has_marks(environment: Iterable[bytes], marks: Iterable[bytes]) -> bool:
    """Return whether every mark is in an environment."""
    entries = list(environment)
    return all(any(_is_marked(entry, mark) for entry in entries) for mark in marks)


def _is_marked(entry: bytes, mark: bytes) -> bool:
    return entry.startswith(mark) if mark.endswith(b"/") else entry == mark


def _marked_by_psutil(psutil: Any, marks: Sequence[bytes]) -> List[int]:
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue  # it has ended, or is another user's
        if has_marks((os.fsencode("{}={}".format(*each)) for each in environment.items()), marks):
            found.append(process.pid)
    return found


def _marked_by_ps(marks: Sequence[bytes]) -> List[int]:
    """Return the marked processes from the output of ps, which separates arguments and entries by spaces."""
    import subprocess  # late: rarely needed

    for command in _PS:
        try:
            listed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            continue  # another system's options
        needles = [b" " + mark if mark.endswith(b"/") else b" " + mark + b" " for mark in marks]
        lines = [line + b" " for line in listed.splitlines() if all(needle in line + b" " for needle in needles)]
        return [int(line.split(None, 1)[0]) for line in lines]
    return []
