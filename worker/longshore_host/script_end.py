"""Describe the end of a script in one sentence, from its exit code and the end of its stderr."""

from __future__ import annotations

import os
import re
import signal
from typing import Optional

from longshore_protocol.script_job import CANCELLED, SUCCEEDED, TIMED_OUT
from longshore_protocol.text import MESSAGE, printable

CHARACTERS = 500  # per line: the text of an exception may have megabytes
_TAIL = 256 * 1024  # bytes at the end of stderr that are read

_HEAD = "Traceback (most recent call last):"
_GROUP_HEAD, _GROUP_MARGIN = "  + Exception Group " + _HEAD, "  | "
# The last line of a traceback without a head: Python has no frame to show for a script that it cannot parse.
_BARE = re.compile(r"(SyntaxError|IndentationError|TabError)(: |$)")


def sentence(
    script: str,
    state: str,
    code: int,
    *,
    stderr: str,
    timeout: Optional[float] = None,
    killed_for_memory: bool = False,
) -> str:
    """Return the printable message of a result: the last line of the traceback that ended the script, or a sentence."""
    text = _sentence(script, state, code, stderr=stderr, timeout=timeout, killed_for_memory=killed_for_memory)
    return printable(text, MESSAGE)


def _sentence(
    script: str, state: str, code: int, *, stderr: str, timeout: Optional[float], killed_for_memory: bool
) -> str:
    if state == CANCELLED:
        return "The script {} was cancelled.".format(script)
    if state == TIMED_OUT and timeout is not None:
        return "The script {} took longer than its limit of {:g} s.".format(script, timeout)
    if state == SUCCEEDED:
        return "The script {} ended with exit code 0.".format(script)
    if killed_for_memory:
        return "The script {} was killed because memory ran out.".format(script)
    if code < 0:
        return "The script {} {}.".format(script, how(code))
    last = last_line(stderr)
    end = " Its last line on stderr: {}".format(last) if last else ""
    return traceback_line(stderr) or "The script {} {}.{}".format(script, how(code), end)


def how(code: int) -> str:
    """Return how a process with this exit code ended, as the rest of a sentence about it."""
    return "was killed by {}".format(_signal(-code)) if code < 0 else "ended with exit code {}".format(code)


def traceback_line(text: str) -> Optional[str]:
    """Return the line of the last traceback in a text that names the exception, None when there is no traceback."""
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines) if line.rstrip() in (_HEAD, _GROUP_HEAD)]
    if not heads:
        return next((line[:CHARACTERS] for line in reversed(lines) if _BARE.match(line)), None)
    margin = "" if lines[heads[-1]].startswith(_HEAD) else _GROUP_MARGIN
    for line in lines[heads[-1] + 1 :]:
        named = line[len(margin) :]
        if line.startswith(margin) and named.strip() and not named.startswith((" ", "\t")):  # frames are indented
            return named[:CHARACTERS]
    return None


def last_line(text: str) -> str:
    """Return the last line of a text that is not blank, "" when there is none."""
    return next((line.strip()[:CHARACTERS] for line in reversed(text.splitlines()) if line.strip()), "")


def tail(path: str, *, start: int) -> str:
    """Return the end of what was written to a file after byte `start`; "" if it cannot be read."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = start if start <= size else 0  # it was truncated meanwhile: all of it is new
            file.seek(max(begin, size - _TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def cause(error: BaseException) -> str:
    """Return the text of an error as a part of a sentence."""
    return " ".join(str(error).split()).rstrip(".")[:CHARACTERS] or type(error).__name__


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal {}".format(number)
