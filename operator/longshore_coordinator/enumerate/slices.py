"""One mini-batch as the plan knows it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Slice(NamedTuple):
    """What a mini-batch consists of. A tuple: there may be millions."""

    input: int  # index into Job.inputs
    items: int | None  # files or rows; None while only reading can tell
    payload: bytes  # the JSON of wire.Grant.slice, in ASCII


def encode(slice: Any) -> bytes:
    """Return the JSON of a slice. File names that are no UTF-8 survive: they are escaped, as all but ASCII is."""
    return _encode(slice).encode("ascii")
