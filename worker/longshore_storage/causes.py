"""Messages for errors of stores: a missing bucket or object, missing permission, or rejected credentials.

The message of a store's library is used only for other errors, because it names requests instead of the user's URL.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from longshore_protocol.packages import MissingPackageError
from longshore_protocol.redaction import redacted
from longshore_storage.errors import ChangedFileError, DatabaseError
from longshore_storage.retrying import chain, root_error, status_of
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
    """Return the cause of an error at a URL as a clause without a full stop. Blocking; never raises.

    For a missing object, this asks the store whether the bucket exists.
    """
    if isinstance(error, DatabaseError | ChangedFileError | MissingPackageError):
        return str(error).rstrip(".")
    known = known_cause(url, error)
    if known is not None:
        return known
    root = root_error(error)
    if isinstance(root, FileNotFoundError):
        return _absence(url)
    text = redacted(" ".join(str(root).split()).rstrip("."))
    return f"{type(root).__name__}: {text}" if text else type(root).__name__


def known_cause(url: str, error: BaseException) -> str | None:
    """Return the cause that the error itself identifies, as a clause, or None."""
    if local_path(url) is not None:
        return None
    codes = _codes(error)
    bucket, kind, name = _bucket_of(url)
    where = f'{kind} "{bucket}"'
    if codes & _NO_BUCKET:
        return f"{where} does not exist"
    if codes & _NO_OBJECT:
        return _no_object(name, where, url)
    if codes & _NO_CREDENTIAL or _is_unconnected(error):
        return f"no usable credentials for {where}; set spec.secretRef of its Datastore, or its environment variables"
    return _refusal(codes, status_of(error), str(error), where)


def _refusal(codes: frozenset[str], status: int | None, text: str, where: str) -> str | None:
    code = next(iter(sorted(codes & (_BAD_CREDENTIAL | _NO_PERMISSION))), str(status or 403))
    if codes & _BAD_CREDENTIAL or status == 401 or "Server failed to authenticate" in text:
        return f"{where} rejected the credentials ({code}); check that they are current"
    if codes & _NO_PERMISSION or status == 403 or text.startswith("Forbidden:"):
        return f"the credentials lack permission for this operation on {where} ({code})"
    return None


def lacks_credentials(error: BaseException) -> bool:
    """Return whether credentials are missing or rejected, for example because they have expired."""
    return bool(_codes(error) & (_BAD_CREDENTIAL | _NO_CREDENTIAL)) or status_of(error) == 401


def lacks_bucket(error: BaseException) -> bool:
    """Return whether an error states that the bucket does not exist."""
    return bool(_codes(error) & _NO_BUCKET)


def _absence(url: str) -> str:
    if local_path(url) is not None or "://" not in url or url.startswith(("http", "memory:")):
        return "it does not exist"
    bucket, kind, name = _bucket_of(url)
    try:
        fs, _ = file_system(url)
        fs.info(bucket)
    except FileNotFoundError:
        return f'{kind} "{bucket}" does not exist'
    except Exception:  # noqa: BLE001  (credentials may allow reads and deny this request)
        return "it does not exist"
    return _no_object(name, f'{kind} "{bucket}"', url)


def _no_object(name: str, where: str, url: str) -> str:
    return f'{"blob" if _scheme(url) in _AZURE else "object"} "{name}" does not exist in {where}'


def _codes(error: BaseException) -> frozenset[str]:
    """Return the error codes and exception names of an error and its causes."""
    found: set[str] = set()
    for each in chain(error):
        response = getattr(each, "response", None)
        code = (
            response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(each, "error_code", None)
        )
        found |= {type(each).__name__, str(getattr(code, "value", code))}
    return frozenset(found)


def _is_unconnected(error: BaseException) -> bool:
    """Return whether adlfs found no credentials, or an invalid connection string."""
    return any(isinstance(each, ValueError) and "connect to account" in str(each) for each in chain(error))


def _bucket_of(url: str) -> tuple[str, str, str]:
    """Return the bucket of a URL, the store's noun for a bucket, and the object's name."""
    scheme, parts = _scheme(url), urlsplit(url)
    if scheme in ("http", "https"):
        return parts.hostname or "", "server", parts.path
    bucket, _, name = url.partition("://")[2].partition("/")
    return bucket.partition("@")[0], "container" if scheme in _AZURE else "bucket", name


def _scheme(url: str) -> str:
    return url.partition("://")[0]
