"""Requests of a script to its agent, which has the credentials of stores and coordinates the step.

Each request has a connection of its own, so any process and thread of the script can send one.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any, Dict

from longshore_protocol import messages
from longshore_protocol.frames import Decoder, encode
from longshore_run import context

_PATIENCE = 120.0  # seconds to wait for an agent that is starting; the same as a host waits
_LONGEST_PAUSE = 0.5  # seconds between two attempts to connect


class RequestRefused(Exception):
    """The agent refuses a request; `category` is one of `messages.REFUSALS`."""

    def __init__(self, category: str, message: str) -> None:
        super().__init__(message)
        self.category = category


def request(operation: str, **parameters: Any) -> Any:
    """Send a request to the agent of this process's step; wait for the answer and return it.

    Raises:
        RequestRefused: The agent refuses the request, or none is there to answer it.
    """
    step = context.current()
    if step is None or not step.socket:
        raise RequestRefused(messages.NOT_ALLOWED, "This process is not part of a step that answers requests.")
    message: Dict[str, Any] = {name: value for name, value in parameters.items() if value is not None}
    process = os.environ.get(context.PROCESS, "")
    with _connected(step.socket) as connection:
        try:
            connection.sendall(encode([messages.REQUEST, process, operation, message]))
            decoder = Decoder()
            while True:
                received = connection.recv(1 << 18)
                frames = decoder.feed(received)
                if frames:
                    break
                if not received:
                    raise RequestRefused(messages.FAILED_REQUEST, _ENDED)
        except OSError as error:
            raise RequestRefused(messages.FAILED_REQUEST, _ENDED) from error
    answer = frames[0][0]
    if answer[0] == messages.REFUSED:
        raise RequestRefused(answer[1], answer[2])
    return answer[1]


_ENDED = "The agent ended before it answered the request; the step is ending, or its worker starts again."


def _connected(path: str) -> socket.socket:
    give_up, pause = time.monotonic() + _PATIENCE, 0.01
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
        except OSError as error:
            connection.close()
            if time.monotonic() > give_up:
                raise RequestRefused(messages.FAILED_REQUEST, _ENDED) from error
        else:
            return connection
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def is_missing(error: RequestRefused) -> bool:
    """Return whether a request is refused because what it names does not exist."""
    return error.category == messages.NOT_FOUND
