"""Requests of scripts to their agent: for data by name, and for what is registered once the step succeeds.

Each connection carries one request and its answer. Requests come from processes that run user code, so operations
validate what they receive (`Parameters`).
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from longshore_protocol import messages
from longshore_protocol.text import MESSAGE, is_encodable, printable
from longshore_storage.errors import ShownError

MOST = 256  # unanswered requests of one worker; a further one is refused
_TEXT = 4096  # characters of a text in a request
_ITEMS = 10_000  # elements of a list in a request


class RequestError(ShownError):
    """A request that cannot be fulfilled; the message is one sentence, `category` one of `messages.REFUSALS`."""

    def __init__(self, text: str, category: str = messages.INVALID) -> None:
        super().__init__(text)
        self.category = category


class Parameters:
    """The parameters of a request, validated as they are read. All methods raise RequestError."""

    def __init__(self, operation: str, values: Mapping[str, Any]) -> None:
        self._operation = operation
        self._values = values

    def text(self, name: str, *, default: str | None = None) -> str:
        """Return a text; `default` if it is missing."""
        value = self._values.get(name, default)
        if not _is_text(value):
            raise self._invalid(name, f"a text of at most {_TEXT} characters")
        return str(value)

    def number(self, name: str) -> int | None:
        """Return a whole number that is not negative; None if it is missing or null."""
        value = self._values.get(name)
        if value is not None and (type(value) is not int or not 0 <= value < 2**53):
            raise self._invalid(name, "a whole number from 0")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean; False if it is missing."""
        value = self._values.get(name, False)
        if type(value) is not bool:
            raise self._invalid(name, "true or false")
        return value

    def texts(self, name: str) -> dict[str, str]:
        """Return a mapping of texts; an empty one if it is missing."""
        value = self._values.get(name, {})
        if (
            type(value) is not dict
            or len(value) > _ITEMS
            or not all(_is_text(each) for each in (*value, *value.values()))
        ):
            raise self._invalid(name, "a mapping of texts")
        return value

    def _invalid(self, name: str, rule: str) -> RequestError:
        return RequestError(f'The parameter "{name}" of the request "{self._operation}" is invalid: it must be {rule}.')


def _is_text(value: Any) -> bool:
    return type(value) is str and len(value) <= _TEXT and "\0" not in value and is_encodable(value)


Operation = Callable[[Parameters], Awaitable[Any]]  # returns a JSON value; raises RequestError


class Requester(Protocol):
    """The connection of a request; implemented by `gateway.Peer`."""

    def send(self, header: Sequence[Any]) -> None:
        """Send the answer."""

    def close(self) -> None:
        """Close the connection, once the answer is sent."""


async def _nothing() -> None:
    pass


class Requests:
    """Answers requests of scripts. Runs on one event loop.

    Args:
        operations: The supported operations by name.
        closing: Awaited when this is closed.
    """

    def __init__(
        self, operations: Mapping[str, Operation], *, closing: Callable[[], Awaitable[None]] = _nothing
    ) -> None:
        self._operations = operations
        self._closing = closing
        self._tasks: dict[Requester, asyncio.Task[None]] = {}
        self._processes: dict[Requester, str] = {}

    def waiting(self) -> Counter[str]:
        """Return the number of unanswered requests by process."""
        return Counter(self._processes.values())

    def start(self, requester: Requester, process: str, operation: str, values: Mapping[str, Any]) -> None:
        """Begin to answer a request; the answer is sent to the requester, which is then closed."""
        if len(self._tasks) >= MOST:
            text = f"The worker has {MOST} unanswered requests; wait for their answers before you send further ones."
            _answer(requester, [messages.REFUSED, messages.INVALID, text])
            return
        self._processes[requester] = process
        task = self._tasks[requester] = asyncio.create_task(self._serve(requester, operation, values))
        task.add_done_callback(lambda _: self._forget(requester))  # also of one that is cancelled before it starts

    def drop(self, requester: Requester) -> None:
        """Cancel the request of a closed connection."""
        task = self._tasks.get(requester)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Cancel all requests; their connections are closed without an answer."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for requester in list(self._tasks):  # on Python 3.13, gather() returns before callbacks of finished tasks
            self._forget(requester)
        await self._closing()

    async def _serve(self, requester: Requester, operation: str, values: Mapping[str, Any]) -> None:
        _answer(requester, await self._result(operation, values))

    def _forget(self, requester: Requester) -> None:
        if self._tasks.pop(requester, None) is not None:
            del self._processes[requester]
            requester.close()

    async def _result(self, operation: str, values: Mapping[str, Any]) -> list[Any]:
        function = self._operations.get(operation)
        if function is None:
            text = f'The request "{printable(operation, 60)}" is not supported by this version of Longshore.'
            return [messages.REFUSED, messages.INVALID, text]
        try:
            return [messages.ANSWER, await function(Parameters(operation, values))]
        except RequestError as error:
            return [messages.REFUSED, error.category, printable(str(error), MESSAGE)]
        except Exception as error:  # noqa: BLE001  (an error in one request must not end the worker)
            traceback.print_exc(file=sys.stderr)
            text = f"internal error: {type(error).__name__}; please report it as a bug"
            return [messages.REFUSED, messages.FAILED_REQUEST, text]


def _answer(requester: Requester, message: list[Any]) -> None:
    requester.send(message)
    requester.close()
