"""What those who write and read the rows in a segment agree on, above all digests.

The agent computes digests, the ledger keeps them, assembly verifies them.

Each mini-batch's rows have a digest of their own, not the segment as a whole: assembly reads segments by ranges, in an
order that is not theirs, and verifies the very bytes that it writes.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Iterable, List

DIGEST_BYTES = 12
NO_VALUE = {b"longshore": b"no value"}  # metadata of a Parquet column whose rows in a mini-batch are all null
_ENCODED = 16  # characters of base64, without padding


def digest_of(rows: bytes) -> bytes:
    """Return the digest of one mini-batch's rows: BLAKE2b of DIGEST_BYTES."""
    return hashlib.blake2b(rows, digest_size=DIGEST_BYTES).digest()


def begin_digest() -> hashlib.blake2b:
    """Return a hash object that comes to the same as `digest_of`, fed in parts."""
    return hashlib.blake2b(digest_size=DIGEST_BYTES)


def encode_digests(digests: Iterable[bytes]) -> str:
    """Return digests as one text for a report or a ledger record."""
    return base64.b64encode(b"".join(digests)).decode("ascii")


def decode_digests(text: str, *, count: int) -> List[bytes]:
    """Read what `encode_digests` wrote; no digests ("") are `count` empty ones, as of an earlier version's agent.

    Raises ValueError for a text that does not hold `count` digests.
    """
    if not text:
        return [b""] * count
    data = base64.b64decode(text, validate=True)
    if len(data) != count * DIGEST_BYTES or len(text) != count * _ENCODED:
        raise ValueError("{} digests were expected, and there are {} bytes".format(count, len(data)))
    return [data[at : at + DIGEST_BYTES] for at in range(0, len(data), DIGEST_BYTES)]


def select_digests(text: str, indices: Iterable[int]) -> str:
    """Return the text with the digests at these indices only."""
    return "".join([text[_ENCODED * index : _ENCODED * (index + 1)] for index in indices])
