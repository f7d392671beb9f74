"""One mini-batch as the plan knows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Slice(NamedTuple):
    """What a mini-batch consists of. A tuple: there may be millions."""

    input: int  # index into Job.inputs
    items: int | None  # files or rows; None while only reading can tell
    payload: bytes  # the JSON of wire.Grant.slice, in ASCII


class Piece(NamedTuple):
    """A part of one tabular file that is no larger than a mini-batch."""

    items: int | None  # rows; None while only reading can tell
    size: int  # in the unit that mini-batches are measured in
    piece: dict[str, Any]


def coalesced(index: int, pieces: Iterator[Piece], size: int) -> Iterator[Slice]:
    """Yield mini-batches of as many pieces, one after the other, as fit into the size."""
    packed: list[Piece] = []
    weight = 0
    for each in pieces:
        if packed and weight + each.size > size:
            yield _packed(index, packed)
            packed, weight = [], 0
        packed.append(each)
        weight += each.size
    if packed:
        yield _packed(index, packed)


def _packed(index: int, pieces: list[Piece]) -> Slice:
    if len(pieces) == 1:
        return Slice(index, pieces[0].items, encode(pieces[0].piece))
    counts = [each.items for each in pieces]
    items = None if None in counts else sum(each or 0 for each in counts)
    return Slice(index, items, encode({"pieces": [each.piece for each in pieces]}))


def encode(slice: Any) -> bytes:
    """Return the JSON of a slice. File names that are no UTF-8 survive: they are escaped, as all but ASCII is."""
    return _encode(slice).encode("ascii")
