"""What is missing when a store refuses: the bucket, the object, the permission or the credential. In words.

The libraries' own words are passed on only where none of this is so: they name requests and not what a user gave.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from longshore_protocol.packages import MissingPackageError
from longshore_storage.errors import ChangedFileError, DatabaseError
from longshore_storage.redaction import redacted
from longshore_storage.retrying import chain, status_of, told_by
from longshore_storage.store import local_path
from longshore_storage.systems import file_system

_NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound", "FilesystemNotFound"})
_NO_OBJECT = frozenset({"NoSuchKey", "BlobNotFound", "PathNotFound"})
_NO_PERMISSION = frozenset({
    "AccessDenied", "AllAccessDisabled", "AuthorizationFailure", "AuthorizationPermissionMismatch",
    "InsufficientAccountPermissions", "AccountIsDisabled",
})  # fmt: skip
_BAD_CREDENTIAL = frozenset({
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired",
    "AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation", "RefreshError",
    "ClientAuthenticationError",
})  # fmt: skip
_NO_CREDENTIAL = frozenset({
    "NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "CredentialUnavailableError",
})  # fmt: skip
_AZURE = ("az", "abfs", "abfss")


def cause_of(url: str, error: BaseException) -> str:
    """Return why what is at a URL cannot be used: the end of a sentence, without its full stop.

    Of an object that is not there, the store may be asked whether its bucket is. Blocking; raises nothing.
    """
    if isinstance(error, DatabaseError | ChangedFileError | MissingPackageError):
        return str(error).rstrip(".")
    known = known_cause(url, error)
    if known is not None:
        return known
    told = told_by(error)
    if isinstance(told, FileNotFoundError):
        return _absence(url)
    text = redacted(" ".join(str(told).split()).rstrip("."))
    return f"{type(told).__name__}: {text}" if text else type(told).__name__


def known_cause(url: str, error: BaseException) -> str | None:
    """Return what is missing, as far as the error itself tells; None where it does not."""
    if local_path(url) is not None:
        return None
    codes = _codes(error)
    bucket, kind, name = _place(url)
    where = f'the {kind} "{bucket}"'
    if codes & _NO_BUCKET:
        return f'there is no {kind} "{bucket}"'
    if codes & _NO_OBJECT:
        return _no_object(name, where, url)
    if codes & _NO_CREDENTIAL or _is_unconnected(error):
        return f"no credential was found for {where}, or it is none"
    return _refusal(codes, status_of(error), str(error), where)


def _refusal(codes: frozenset[str], status: int | None, text: str, where: str) -> str | None:
    code = next(iter(sorted(codes & (_BAD_CREDENTIAL | _NO_PERMISSION))), str(status or 403))
    if codes & _BAD_CREDENTIAL or status == 401 or "Server failed to authenticate" in text:
        return f"{where} does not accept the credential ({code})"
    if codes & _NO_PERMISSION or status == 403 or text.startswith("Forbidden:"):
        return f"the credential gives no permission for this in {where} ({code})"
    return None


def lacks_credentials(error: BaseException) -> bool:
    """Return whether a store refuses the credentials themselves, as when they have expired, or there are none."""
    return bool(_codes(error) & (_BAD_CREDENTIAL | _NO_CREDENTIAL)) or status_of(error) == 401


def tells_bucket(error: BaseException) -> bool:
    """Tell whether an error says that it is the bucket that is not there."""
    return bool(_codes(error) & _NO_BUCKET)


def _absence(url: str) -> str:
    if local_path(url) is not None or "://" not in url or url.startswith(("http", "memory:")):
        return "it is not there"
    bucket, kind, name = _place(url)
    try:
        fs, _ = file_system(url)
        fs.info(bucket)
    except FileNotFoundError:
        return f'there is no {kind} "{bucket}"'
    except Exception:  # noqa: BLE001  (who may not ask about the bucket may yet have read from it)
        return "it is not there"
    return _no_object(name, f'the {kind} "{bucket}"', url)


def _no_object(name: str, where: str, url: str) -> str:
    return f'there is no {"blob" if _scheme(url) in _AZURE else "object"} "{name}" in {where}'


def _codes(error: BaseException) -> frozenset[str]:
    """Return what stores and libraries call what happened."""
    found: set[str] = set()
    for each in chain(error):
        response = getattr(each, "response", None)
        code = (
            response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(each, "error_code", None)
        )
        found |= {type(each).__name__, str(getattr(code, "value", code))}
    return frozenset(found)


def _is_unconnected(error: BaseException) -> bool:
    """Tell whether adlfs was given nothing to connect by, or what is no connection string."""
    return any(isinstance(each, ValueError) and "connect to account" in str(each) for each in chain(error))


def _place(url: str) -> tuple[str, str, str]:
    """Return the bucket of a URL, what its store calls such a thing, and the name in it."""
    scheme, parts = _scheme(url), urlsplit(url)
    if scheme in ("http", "https"):
        return parts.hostname or "", "server", parts.path
    bucket, _, name = url.partition("://")[2].partition("/")
    return bucket.partition("@")[0], "container" if scheme in _AZURE else "bucket", name


def _scheme(url: str) -> str:
    return url.partition("://")[0]
