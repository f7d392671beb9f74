"""Errors of our own code: logged with their tracebacks, kept in the run's folder, named by a verdict."""

from __future__ import annotations

import logging
import traceback

from longshore_protocol.text import MESSAGE, printable
from longshore_storage.store import Store

FILE = "logs/sys/internal_error.txt"
_MOST = 20  # tracebacks that are kept: one bug may come back with every call
_LONGEST = 100_000  # characters of one

_log = logging.getLogger("longshore.coordinator")


class InternalErrors:
    """The errors of our own code in one run; `store` is the run's folder."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._texts: list[str] = []

    def note(self, error: BaseException) -> str:
        """Log an error with its traceback and keep it for `write`; return a sentence that names it and the file."""
        named = printable(f"{type(error).__name__}: {error}", MESSAGE // 2)
        trace = printable("".join(traceback.format_exception(error)), _LONGEST, lines=True)
        _log.error("an error of Longshore itself: %s\n%s", named, trace)  # it may quote names that are no UTF-8
        if len(self._texts) < _MOST:
            self._texts.append(trace)
        return f"an error of Longshore itself: {named}; its traceback is in {self._store.uri}/{FILE}"

    def write(self) -> None:
        """Write the tracebacks into the run's folder. Blocks; a store that refuses them has them in the log only."""
        if self._texts:
            try:
                self._store.put(FILE, "\n".join(self._texts).encode())
            except OSError as error:
                _log.warning("%s cannot be written: %s", FILE, error)
