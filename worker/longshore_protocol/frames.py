"""Frames on the Unix socket between agent, host and child processes.

A frame is two big-endian 32-bit lengths, a JSON header and a body of raw bytes:

    | header length | body length | header (JSON array) | body |

The header's first element names the message (see `messages`); bodies carry rows, which are never escaped or parsed.
"""

from __future__ import annotations

import json
import struct
from typing import Any, List, Sequence, Tuple

_LENGTHS = struct.Struct(">II")
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_decode = json.JSONDecoder().decode
MAX_HEADER = 64 * 1024 * 1024  # bytes; a longer header is invalid
MAX_BODY = 512 * 1024 * 1024  # bytes; the receiver briefly needs twice the memory


class FrameError(Exception):
    """The bytes on the socket are not frames."""


def encode(header: Sequence[Any], body: bytes = b"") -> bytes:
    """Encode one frame; return its bytes. Raises TypeError for a header that is not JSON-serializable."""
    head = _encode(header).encode()
    return _LENGTHS.pack(len(head), len(body)) + head + body


def decode(frame: bytes) -> Tuple[List[Any], bytes]:
    """Decode exactly one frame; return header and body. Raises FrameError."""
    found = Decoder().feed(frame)
    if len(found) != 1 or len(frame) != 8 + sum(_LENGTHS.unpack_from(frame)):
        raise FrameError("{} bytes that are not one frame".format(len(frame)))
    return found[0]


class Decoder:
    """An incremental decoder of frames in a byte stream.

    `header` and `body` are the size limits of each part in bytes; they may be changed between calls of `feed`.
    """

    def __init__(self, header: int = MAX_HEADER, body: int = MAX_BODY) -> None:
        self.header, self.body = header, body
        self._buffer = bytearray()

    def feed(self, data: bytes) -> List[Tuple[List[Any], bytes]]:
        """Add received bytes; return (header, body) of each complete frame.

        Raises FrameError for invalid bytes.
        """
        buffer = self._buffer
        buffer += data
        frames: List[Tuple[List[Any], bytes]] = []
        at = 0
        end = len(buffer)
        while end - at >= 8:
            head_length, body_length = _LENGTHS.unpack_from(buffer, at)
            if head_length > self.header:
                raise FrameError("a frame announces a header of {} bytes".format(head_length))
            if body_length > self.body:
                raise FrameError("a frame announces a body of {} bytes".format(body_length))
            body_at = at + 8 + head_length
            if end < body_at + body_length:
                break
            try:
                header = _decode(buffer[at + 8 : body_at].decode())
            except (ValueError, RecursionError) as error:
                raise FrameError("a frame's header is not JSON: {}".format(error)) from error
            if type(header) is not list or not header:
                raise FrameError("a frame's header is not a JSON array with an element")
            at = body_at + body_length
            frames.append((header, bytes(buffer[body_at:at])))
        if at:
            del buffer[:at]
        return frames
