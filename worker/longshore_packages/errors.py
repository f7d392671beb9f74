"""Failures of a build, in the words of the resolver."""

from __future__ import annotations

import re

_LONGEST = 2000  # characters of a message
# Causes that uv prints for what may be different a minute later.
_TRANSIENT = re.compile(
    r"error sending request|request failed after|timed? ?out|dns error|connection (refused|reset|closed)|broken pipe"
    r"|status server error|429 Too Many Requests|network is unreachable|error decoding response body|tls handshake",
    re.IGNORECASE,
)
_DENIED = re.compile(r"401 Unauthorized|403 Forbidden")
_REMEDY = (
    "Correct the user and password: in the Secret that spec.packages.secretRef names, or in a local run in "
    "LONGSHORE_INDEX_USERNAME and LONGSHORE_INDEX_PASSWORD."
)
_UNSOLVED = re.compile(r"No solution found when resolving dependencies( for split \([^)]*\))?:?")
_CAUSE = re.compile(r"[\s\u2500-\u25ff]*(cause:|Caused by:|\u2570\u2500)", re.IGNORECASE)
_DECORATION = re.compile(r"[\u00d7\u2500-\u25ff]+|^\s*(error|cause|Caused by):", re.IGNORECASE)
_USER = re.compile(r"(://)[^/\s@]*@")


class BuildError(Exception):
    """An environment that cannot be built; the message is for the user.

    Attributes:
        is_transient: whether the same build may succeed later, as after an outage of the package index.
    """

    def __init__(self, message: str, *, is_transient: bool = False) -> None:
        super().__init__(message)
        self.is_transient = is_transient


class BuildCancelledError(Exception):
    """The caller cancelled the build."""


def build_error(activity: str, output: str) -> BuildError:
    """Return the error that uv printed, as one paragraph.

    Args:
        activity: what failed, such as "resolved".
        output: what uv wrote to stderr, without credentials.
    """
    text = _paragraph(output)
    if _DENIED.search(text):
        return BuildError("The package index denies access: {} {}".format(text, _REMEDY))
    if _UNSOLVED.search(text):
        return BuildError("The packages cannot be {}: {}".format(activity, _UNSOLVED.sub("", text).strip()))
    if _TRANSIENT.search(text):
        return BuildError("The package index cannot be reached: {}".format(text), is_transient=True)
    return BuildError("The packages cannot be {}: {}".format(activity, text or "uv printed no reason."))


def without_credentials(text: str) -> str:
    """Return a text whose URLs have no user and password."""
    return _USER.sub(r"\1", text)


def _paragraph(output: str) -> str:
    """Return uv's message without its decoration and line breaks; a cause follows a colon."""
    text = ""
    for line in output.splitlines():
        is_cause, content = _CAUSE.match(line) is not None, _DECORATION.sub("", line).strip()
        if content:
            text = text.rstrip(":") + ": " + content if is_cause else text + " " + content
    return text.strip()[:_LONGEST]
