"""Sanitize untrusted text for messages, logs, statuses, reports and terminals."""

from __future__ import annotations

import re

MESSAGE = 2000  # characters of the message of a failure or verdict
TRACEBACK = 16000  # characters of the last lines of a traceback

# Control characters, including those of escape sequences; unpaired surrogates; invisible characters and those that
# change the direction of text; unusual line ends.
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_BESIDES_LINES = re.compile(_UNPRINTABLE.pattern.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"))


def printable(text: str, limit: int, *, lines: bool = False) -> str:
    r"""Return `text` with unprintable and misleading characters escaped, for example as "\x1b". Idempotent.

    White space becomes a blank; `lines` keeps line feeds and tabs. Text longer than `limit` characters is cut and ends
    with "…".
    """
    cut = text[:limit]
    shown = (_BESIDES_LINES if lines else _UNPRINTABLE).sub(_escape, cut)
    if len(shown) <= limit and len(cut) == len(text):
        return shown
    return shown[: limit - 1] + "…"


def is_encodable(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8, that is, has no unpaired surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    if character in "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029":
        return " "
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python represents a byte of a file name that is not UTF-8
        code -= 0xDC00
    return "\\x{:02x}".format(code) if code < 0x100 else "\\u{:04x}".format(code)
