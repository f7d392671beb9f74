"""Dump the stacks of a process's threads into its stderr when it crashes or before it is killed, and parse them."""

from __future__ import annotations

import faulthandler
import os
import re
import signal
from typing import List, Tuple

from longshore_host import script_end

# Scripts and their libraries use the first real-time signals, if any. macOS has none.
SIGNAL = signal.SIGRTMAX - 1 if hasattr(signal, "SIGRTMAX") else signal.SIGUSR2
SECONDS = 0.5  # for a dump, before the process is killed
LINES = 20  # of the stacks that are read back
_OURS = os.path.dirname(os.path.abspath(__file__))
_FATAL = "Fatal Python error: "
_THREAD = re.compile(r"(Current thread|Thread) 0x[0-9a-f]+( \[[^]]*\])? \(most recent call first\):")
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<function>.*)')


def enable() -> None:
    """Make this process dump its stacks when it crashes, and on SIGNAL."""
    faulthandler.enable()
    faulthandler.register(SIGNAL, all_threads=True)


def request(pid: int, stderr: str, reason: str) -> None:
    """Request a dump of the stacks of a process's threads into the file `stderr`, below a line with the reason."""
    try:
        with open(stderr, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write("longshore: {}; the process is killed. Stacks of its threads:\n".format(reason))
        os.kill(pid, SIGNAL)
    except OSError:
        pass  # it has ended, or the disk is full: it is killed without a dump


def last_error(text: str, source: str) -> Tuple[str, str]:
    """Parse a process's stderr; return the line of its last exception or fatal error, and its last stacks.

    Either is "" if the text has none. The line of a fatal error includes the position of the current thread in the
    folder `source`, if it was there. The main thread, or that of a fatal error, is first among the stacks; frames of
    this package are left out, and at most LINES lines are returned.
    """
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines) if _THREAD.fullmatch(line)]
    fatal = [number for number, line in enumerate(lines) if line.startswith(_FATAL)]
    begin = _first_of_last_dump(lines, heads)
    stacks = _users_stacks(lines[begin:])
    if fatal and fatal[-1] < begin:
        stacks.sort(key=lambda stack: not stack[0].startswith("Current"))
        return lines[fatal[-1]][len(_FATAL) :] + _position(stacks, source), _bounded(stacks)
    before = "\n".join(lines[:begin])
    return script_end.traceback_line(before) or "", _bounded(stacks)


def _first_of_last_dump(lines: List[str], heads: List[int]) -> int:
    """Return the index of the last dump's first line; only blank lines are between the stacks of one dump."""
    begin = len(lines)
    for head in reversed(heads):
        between = lines[head + 1 : begin]
        if begin != len(lines) and not all(not line or _FRAME.fullmatch(line) for line in between):
            break
        begin = head
    return begin


def _users_stacks(lines: List[str]) -> List[List[str]]:
    """Return the stacks with their heads, the main thread's first, without frames of this package and empty stacks."""
    stacks: List[List[str]] = []
    for line in lines:
        frame = _FRAME.fullmatch(line)
        if _THREAD.fullmatch(line):
            stacks.insert(0, [line])  # a dump ends with the main thread
        elif stacks and frame is not None and os.path.dirname(frame.group("file")) != _OURS and "<frozen " not in line:
            stacks[0].append(line)
    return [stack for stack in stacks if len(stack) > 1]


def _position(stacks: List[List[str]], source: str) -> str:
    """Return the position of the first thread as the end of a sentence."""
    frames = [_FRAME.fullmatch(line) for line in (stacks[0][1:] if stacks else ())]
    found = [each for each in frames if each is not None]
    if not found:
        return ""
    inside = [each for each in found if each.group("file").startswith(os.path.join(source, ""))]
    frame = (inside or found)[0]
    name = os.path.basename(frame.group("file"))
    return " in {}, line {}, in {}".format(name, frame.group("line"), frame.group("function"))


def _bounded(stacks: List[List[str]]) -> str:
    lines = [line for stack in stacks for line in stack]
    return "\n".join(line[: script_end.CHARACTERS] for line in lines[:LINES])
