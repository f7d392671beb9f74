"""The unix socket where host and children connect: frames in, frames out, no decisions."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from longshore_agent.peer_messages import FROM_CHILD, FROM_HOST, FROM_UNKNOWN, malformed
from longshore_protocol import messages
from longshore_protocol.frames import MAX_BODY, Decoder, FrameError, encode
from longshore_protocol.text import printable

_REST = 0.001  # seconds
_LONGEST_DEVICE = 100  # characters
_SMALL = 1 << 20  # bytes of a header: what a host says of a process that died, or who it is itself
_LARGE = 1 << 24  # bytes of a header from a child, texts of a failure included


class Handler(Protocol):
    """Who takes the messages; `Worker` does."""

    def host_connected(self, peer: Peer) -> None:
        """A host introduced itself."""

    def child_connected(self, peer: Peer, process: int) -> bool:
        """A child introduced itself; False turns it away."""

    def host_said(self, message: list[Any]) -> None:
        """The host sent a message."""

    def child_said(self, process: int, message: list[Any], body: bytes) -> None:
        """A child sent a message."""

    def child_malformed(self, process: int, why: str) -> None:
        """A child sent what is no message, or none that it may send; nothing of it was handed over."""

    def is_busy(self, process: int) -> bool:
        """Tell whether a child has so much to do that its next messages can wait a moment."""

    def settle(self) -> None:
        """Everything received so far is handed over: act on it."""

    def host_gone(self, peer: Peer) -> None:
        """The host's connection is closed."""

    def child_gone(self, peer: Peer, process: int) -> None:
        """A child's connection is closed."""


class Peer(asyncio.Protocol):
    """One connection. Who it is follows from its first message."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._decoder = Decoder(_SMALL, 0)  # whoever it is, it need not be held in memory
        self._transport: asyncio.Transport | None = None
        self._process: int | None = None
        self._is_host = False
        self.device = ""  # of a child, as it says itself

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # no event loop but asyncio's own derives from it

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._decoder.feed(data)
        except FrameError as error:
            self._refuse(str(error))
        else:
            for message, body in frames:
                if self._is_closing():  # by what an earlier message said: nothing behind that is believed
                    break
                self._receive(message, body)
        self._handler.settle()
        if self._process is not None and self._handler.is_busy(self._process):
            self._rest()

    def _receive(self, message: list[Any], body: bytes) -> None:
        rules = FROM_CHILD if self._process is not None else FROM_HOST if self._is_host else FROM_UNKNOWN
        why = malformed(rules, message, body)
        if why is not None:
            self._refuse(why)
        elif self._process is not None:
            self._handler.child_said(self._process, message, body)
        elif self._is_host:
            self._handler.host_said(message)
        else:
            self._introduce(message)

    def _refuse(self, why: str) -> None:
        if self._process is not None:
            self._handler.child_malformed(self._process, why)
        elif self._is_host:
            sys.stderr.write(f"longshore-agent: the host sent a malformed message and is disconnected: {why}\n")
        self.close()

    def _is_closing(self) -> bool:
        return self._transport is not None and self._transport.is_closing()

    def _rest(self) -> None:
        """Let more messages gather in the socket before the next read: each read costs as much as several messages."""
        assert self._transport is not None, "it just received"
        if not self._transport.is_closing():
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(_REST, self._go_on)

    def _go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._process is not None:
            self._handler.child_gone(self, self._process)
        elif self._is_host:
            self._handler.host_gone(self)
        self._handler.settle()

    def send(self, header: Sequence[Any], body: bytes = b"") -> None:
        """Send a message; one sent to a closed connection is lost, and the closing is told to the handler."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(header, body))

    @property
    def pid(self) -> int:
        """The process at the other end, as this machine knows it; 0 when it is out of sight.

        Asked of the kernel: in a pod, what a process of another container takes for its pid is another's here.
        """
        connected = None if self._transport is None else self._transport.get_extra_info("socket")
        if connected is None:
            return 0
        credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _introduce(self, message: list[Any]) -> None:
        if message[0] == messages.HELLO_HOST:
            self._is_host = True
            self._handler.host_connected(self)
        else:
            self.device = printable(message[3], _LONGEST_DEVICE)
            if self._handler.child_connected(self, message[1]):
                self._process = message[1]
                self._decoder.header, self._decoder.body = _LARGE, MAX_BODY
            else:
                self.close()


def bind(path: str) -> socket.socket:
    """Listen on a unix socket at `path`, in the place of one that an earlier agent left.

    Only the group may connect besides the owner: the user's container shares a group with the agent's.
    """
    if os.path.exists(path):
        os.unlink(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    earlier = os.umask(0o007)
    try:
        listening.bind(path)
    finally:
        os.umask(earlier)
    listening.listen(256)
    return listening


async def serve(listening: socket.socket, make_peer: Callable[[], Peer]) -> asyncio.AbstractServer:
    """Accept connections on the bound socket."""
    return await asyncio.get_running_loop().create_unix_server(make_peer, sock=listening)
