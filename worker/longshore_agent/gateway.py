"""The Unix socket on which host and children connect: it decodes and encodes frames and makes no decisions."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from longshore_agent.peer_messages import FROM_CHILD, FROM_HOST, FROM_SCRIPT, FROM_UNKNOWN, malformed
from longshore_protocol import messages
from longshore_protocol.fields import Field
from longshore_protocol.frames import MAX_BODY, Decoder, FrameError, encode
from longshore_protocol.text import printable

_PAUSE = 0.001  # seconds without reading from a busy child
_LONGEST_DEVICE = 100  # characters
_SMALL = 1 << 20  # bytes of a header before identification, or from a host
_LARGE = 1 << 24  # bytes of a header from a child, including the texts of a failure


class Handler(Protocol):
    """Callbacks for connections and messages; implemented by `Worker`."""

    def host_connected(self, peer: Peer) -> None:
        """Handle the connection of a host."""

    def child_connected(self, peer: Peer, process: int) -> bool:
        """Handle the connection of a child; return False to reject it."""

    def host_message(self, message: list[Any]) -> None:
        """Handle a message of the host."""

    def child_message(self, process: int, message: list[Any], body: bytes) -> None:
        """Handle a message of a child."""

    def child_malformed(self, process: int, why: str) -> None:
        """Handle an invalid message of a child; `why` states the fault. The message itself is dropped."""

    def is_busy(self, process: int) -> bool:
        """Return whether a child has so many mini-batches that reading its messages can wait a moment."""

    def reconcile(self) -> None:
        """Act on the messages passed so far; called after each read."""

    def host_gone(self, peer: Peer) -> None:
        """Handle the end of the host's connection."""

    def child_gone(self, peer: Peer, process: int) -> None:
        """Handle the end of a child's connection."""

    def requested(self, peer: Peer, process: str, operation: str, values: Mapping[str, Any]) -> None:
        """Handle the one request of a script's connection; `process` is the name that the script reports."""

    def requester_gone(self, peer: Peer) -> None:
        """Handle the end of a connection that carried a request."""


class Peer(asyncio.Protocol):
    """One connection; its first message identifies it as a host or a child, or is the request of a script."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._decoder = Decoder(_SMALL, 0)  # unidentified peers may not fill the memory
        self._transport: asyncio.Transport | None = None
        self._process: int | None = None
        self._is_host = False
        self._is_requester = False
        self._reported_pid = 0
        self.device = ""  # of a child, as it reports it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # only asyncio's own event loops derive from it

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._decoder.feed(data)
        except FrameError as error:
            self._refuse(str(error))
        else:
            for message, body in frames:
                if self._is_closing():  # an earlier message was invalid: ignore the rest
                    break
                self._receive(message, body)
        self._handler.reconcile()
        if self._process is not None and self._handler.is_busy(self._process):
            self._pause()

    def _receive(self, message: list[Any], body: bytes) -> None:
        why = malformed(self._rules(), message, body)
        if why is not None:
            self._refuse(why)
        elif self._process is not None:
            self._handler.child_message(self._process, message, body)
        elif self._is_host:
            self._handler.host_message(message)
        else:
            self._identify(message)

    def _rules(self) -> Mapping[str, Sequence[Field]]:
        if self._process is not None:
            return FROM_CHILD
        return FROM_HOST if self._is_host else FROM_SCRIPT if self._is_requester else FROM_UNKNOWN

    def _refuse(self, why: str) -> None:
        if self._process is not None:
            self._handler.child_malformed(self._process, why)
        elif self._is_host:
            sys.stderr.write(f"longshore-agent: the host sent a malformed message and is disconnected: {why}\n")
        self.close()

    def _is_closing(self) -> bool:
        return self._transport is not None and self._transport.is_closing()

    def _pause(self) -> None:
        """Pause reading so that messages accumulate: each read costs as much as several messages."""
        assert self._transport is not None, "data was just received"
        if not self._transport.is_closing():
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(_PAUSE, self._resume)

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        if self._process is not None:
            self._handler.child_gone(self, self._process)
        elif self._is_host:
            self._handler.host_gone(self)
        elif self._is_requester:
            self._handler.requester_gone(self)
        self._handler.reconcile()

    def send(self, header: Sequence[Any], body: bytes = b"") -> None:
        """Send a message. On a closed connection it is dropped; the handler learns of the end separately."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(header, body))

    @property
    def pid(self) -> int:
        """The pid of the peer in this pid namespace; 0 if it is not visible here.

        On Linux the kernel provides it, because pids that processes of other containers report belong to their own
        namespaces. macOS has no namespaces, so there it is the pid that the peer reports.
        """
        if not hasattr(socket, "SO_PEERCRED"):
            return self._reported_pid
        connected = None if self._transport is None else self._transport.get_extra_info("socket")
        if connected is None:
            return 0
        credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _identify(self, message: list[Any]) -> None:
        if message[0] == messages.REQUEST:
            self._is_requester = True
            self._handler.requested(self, *message[1:])
            return
        self._reported_pid = message[2]
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
    """Listen on a Unix socket at `path`, replacing one that an earlier agent left; return the socket.

    Only owner and group may connect: the user's container shares a group with the agent's.
    """
    if os.path.lexists(path):
        os.unlink(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    earlier = os.umask(0o007)  # chmod would follow a link that a script put there meanwhile
    try:
        listening.bind(path)
    finally:
        os.umask(earlier)
    listening.listen(256)
    return listening


async def serve(listening: socket.socket, make_peer: Callable[[], Peer]) -> asyncio.AbstractServer:
    """Accept connections on the bound socket; return the server."""
    return await asyncio.get_running_loop().create_unix_server(make_peer, sock=listening)
