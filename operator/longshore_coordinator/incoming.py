"""Validation of requests from agents and the operator, as a whole, before any part is applied; no I/O.

Also repairs records of ledgers that were written before requests were validated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from longshore_protocol import errors, wire
from longshore_protocol.fields import LATEST, LONGEST, NUMBER, Field, fault
from longshore_protocol.registrations import read_registration
from longshore_protocol.segments import decode_digests, select_digests
from longshore_protocol.text import MESSAGE, TRACEBACK, is_encodable, printable
from longshore_protocol.wire import DOWNLOADING, INPUT, STORE, Deferral, Failure

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST_NAME = 253  # characters, as for a pod
_TEXT = 1 << 20  # characters of a text, which is shortened when it is stored
_MANY = 1 << 20  # elements of a list
_SHORT = 200  # characters of a process's state

_WORKER = Field("worker", (str,), 1, _LONGEST_NAME)
_AGENT = Field("agent", (str,), 1, 3 * _LONGEST_NAME)
_IDENTITY = (_AGENT, Field("epoch"))
_REGISTER = (_WORKER, Field("boot", (str,), 1, _LONGEST_NAME), Field("protocol"), Field("oldest_protocol"))
LEASE = (*_IDENTITY, Field("want", (int,), 1, _MANY))
BYE = (_AGENT,)
WORKER = (_WORKER,)
_LISTS = ("headers", "completed", "failed", "returned", "deferred", "held", "init_failed", "processes", "registered")
_REPORT = (
    *_IDENTITY,
    Field("segment", (str,), most=1024),
    Field("bytes"),
    Field("fetched"),
    Field("shutdowns"),
    Field("digests", (str,), most=_MANY * 16),
    *(Field(name, (list,), most=_MANY) for name in _LISTS),
)
_LEASED = (Field("mini-batch"), Field("attempt", least=1))
_COMPLETION = (
    *_LEASED,
    Field("offset"),
    Field("length"),
    Field("succeeded"),
    Field("items"),
    Field("header", least=-1),
    Field("process"),
    Field("started", most=int(LATEST * 1e6)),
    *(Field(name, most=int(LONGEST * 1e6)) for name in ("elapsed", "run", "cpu")),
)
_HEADER_AT = 6
_FAILURE = (
    Field("mini-batch", least=-1),
    Field("attempt"),
    Field("items", least=-1),
    Field("process", least=-1),
    *(Field(name, (str,), most=_TEXT) for name in ("category", "message", "traceback")),
    Field("started", NUMBER, most=LATEST),
    Field("elapsed", NUMBER, most=LONGEST),
    Field("log", (str,), most=1024),
)
_DEFERRAL = (
    Field("mini-batch", least=-1),
    Field("attempt"),
    Field("origin", (str,), most=_SHORT),
    Field("message", (str,), most=_TEXT),
)
_REGISTERED = (
    Field("process"),
    Field("registration", (str,), most=_TEXT),
    Field("digest", (str,), most=_TEXT),
)
_SECONDS = Field("seconds", NUMBER, most=LONGEST)


class MalformedMessageError(Exception):
    """A request breaks a rule of the protocol; no part of it was applied."""


def message(body: bytes, fields: Sequence[Field]) -> list[Any]:
    """Parse a JSON object; return the values of `fields`. Raises MalformedMessageError."""
    return _values(_object(body), fields)


def registration(body: bytes) -> list[Any]:
    """Parse a registration; return worker, boot, newest and oldest protocol. Raises MalformedMessageError."""
    found = _object(body)
    return _values({"oldest_protocol": found.get("protocol"), **found}, _REGISTER)


def report(body: bytes) -> dict[str, Any]:
    """Parse an agent's report (`wire.report`); return it with printable texts.

    Fields that the agent's version does not send get their defaults. Raises MalformedMessageError.
    """
    found = _object(body)
    agent, epoch = _values(found, _IDENTITY)
    found = {**wire.report(agent, epoch), **found}
    _values(found, _REPORT)
    headers = found["headers"]
    for header in headers:
        if type(header) is not str or not is_encodable(header):
            raise MalformedMessageError("a header is not a valid string")
    _require_rows("completed", found["completed"], _COMPLETION)
    if any(not -1 <= raw[_HEADER_AT] < len(headers) for raw in found["completed"]):
        raise MalformedMessageError("in completed, a header index is out of range")
    try:
        decode_digests(found["digests"], count=len(found["completed"]))
    except ValueError as error:
        raise MalformedMessageError(f"digests do not match completed: {error}") from error
    for name in ("returned", "held"):
        _require_rows(name, found[name], _LEASED)
    for name in ("failed", "init_failed"):
        found[name] = [_failure(name, raw) for raw in found[name]]
    found["deferred"] = [_deferral(raw) for raw in found["deferred"]]
    _require_rows("registered", found["registered"], _REGISTERED)
    found["registered"] = [_registered(each) for each in found["registered"]]
    found["processes"] = [_process(each) for each in found["processes"]]
    return found


def repair(record: dict[str, Any]) -> dict[str, Any] | None:
    """Return a ledger record with its valid completions and printable failures.

    Returns None for a record that cannot be used, whose mini-batches then run again.
    """
    if "done" in record:
        entry = record["done"]
        numbered = enumerate(entry["mini_batches"])
        valid = [(at, raw) for at, raw in numbered if type(raw) is list and fault(raw, _COMPLETION) is None]
        kept: dict[str, Any] = {"mini_batches": [raw for _, raw in valid]}
        if "digests" in entry:
            kept["digests"] = select_digests(entry["digests"], [at for at, _ in valid])
        return {"done": {**entry, **kept}}
    if "tried" in record:
        entry = record["tried"]
        failure = entry["failure"]
        if fault(failure[:2], _FAILURE[:2]) is not None:
            return None
        try:
            repaired = _failure("tried", failure)
        except MalformedMessageError as error:
            text = f"its process sent a malformed message: {error}"
            repaired = Failure(failure[0], failure[1], -1, -1, errors.PROCESS_DIED, text, "", 0.0, 0.0, "")
        return {"tried": {**entry, "failure": list(repaired)}}
    return record


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedMessageError(printable(f"{type(error).__name__}: {error}", _SHORT)) from error
    if type(found) is not dict:
        raise MalformedMessageError("the body is not a JSON object")
    return found


def _values(found: Mapping[str, Any], fields: Sequence[Field]) -> list[Any]:
    missing = [field.name for field in fields if field.name not in found]
    if missing:
        raise MalformedMessageError(f"{missing[0]} is missing")
    values = [found[field.name] for field in fields]
    _require(values, fields)
    for field, value in zip(fields, values, strict=True):
        if field.name in ("worker", "boot") and not _NAME.fullmatch(value):
            raise MalformedMessageError(f"{field.name} is {printable(value, 60)!r}; it must be a name such as w-0")
        if field.kinds == (str,) and not is_encodable(value):
            raise MalformedMessageError(f"{field.name} is not a valid string")
    return values


def _require(values: Sequence[Any], fields: Sequence[Field]) -> None:
    why = fault(values, fields)
    if why is not None:
        raise MalformedMessageError(why)


def _require_rows(name: str, rows: list[Any], fields: Sequence[Field]) -> None:
    """Check lists of integers, by column for speed, because reports contain thousands of them."""
    if set(map(type, rows)) <= {list} and set(map(len, rows)) <= {len(fields)}:
        for column, field in zip(zip(*rows, strict=True), fields, strict=False):
            if set(map(type, column)) != {int} or min(column) < field.least or max(column) > field.most:
                break
        else:
            return
    for row in rows:
        if type(row) is not list:
            raise MalformedMessageError(f"an element of {name} is not a list")
        why = fault(row, fields)
        if why is not None:
            raise MalformedMessageError(f"in {name}, {why}")


def _failure(name: str, raw: Any) -> Failure:
    if type(raw) is not list:
        raise MalformedMessageError(f"an element of {name} is not a list")
    why = fault(raw, _FAILURE)
    if why is not None:
        raise MalformedMessageError(f"in {name}, {why}")
    failure = Failure(*raw)
    if failure.category not in errors.CATEGORIES:
        raise MalformedMessageError(f"in {name}, the category {printable(failure.category, 60)!r} does not exist")
    return failure._replace(
        message=printable(failure.message, MESSAGE),
        traceback=printable(failure.traceback, TRACEBACK, lines=True),
        log=printable(failure.log, MESSAGE),
    )


def _deferral(raw: Any) -> Deferral:
    if type(raw) is not list:
        raise MalformedMessageError("an element of deferred is not a list")
    why = fault(raw, _DEFERRAL)
    if why is not None:
        raise MalformedMessageError(f"in deferred, {why}")
    deferral = Deferral(*raw)
    if deferral.origin not in (INPUT, STORE):
        raise MalformedMessageError(f"in deferred, the origin {printable(deferral.origin, 60)!r} does not exist")
    return deferral._replace(message=printable(deferral.message, MESSAGE))


def _registered(raw: list[Any]) -> list[Any]:
    process, text, digest = raw
    if text:
        try:
            read_registration(text)
        except ValueError as error:
            raise MalformedMessageError(f"in registered, {printable(str(error), MESSAGE)}") from error
    return [process, text, printable(digest, MESSAGE)]


def _process(raw: Any) -> dict[str, Any]:
    """Return the state of a process with printable texts; keep unknown fields unchanged."""
    if type(raw) is not dict:
        raise MalformedMessageError("an element of processes is not an object")
    texts = ("state", "what") if raw.get("state") == DOWNLOADING else ("state",)
    for name in (*texts, *(each for each in ("process", "device") if each in raw)):
        if type(raw.get(name)) is not str:
            raise MalformedMessageError(f"in processes, {name} is not a string")
    if "seconds" in raw:
        _require([raw["seconds"]], [_SECONDS])
    return {name: printable(value, _SHORT) if type(value) is str else value for name, value in raw.items()}
