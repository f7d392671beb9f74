"""A blocking connection to the agent's unix socket."""

from __future__ import annotations

import os
import socket
import time
from typing import Any, List, Optional, Sequence, Tuple

from longshore_protocol.frames import Decoder, encode


class ConnectionLost(Exception):
    """The agent's end of the socket is closed."""


class Connection:
    """Frames to and from the agent."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._decoder = Decoder()
        self._received: List[Tuple[List[Any], bytes]] = []
        self._is_copy = False

    def fileno(self) -> int:
        """Return the socket's descriptor, for select()."""
        return self._socket.fileno()

    def send(self, header: Sequence[Any], body: bytes = b"") -> None:
        """Send one frame whole. Raises ConnectionLost."""
        try:
            self._socket.sendall(encode(header, body))
        except OSError as error:
            raise self._lost(str(error)) from error

    def receive(self) -> List[Any]:
        """Wait for the next message and return its header. Raises ConnectionLost."""
        while not self._received:
            self._received = self._read()
        return self._received.pop(0)[0]

    def receive_ready(self) -> List[Tuple[List[Any], bytes]]:
        """Return the frames received so far, or wait for the next ones. Raises ConnectionLost."""
        frames, self._received = self._received or self._read(), []
        return frames

    def has_received(self) -> bool:
        """Return whether messages have been received that select() does not report."""
        return bool(self._received)

    def _read(self) -> List[Tuple[List[Any], bytes]]:
        try:
            data = self._socket.recv(262144)
        except OSError as error:
            raise self._lost(str(error)) from error
        if not data:
            raise ConnectionLost("the agent closed the connection")
        return self._decoder.feed(data)

    def _lost(self, why: str) -> ConnectionLost:
        # Without cleanup: event loops and exit handlers of a forked copy would interfere with those of the process.
        if self._is_copy:
            os._exit(1)
        return ConnectionLost(why)

    def give_up(self) -> None:
        """In a forked copy of the process: close, and end the copy where it would use the connection."""
        self._is_copy = True
        self.close()

    def close(self) -> None:
        """Close the socket; closing twice is no error."""
        self._socket.close()


def connect(path: str, patience: float) -> Optional[Connection]:
    """Connect to the agent's socket and return the connection; None if no agent listens within `patience` seconds."""
    give_up = time.monotonic() + patience
    pause = 0.002
    while True:
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connecting.connect(path)
            return Connection(connecting)
        except OSError:
            connecting.close()
            if time.monotonic() > give_up:
                return None
        time.sleep(pause)
        pause = min(pause * 2, 0.5)
