"""Values that reports are made of, and formatting of times and durations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from longshore_protocol.wire import Completion, Failure

Names = Callable[[int], list[str]]  # mini-batch -> the names of its first items
Describe = Callable[[int], Mapping[str, Any]]  # mini-batch -> {"input": its name, "items": its slice}, fit for JSON


class Done(NamedTuple):
    """A committed mini-batch."""

    worker: str
    completion: Completion
    tries: int  # including this one


class Tried(NamedTuple):
    """An attempt that failed."""

    worker: str
    failure: Failure
    terminal: bool  # no attempt follows
    picked: int = 1  # 1 for the first failed attempt of its mini-batch
    kind: int = 0  # number of the kind of error, see `kinds`


@dataclass(frozen=True)
class Outcome:
    """The result of a run. Times are Unix seconds."""

    name: str
    run_id: str
    succeeded: bool
    message: str  # one sentence with the cause
    started: float
    finished: float
    mini_batches: int | None  # in total; None if not all inputs were listed
    mini_batches_succeeded: int
    mini_batches_failed: int
    mini_batches_retried: int
    items: int  # in finished mini-batches
    items_succeeded: int
    items_failed: int
    output: str = ""  # URI of the output file or folder
    rows: int = 0
    bytes: int = 0
    first_error: Tried | None = None  # its mini_batch is negative if init() failed
    first_items: tuple[str, ...] = ()  # names of its mini-batch's first items
    with_failures: bool = False  # whether it succeeded although too many items failed
    warning: str = ""  # one sentence about an irregularity that is not a failure


def duration(seconds: float) -> str:
    """Return seconds as h:mm:ss, fractions dropped."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def utc(instant: float) -> str:
    """Return Unix seconds as "2026-01-31 23:59:59" in UTC."""
    return _second(int(instant))


@lru_cache(maxsize=4096)  # short mini-batches share their seconds by the hundred
def _second(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M:%S")


def encoded(text: str) -> bytes:
    r"""Return text in UTF-8; lone surrogates, from file names that are not UTF-8, become \udcxx, as in JSON."""
    return text.encode("utf-8", "backslashreplace")
