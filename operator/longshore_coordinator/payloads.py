"""The slices of a plan, as the JSON they travel in: compressed, because there may be a million and all are kept."""

from __future__ import annotations

import zlib
from functools import lru_cache

_BLOCK = 128  # slices that are compressed together: few enough to be read quickly, enough to have much in common
_CACHED = 64  # blocks that are kept as they are read: agents are granted neighbours, and retries lie anywhere


class Payloads:
    """A list of slices. None of them may hold a newline."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._rest: list[bytes] = []  # less than a block
        self._block = lru_cache(maxsize=_CACHED)(self._read)

    def __len__(self) -> int:
        return len(self._blocks) * _BLOCK + len(self._rest)

    def __getitem__(self, number: int) -> bytes:
        block, place = divmod(number, _BLOCK)
        return self._rest[place] if block == len(self._blocks) else self._block(block)[place]

    def append(self, payload: bytes) -> None:
        """Add a slice."""
        self._rest.append(payload)
        if len(self._rest) == _BLOCK:
            self._blocks.append(zlib.compress(b"\n".join(self._rest), 1))
            self._rest = []

    def _read(self, block: int) -> list[bytes]:
        return zlib.decompress(self._blocks[block]).split(b"\n")
