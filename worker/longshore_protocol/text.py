"""Foreign text made safe to show: in messages, logs, statuses, reports and on terminals."""

from __future__ import annotations

import re

MESSAGE = 2000  # characters of one message: the limit wherever a failure or verdict enters
TRACEBACK = 16000  # characters of a traceback's last lines

# Control characters, escape sequences among them, and halves of surrogate pairs; characters that are invisible or
# change the direction of the text around them; line ends that not every reader knows.
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_BESIDES_LINES = re.compile(_UNPRINTABLE.pattern.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"))


def printable(text: str, limit: int, *, lines: bool = False) -> str:
    r"""Return `text` without characters that a terminal, a file in UTF-8 or a reader would misunderstand.

    Such a character becomes its escape, as in "\x1b"; white space other than blanks becomes a blank, unless `lines`
    keeps line feeds and tabs. A text above `limit` characters is cut and ends with "…". Doing so twice changes nothing.
    """
    cut = text[:limit]
    shown = (_BESIDES_LINES if lines else _UNPRINTABLE).sub(_escape, cut)
    if len(shown) <= limit and len(cut) == len(text):
        return shown
    return shown[: limit - 1] + "…"


def is_encodable(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: it has no half of a surrogate pair."""
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
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a file name that is no UTF-8
        code -= 0xDC00
    return "\\x{:02x}".format(code) if code < 0x100 else "\\u{:04x}".format(code)
