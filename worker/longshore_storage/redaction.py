"""Remove signatures and other secrets from URLs that are recorded: texts without them can be compared."""

from __future__ import annotations

import hashlib
import re

from longshore_protocol.redaction import HIDDEN, USER, redacted

_QUERY = re.compile(r"(?P<place>[a-z][a-z0-9+.-]*://[^\s?#\"]*)\?(?P<query>[^\s#\"]*)", re.IGNORECASE)
_DIGITS = 16  # hexadecimal digits of the digest that replaces a secret
_SIGNATURES = frozenset(("x-amz-signature", "x-goog-signature", "signature", "sig"))
# Parameters that S3, CloudFront, Google and Azure add to a URL when they sign it.
_OF_SIGNATURE = re.compile(
    r"x-(amz|goog)-.*|awsaccesskeyid|googleaccessid|key-pair-id|policy|signature|expires"
    r"|s(ig|v|r|p|t|e|i|ip|pr|dd|ks|kt|ke|kv|koid|ktid)",
    re.IGNORECASE,
)


def unsigned(text: str) -> str:
    """Return a text in which URLs have no signatures, no other parameters of signing, and no passwords.

    All parameters of an unsigned URL stay, also one named "key" or "code".
    """
    return _QUERY.sub(_unsigned, text) if "://" in text else text


def recorded(text: str) -> str:
    """Return a text without secrets that is equal for two texts only if their URLs identify the same objects.

    Signatures and passwords are ignored. For other secrets, which may identify an object, a digest is appended.
    """
    named = re.sub(USER, rf"\g<user>{HIDDEN}@", unsigned(text), flags=re.IGNORECASE)
    shown = redacted(named)
    return text if shown == text else named if shown == named else f"{shown} ({_digest(named)})"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def _unsigned(found: re.Match[str]) -> str:
    place = re.sub(USER, rf"\g<user>{HIDDEN}@", found["place"])
    parameters = found["query"].split("&")
    names = [each.partition("=")[0] for each in parameters]
    if _SIGNATURES.isdisjoint(map(str.lower, names)):
        return f"{place}?{found['query']}"
    kept = [each for each, name in zip(parameters, names, strict=True) if not _OF_SIGNATURE.fullmatch(name)]
    return f"{place}?{'&'.join(kept)}" if kept else place
