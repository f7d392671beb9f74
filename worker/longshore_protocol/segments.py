"""Digests of the rows in a segment. The agent computes them, the ledger stores them, assembly verifies them.

Each mini-batch's rows have their own digest, because assembly reads ranges of segments in another order and verifies
exactly the bytes that it writes.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Iterable, List

DIGEST_BYTES = 12
NO_VALUE = {b"longshore": b"no value"}  # metadata of a Parquet column whose rows in a mini-batch are all null
_ENCODED = 16  # characters of base64, without padding


def digest_of(rows: bytes) -> bytes:
    """Return the digest of one mini-batch's rows: BLAKE2b with DIGEST_BYTES bytes."""
    return hashlib.blake2b(rows, digest_size=DIGEST_BYTES).digest()


def begin_digest() -> hashlib.blake2b:
    """Return a hash object that computes `digest_of` incrementally."""
    return hashlib.blake2b(digest_size=DIGEST_BYTES)


def encode_digests(digests: Iterable[bytes]) -> str:
    """Encode digests as one text for a report or a ledger record; return it."""
    return base64.b64encode(b"".join(digests)).decode("ascii")


def decode_digests(text: str, *, count: int) -> List[bytes]:
    """Decode the text of `encode_digests`; return `count` digests.

    The text of an agent of an earlier version is "" and gives `count` empty digests. Raises ValueError for another
    number of digests.
    """
    if not text:
        return [b""] * count
    data = base64.b64decode(text, validate=True)
    if len(data) != count * DIGEST_BYTES or len(text) != count * _ENCODED:
        raise ValueError("expected {} digests, but the text has {} bytes".format(count, len(data)))
    return [data[at : at + DIGEST_BYTES] for at in range(0, len(data), DIGEST_BYTES)]


def select_digests(text: str, indices: Iterable[int]) -> str:
    """Return the text with only the digests at these indices."""
    return "".join([text[_ENCODED * index : _ENCODED * (index + 1)] for index in indices])
