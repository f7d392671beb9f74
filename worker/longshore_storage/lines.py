"""Text objects that grow by lines, in stores that cannot append."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from longshore_storage.store import Store


class Lines:
    """One text object; every `add` rewrites it whole, with what earlier writers of the same object left in it.

    Above `limit` lines the oldest are dropped, so that a run of weeks neither fills the store nor slows down. `header`
    is the first line and is never dropped; "" for none.
    """

    def __init__(self, store: Store, name: str, *, limit: int, header: str = "") -> None:
        self.name = name
        self._store = store
        self._limit = limit
        self._header = header
        self._lines: deque[bytes] | None = None  # None: what earlier writers left is not read yet

    def add(self, lines: Iterable[bytes]) -> None:
        """Add lines, each ended by a newline. Blocks; raises OSError."""
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
