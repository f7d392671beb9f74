"""Text objects that grow line by line in stores without append."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from longshore_storage.store import Store


class Lines:
    """One text object that every `add` rewrites as a whole, including lines of earlier writers.

    Args:
        store: The store of the object.
        name: The object's name.
        limit: The most lines to keep; the oldest are dropped.
        header: The first line, which is never dropped; "" for none.
    """

    def __init__(self, store: Store, name: str, *, limit: int, header: str = "") -> None:
        self.name = name
        self._store = store
        self._limit = limit
        self._header = header
        self._lines: deque[bytes] | None = None  # None: lines of earlier writers are not read yet

    def add(self, lines: Iterable[bytes]) -> None:
        """Add lines, each ending with a newline. Blocking; raises OSError."""
        if self._lines is None:
            self._lines = deque(self._written(), maxlen=self._limit)
        self._lines.extend(lines)
        self._store.put(self.name, self._head() + b"".join(self._lines))

    def _head(self) -> bytes:
        return f"{self._header}\n".encode() if self._header else b""

    def _written(self) -> list[bytes]:
        try:
            data = self._store.get(self.name)
        except FileNotFoundError:
            return []
        return data.removeprefix(self._head()).splitlines(keepends=True)
