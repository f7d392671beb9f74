"""Termination messages: what a container leaves behind for the operator, in the few bytes that a kubelet keeps."""

from __future__ import annotations

import os
import sys

LOG = "/dev/termination-log"  # which a kubelet reads
LIMIT = 4096  # bytes that it keeps


def leave(path: str | None, text: str) -> None:
    """Write a termination message to a file, if one is given. That it cannot be written is reported on stderr."""
    if path is not None:
        try:
            with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
        except OSError as error:
            sys.stderr.write(f"longshore: no termination message in {path}: {error}\n")


def leave_in_log(text: str) -> None:
    """Write a termination message where a kubelet reads it, if there is one."""
    leave(LOG if os.path.exists(LOG) else None, text)


def shortened(text: str, length: int) -> str:
    """Return a text of at most that many characters, or one more: a longer one loses its middle."""
    half = length // 2
    return text if len(text) <= length else text[:half] + "…" + text[len(text) - half :]


def cut(text: str) -> str:
    """Return the beginning of a text that fits into a termination message."""
    return text.encode("utf-8", "surrogateescape")[: LIMIT - 1].decode("utf-8", "ignore")
