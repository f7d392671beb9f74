"""Write a container's termination message, from which the operator reads a result. The kubelet keeps 4096 bytes."""

from __future__ import annotations

import os
import sys

LOG = "/dev/termination-log"  # read by the kubelet
LIMIT = 4096  # bytes that the kubelet keeps


def leave(path: str | None, text: str) -> None:
    """Write a termination message to a file, if one is given. Errors are printed on stderr."""
    if path is not None:
        try:
            with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
        except OSError as error:
            sys.stderr.write(f'longshore: cannot write the termination message "{path}": {error}\n')


def leave_in_log(text: str) -> None:
    """Write a termination message to the container's termination log, if it exists."""
    leave(LOG if os.path.exists(LOG) else None, text)


def shortened(text: str, length: int) -> str:
    """Shorten a text to `length` characters, or one more, by removing its middle; return it."""
    half = length // 2
    return text if len(text) <= length else text[:half] + "…" + text[len(text) - half :]


def cut(text: str) -> str:
    """Return the beginning of a text, as much as fits into a termination message."""
    return text.encode("utf-8", "surrogateescape")[: LIMIT - 1].decode("utf-8", "ignore")
