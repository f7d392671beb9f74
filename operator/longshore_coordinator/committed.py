"""Locations of the rows of each committed mini-batch, read in one pass over the ledger: 44 bytes per mini-batch."""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from longshore_protocol.segments import DIGEST_BYTES, decode_digests

# segment (from 1; 0: not committed), header (from 1; 0: none), rows, offset, length, digest
_LOCATION = struct.Struct(f"<IIQQQ{DIGEST_BYTES}s")
_NO_DIGEST = bytes(DIGEST_BYTES)
_UNNUMBERED = -1
_UNKNOWN = -1


class Piece(NamedTuple):
    """The rows of one committed mini-batch. Offset and length are bytes in the segment."""

    mini_batch: int
    segment: str  # name in the run folder's store
    offset: int
    length: int
    rows: int
    header: str  # line of column names; written to the output only if it ends with a newline; "" for none
    segment_bytes: int = _UNKNOWN  # of the whole segment; negative if the ledger does not record it
    digest: bytes = b""  # of the rows; empty if the ledger does not record it


class Committed:
    """All committed rows in mini-batch order; iterable any number of times."""

    def __init__(self) -> None:
        self._locations = bytearray()
        self._count = 0
        self._segments = _Segments()
        self._headers: list[str] = [""]
        self._header_numbers = {"": 0}

    @staticmethod
    def of(records: Iterable[dict[str, Any]]) -> Committed:
        """Read the valid records of a ledger; the first completion of a mini-batch counts.

        A superseded coordinator may have accepted a second one, later in the ledger. Raises ValueError for a record
        whose digests do not match its completions.
        """
        committed = Committed()
        for record in records:
            if "done" in record:
                committed._add(record["done"])
        return committed

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Piece]:
        name = self._segments.name
        sizes = self._segments.bytes
        for number, location in enumerate(_LOCATION.iter_unpack(self._locations)):
            segment, header, rows, offset, length, digest = location
            if segment:
                known = b"" if digest == _NO_DIGEST else digest
                yield Piece(
                    number, name(segment), offset, length, rows, self._headers[header], sizes[segment - 1], known
                )

    def digest(self) -> str:
        """Return the SHA-256, in hex, over the locations and headers of all rows."""
        found = hashlib.sha256(self._locations)
        for part in (self._headers, *self._segments.identity()):
            found.update(repr(part).encode("utf-8", "surrogatepass"))
        return found.hexdigest()

    def _add(self, entry: dict[str, Any]) -> None:
        raws, headers = entry["mini_batches"], [self._header(each) for each in entry["headers"]]
        segment = self._segments.add(entry["segment"], entry.get("bytes", _UNKNOWN))
        digests = decode_digests(entry.get("digests", ""), count=len(raws))
        for (number, _, offset, length, rows, _, header, *_), digest in zip(raws, digests, strict=True):
            at = number * _LOCATION.size
            if at >= len(self._locations):
                self._locations.extend(bytes(at + _LOCATION.size - len(self._locations)))
            elif _LOCATION.unpack_from(self._locations, at)[0]:
                continue
            self._count += 1
            which = headers[header] if header >= 0 else 0
            _LOCATION.pack_into(self._locations, at, segment, which, rows, offset, length, digest)

    def _header(self, text: str) -> int:
        if text not in self._header_numbers:
            self._header_numbers[text] = len(self._headers)
            self._headers.append(text)
        return self._header_numbers[text]


class _Segments:
    """Names and sizes of segments. A name is stored as agent and number, because there may be one per mini-batch."""

    def __init__(self) -> None:
        self.bytes = array("q")
        self._agents: list[str] = []
        self._agent_numbers: dict[str, int] = {}
        self._agent = array("I")
        self._number = array("q")

    def add(self, name: str, size: int) -> int:
        """Add a segment; return its number, from 1."""
        agent, _, digits = name.rpartition("-")
        number = int(digits) if digits.isascii() and digits.isdigit() else _UNNUMBERED
        if name != f"{agent}-{number:06d}":
            agent, number = name, _UNNUMBERED
        if agent not in self._agent_numbers:
            self._agent_numbers[agent] = len(self._agents)
            self._agents.append(agent)
        self.bytes.append(size)
        self._agent.append(self._agent_numbers[agent])
        self._number.append(number)
        return len(self.bytes)

    def name(self, segment: int) -> str:
        agent, number = self._agents[self._agent[segment - 1]], self._number[segment - 1]
        return agent if number == _UNNUMBERED else f"{agent}-{number:06d}"

    def identity(self) -> tuple[Any, ...]:
        return self._agents, self._agent.tobytes(), self._number.tobytes()
