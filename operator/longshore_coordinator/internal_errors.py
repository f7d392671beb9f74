"""Unexpected exceptions in Longshore's code: logged, written to the run folder and summarized for a verdict."""

from __future__ import annotations

import logging
import traceback

from longshore_protocol.text import MESSAGE, printable
from longshore_storage.store import Store

FILE = "logs/sys/internal_error.txt"
_MAX_TRACEBACKS = 20  # one bug may recur with every call
_MAX_CHARACTERS = 100_000  # per traceback

_log = logging.getLogger("longshore.coordinator")


class InternalErrors:
    """The internal errors of one run; `store` is its run folder."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._texts: list[str] = []

    def note(self, error: BaseException) -> str:
        """Log an error and keep its traceback for `write`; return a sentence with the error and the file's location."""
        named = printable(f"{type(error).__name__}: {error}", MESSAGE // 2)
        trace = printable("".join(traceback.format_exception(error)), _MAX_CHARACTERS, lines=True)
        _log.error("internal error: %s\n%s", named, trace)  # not exc_info: file names in it may not be UTF-8
        if len(self._texts) < _MAX_TRACEBACKS:
            self._texts.append(trace)
        return f"internal error: {named}; its traceback is in {self._store.uri}/{FILE}"

    def write(self) -> None:
        """Write the tracebacks to the run folder. Blocks; if the store fails, log a warning instead."""
        if self._texts:
            try:
                self._store.put(FILE, "\n".join(self._texts).encode())
            except OSError as error:
                _log.warning('cannot write "%s" to the run folder: %s', FILE, error)
