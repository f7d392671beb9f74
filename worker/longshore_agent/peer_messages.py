"""Validation of the messages that a host, a child or a script may send, before any of them takes effect.

Children run user code, which can reach the socket: their messages are as untrusted as HTTP requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from longshore_protocol import errors, messages
from longshore_protocol.fields import LATEST, LONGEST, NUMBER, Field, fault
from longshore_protocol.text import MESSAGE, TRACEBACK, is_encodable, printable

_TEXT = 1 << 20  # characters of a message or traceback; the rest is cut off
_NAME = 100  # characters of the name of a process or operation

_MINI_BATCH = (Field("the mini-batch"), Field("the attempt", least=1))
_FAILURE = (
    Field("the category", (str,)),
    Field("the message", (str,), most=_TEXT),
    Field("the traceback", (str,), most=_TEXT),
)
_Rules = Mapping[str, Sequence[Field]]

FROM_UNKNOWN: _Rules = {
    messages.HELLO_HOST: (Field("the protocol"), Field("the pid")),
    messages.HELLO_CHILD: (Field("the process"), Field("the pid"), Field("the device", (str,), most=_TEXT)),
    messages.REQUEST: (
        Field("the process", (str,), most=_NAME),
        Field("the operation", (str,), most=_NAME),
        Field("the parameters", (dict,)),
    ),
}
FROM_SCRIPT: _Rules = {}  # a connection carries one request
FROM_HOST: _Rules = {
    messages.EXITED: (
        Field("the process"),
        Field("the exit code", least=-255, most=2**32),
        Field("killed for memory", (bool,), most=1),
        Field("the last line", (str,), most=_TEXT),
        Field("the stacks", (str,), most=_TEXT),
    ),
}
_READY = (Field("the seconds of init()", NUMBER, most=LONGEST),)
FROM_CHILD: _Rules = {
    messages.READY: _READY,
    messages.INIT_FAILED: _FAILURE,
    messages.BEGUN: _MINI_BATCH,
    messages.LOADED: _MINI_BATCH,
    messages.DONE: (
        *_MINI_BATCH,
        Field("the number of results"),
        Field("the number of items"),
        Field("the start", most=int(LATEST * 1e6)),
        Field("the elapsed time", most=int(LONGEST * 1e6)),
        Field("the time of run()", most=int(LONGEST * 1e6)),
        Field("the processor's time", most=int(LONGEST * 1e6)),
        Field("the header", (str,), most=messages.MAX_COLUMNS),
    ),
    messages.FAILED: (
        *_MINI_BATCH,
        Field("the number of items", least=-1),
        *_FAILURE,
        Field("the start", NUMBER, most=LATEST),
        Field("the elapsed time", NUMBER, most=LONGEST),
    ),
    messages.BYE: (),
}
_READY_AT_ONCE = (*_READY, Field("the grace", NUMBER, most=LONGEST))
_CATEGORY_AT = {messages.INIT_FAILED: 1, messages.FAILED: 4}
_OWN = {  # categories that a child may report; SYSTEM only for a mini-batch whose file is temporarily unreadable
    messages.INIT_FAILED: frozenset(errors.CATEGORIES) - {errors.SYSTEM},
    messages.FAILED: frozenset(errors.CATEGORIES),
}


def malformed(rules: _Rules, message: Sequence[Any], body: bytes) -> str | None:
    """Return why a message (a non-empty JSON array and a body) is invalid, or None if it is valid."""
    kind, *values = message
    fields = rules.get(kind) if type(kind) is str else None
    if fields is None:
        return f"{printable(repr(kind), 60)} is not a message that this peer may send"
    if kind == messages.READY and len(values) > 1:
        fields = _READY_AT_ONCE
    found = fault(values, fields)
    if found is not None:
        return f"in {kind}, {found}"
    if kind == messages.DONE:
        header = message[-1]
        return None if is_encodable(header) else f"in {kind}, the header is not valid text"
    if body:
        return f"{kind} has a body of {len(body)} bytes and must have none"
    place = _CATEGORY_AT.get(kind)
    if place is not None and message[place] not in _OWN[kind]:
        category, known = printable(repr(message[place]), 60), ", ".join(sorted(_OWN[kind]))
        return f"in {kind}, the category is {category}; it must be one of {known}"
    return None


def printable_error(category: str, message: str, trace: str) -> tuple[str, str, str]:
    """Return a reported error with control characters escaped and texts cut to their limits."""
    return category, printable(message, MESSAGE), printable(trace, TRACEBACK, lines=True)
