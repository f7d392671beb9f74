"""The slices of a plan as JSON, compressed in memory because there may be millions."""

from __future__ import annotations

import zlib
from functools import lru_cache

_BLOCK = 128  # slices that are compressed together: a compromise between access time and compression
_CACHED = 64  # decompressed blocks: grants are consecutive, while retries may be of any block


class Payloads:
    """A list of slices, which must not contain newlines."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._rest: list[bytes] = []  # the slices of the last, incomplete block
        self._block = lru_cache(maxsize=_CACHED)(self._read)

    def __len__(self) -> int:
        return len(self._blocks) * _BLOCK + len(self._rest)

    def __getitem__(self, number: int) -> bytes:
        block, index = divmod(number, _BLOCK)
        return self._rest[index] if block == len(self._blocks) else self._block(block)[index]

    def append(self, payload: bytes) -> None:
        """Append a slice."""
        self._rest.append(payload)
        if len(self._rest) == _BLOCK:
            self._blocks.append(zlib.compress(b"\n".join(self._rest), 1))
            self._rest = []

    def _read(self, block: int) -> list[bytes]:
        return zlib.decompress(self._blocks[block]).split(b"\n")
