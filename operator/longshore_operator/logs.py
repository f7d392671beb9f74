"""Log lines: one JSON object each for machines, or text for people. What a line is about is bound once, not repeated.

Detailed logs of other packages are never shown, because clients log everything they send, secrets included.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

Format = Literal["json", "text"]

_OBJECT = ("kind", "namespace", "name")
_FOREIGN = ("kopf", "kubernetes", "client", "urllib3", "aiohttp", "asyncio")  # "client" is the Kubernetes client's own
_about: ContextVar[Mapping[str, str] | None] = ContextVar("about", default=None)


@contextmanager
def about(*, kind: str, namespace: str, name: str) -> Iterator[None]:
    """Add the object's kind, namespace and name to every log line of this thread within the block."""
    token = _about.set({"kind": kind, "namespace": namespace, "name": name})
    try:
        yield
    finally:
        _about.reset(token)


def configure(*, level: str, form: Format) -> None:
    """Send all log lines of this level and above, and Python's warnings, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(_lower_retries)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for each in _FOREIGN:
        logging.getLogger(each).setLevel(logging.WARNING)


def _lower_retries(record: logging.LogRecord) -> bool:
    """Log as a warning what kopf logs as an error and retries: 429 right after an install, a restarted API server.

    Once its retries are used up it logs another line, "escalating", which stays an error.
    """
    if record.levelno == logging.ERROR and record.name.partition(".")[0] == "kopf":
        message = record.getMessage()
        if message.startswith("Request attempt #") and "; will re" in message:
            record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
    return True


class JsonFormatter(logging.Formatter):
    """One JSON object: time (RFC 3339, UTC), level, logger, message; kind, namespace, name, exception where known."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_object(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """Time, level, namespace/name where known, message."""

    def format(self, record: logging.LogRecord) -> str:
        known = _object(record)
        place = f"{known['namespace']}/{known['name']}: " if known else ""
        text = f"{_time(record)} {record.levelname} {place}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _object(record: logging.LogRecord) -> dict[str, str]:
    """Return the object of a line: the bound one, or the one that kopf adds to its own lines."""
    known: Mapping[str, Any] = _about.get() or getattr(record, "k8s_ref", None) or {}
    return {key: str(known.get(key) or "") for key in _OBJECT} if known else {}
