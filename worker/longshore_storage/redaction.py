"""Secrets in URLs: presigned addresses, SAS tokens and passwords, hidden wherever a URL is shown or recorded."""

from __future__ import annotations

import re

HIDDEN = "***"
_USER = r"(?P<user>[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@:\"'<>]*:)[^\s/?#@\"'<>]+@"
# A parameter of a query is a secret by its name: sig, X-Amz-Signature, X-Goog-Credential, access_token, api-key, ...
_NAMES = "sig|sign|token|secret|passw|pwd|credential|key|auth|code|jwt|hmac|session"
_PARAMETER = rf"(?P<name>[?&;][^\s=&;?#\"'<>]*(?:{_NAMES})[^\s=&;?#\"'<>]*=)[^\s&;#\"'<>]*"
_ANY = re.compile(f"{_USER}|{_PARAMETER}", re.IGNORECASE)


def redacted(text: str) -> str:
    """Return a text with the passwords and signatures of the URLs in it replaced by HIDDEN; names stay.

    Parameters that no secret is called by stay too: they may tell one file from another.
    """
    if "://" not in text:
        return text
    return _ANY.sub(lambda found: f"{found['user']}{HIDDEN}@" if found["user"] else f"{found['name']}{HIDDEN}", text)
