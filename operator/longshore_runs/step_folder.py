"""The run folder of one step, on this machine or in a store: failures, logs, and the format of its rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from longshore_protocol import script_folder
from longshore_storage.store import Store, open_store

_PART = 1 << 20  # bytes that are read at once
_LONGEST = 1 << 16  # bytes of a line; longer ones are cut into several
_USER = ("logs/user/stdout/", "logs/user/stderr/")
_TASK = tuple(f"{script_folder.LOGS}/{name}" for name in (script_folder.STDOUT, script_folder.STDERR))
_SECTION = re.compile(r"mini-batch (\d+), attempt \d+: ")
_WORK = "logs/sys/node/"
_ERRORS = "logs/user/error/"
_LEDGER = "state/ledger"


@dataclass(frozen=True)
class Failure:
    """A mini-batch with failed items.

    Args:
        mini_batch: Its number.
        input: Name of its input.
        items: Its files, or positions of its rows.
        items_failed: Number of failed items; None if unknown.
        attempts: Number of attempts.
        category: Category of the last error, such as UserError or Timeout.
        message: The last error, in one line.
        worker: The worker of the last attempt.
        log: Name of the log with the traceback, in the step's run folder.
    """

    mini_batch: int
    input: str
    items: tuple[str, ...]
    items_failed: int | None
    attempts: int
    category: str
    message: str
    worker: str
    log: str


class Rows(NamedTuple):
    """Format of the rows in a step's output file."""

    format: str = "text"
    header: bool = False
    separator: str | None = None


class LogLine(NamedTuple):
    """A line of a log, without its line end."""

    source: str  # worker and process, such as "worker-0/process001"; "" for a script step
    text: str


class StepFolder:
    """The run folder of a step; every method raises OSError and the errors of `open_store`."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @cached_property
    def store(self) -> Store:
        """The folder's store."""
        return open_store(self.uri)

    def failures(self) -> Iterator[Failure]:
        """Yield the mini-batches with failed items by number; nothing until the step has finished."""
        for line in self._lines("failed.jsonl"):
            raw = json.loads(line)
            yield Failure(
                mini_batch=raw["miniBatch"],
                input=raw.get("input", ""),
                items=tuple(map(str, raw.get("items") or ())),
                items_failed=raw.get("itemsFailed"),
                attempts=raw.get("attempts", 0),
                category=raw.get("category", ""),
                message=raw.get("message", ""),
                worker=raw.get("worker", ""),
                log=raw.get("log", ""),
            )

    def rows(self) -> Rows:
        """Return the format of the output file, as the plan in the ledger has it."""
        for name in self.store.names(_LEDGER):
            for line in self._lines(name):
                settings = json.loads(line).get("plan", {}).get("settings")
                if settings:
                    header = settings.get("output header") or False
                    return Rows(settings.get("output format", "text"), header, settings.get("output separator"))
        return Rows()

    def mini_batch_log(self, number: int) -> Iterator[LogLine]:
        """Yield what the logs have about one mini-batch: its attempts, then the tracebacks of failed ones."""
        mark = re.compile(rf"mini-batch {number}, attempt ")
        for name in self.store.names("logs"):
            if name.startswith(_WORK):
                yield from (LogLine(_source(name), each) for each in self._lines(name) if mark.search(each))
        for name in self.store.names("logs"):
            if name.startswith(_ERRORS):
                yield from (LogLine(_source(name), each) for each in _sections(self._lines(name), number))

    def user_logs(self) -> list[str]:
        """Return the names of the logs with what scripts printed."""
        return [each for each in self.store.names("logs") if each.startswith(_USER) or each in _TASK]

    def follow(self, positions: dict[str, int]) -> Iterator[LogLine]:
        """Yield the complete lines that scripts printed since the last call with the same `positions`.

        Args:
            positions: Bytes of each log that were read; updated.
        """
        for name in self.user_logs():
            yield from self._new_lines(name, positions)

    def remainders(self, positions: dict[str, int]) -> Iterator[LogLine]:
        """Yield the last lines of logs that end without a line end, after `follow`."""
        for name in self.user_logs():
            rest = self._read(name, positions.get(name, 0))
            if rest:
                positions[name] = positions.get(name, 0) + len(rest)
                yield LogLine(_source(name), rest.decode(errors="replace"))

    def _new_lines(self, name: str, positions: dict[str, int]) -> Iterator[LogLine]:
        while part := self._read(name, positions.get(name, 0)):
            end = part.rfind(b"\n") + 1 or (len(part) if len(part) >= _LONGEST else 0)
            if not end:
                return
            positions[name] = positions.get(name, 0) + end
            for line in part[:end].decode(errors="replace").splitlines():
                yield LogLine(_source(name), line)

    def _read(self, name: str, start: int) -> bytes:
        with self.store.open(name) as file:
            file.seek(start)
            return file.read(_PART)

    def _lines(self, name: str) -> Iterator[str]:
        """Yield the lines of a text file; nothing if it does not exist."""
        try:
            file = self.store.open(name)
        except FileNotFoundError:
            return
        with file:
            for line in file:
                yield line.decode(errors="replace").rstrip("\n")


def _sections(lines: Iterator[str], number: int) -> Iterator[str]:
    """Yield the sections of a log of errors about one mini-batch."""
    is_wanted = False
    for line in lines:
        found = _SECTION.match(line)
        if found:
            is_wanted = int(found[1]) == number
        if is_wanted:
            yield line


def _source(name: str) -> str:
    """Return worker and process of a log: "worker-0/process001" for logs/user/stdout/worker-0/process001.stdout.txt."""
    *folders, file = name.split("/")
    return "" if name in _TASK else f"{folders[-1]}/{file.split('.')[0]}"


def read_json(store: Store, name: str) -> Any:
    """Return a JSON object, or None if it does not exist or is being replaced. Raises OSError."""
    try:
        return json.loads(store.get(name))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
