"""Mini-batches of a plan, and their encoding."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Slice(NamedTuple):
    """The content of a mini-batch. A tuple, because there may be millions."""

    input: int  # index into Job.inputs
    items: int | None  # number of files or rows; None if unknown before reading
    payload: bytes  # the JSON of wire.Grant.slice, in ASCII


class Piece(NamedTuple):
    """A part of one tabular file that is at most as large as a mini-batch."""

    items: int | None  # number of rows; None if unknown before reading
    size: int  # in the unit of the mini-batch size
    piece: dict[str, Any]


def coalesced(index: int, pieces: Iterator[Piece], size: int) -> Iterator[Slice]:
    """Yield mini-batches of consecutive pieces, each with as many as fit into `size`."""
    packed: list[Piece] = []
    weight = 0
    for each in pieces:
        if packed and weight + each.size > size:
            yield _pack(index, packed)
            packed, weight = [], 0
        packed.append(each)
        weight += each.size
    if packed:
        yield _pack(index, packed)


def _pack(index: int, pieces: list[Piece]) -> Slice:
    if len(pieces) == 1:
        return Slice(index, pieces[0].items, encode(pieces[0].piece))
    counts = [each.items for each in pieces]
    items = None if None in counts else sum(each or 0 for each in counts)
    return Slice(index, items, encode({"pieces": [each.piece for each in pieces]}))


def encode(slice: Any) -> bytes:
    """Return the JSON of a slice in ASCII, in which file names that are not UTF-8 are escaped without loss."""
    return _encode(slice).encode("ascii")
