"""Remove secrets (signatures of presigned URLs, SAS tokens, passwords) from URLs in a text that is shown."""

from __future__ import annotations

import re

HIDDEN = "***"
USER = r"(?P<user>[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@:\"'<>]*:)[^\s/?#@\"'<>]+@"
# A query parameter is a secret if its name contains one of these: sig, X-Goog-Credential, access_token, api-key, ...
_NAMES = "sig|sign|token|secret|passw|pwd|credential|key|auth|code|jwt|hmac|session"
_PARAMETER = r"(?P<name>[?&;][^\s=&;?#\"'<>]*(?:{})[^\s=&;?#\"'<>]*=)[^\s&;#\"'<>]*".format(_NAMES)
_ANY = re.compile("{}|{}".format(USER, _PARAMETER), re.IGNORECASE)


def redacted(text: str) -> str:
    """Return a text in which passwords and secret query parameters of URLs are replaced by HIDDEN.

    Other parameters stay, because they may identify a file.
    """
    if "://" not in text:
        return text
    return _ANY.sub(_hidden, text)


def _hidden(found: re.Match[str]) -> str:
    return "{}{}@".format(found["user"], HIDDEN) if found["user"] else "{}{}".format(found["name"], HIDDEN)
