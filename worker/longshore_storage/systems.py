"""Configured fsspec file systems, and a uniform view of the metadata that they return for a file.

Options never contain credentials: each library finds them in the environment or from the machine.
"""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from longshore_protocol.packages import MissingPackageError, require
from longshore_protocol.redaction import redacted

if TYPE_CHECKING:
    import fsspec

_OPTIONS: dict[str, dict[str, Any]] = {
    # The legacy retry mode does not retry a 429.
    "s3": {"config_kwargs": {"retries": {"mode": "standard", "max_attempts": 5}}},
}
_OPTIONS["s3a"] = _OPTIONS["s3"]
AZURE = ("az", "abfs", "abfss")  # schemes
_PACKAGES = {  # scheme -> the package that opens it, and the extra that installs it
    **dict.fromkeys(("s3", "s3a"), ("s3fs", "s3")),
    **dict.fromkeys(("gs", "gcs"), ("gcsfs", "gcs")),
    **dict.fromkeys(AZURE, ("adlfs", "azure")),
}
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")
# Metadata keys that identify a version, the strongest first. Without any of them, the size must do.
_STAMPS = (
    "ETag",
    "etag",
    "md5Hash",
    "generation",
    "Last-Modified",
    "LastModified",
    "last_modified",
    "updated",
    "mtime",
    "created",
)


class Digest(NamedTuple):
    """The MD5 of an object in hexadecimal; `is_declared` is false for an ETag that only looks like one."""

    md5: str
    is_declared: bool


def stamp_of(info: dict[str, Any]) -> str:
    """Return a text that changes with an object's content, from the metadata of its store."""
    found = next((info[key] for key in _STAMPS if info.get(key)), None)
    return f"{info.get('size')} {found}"


def has_stamp(info: dict[str, Any]) -> bool:
    """Return whether the metadata identifies a version by more than the size."""
    return any(info.get(key) for key in _STAMPS)


def digest_of(info: dict[str, Any]) -> Digest | None:
    """Return the digest in the metadata of an object, or None."""
    settings = info.get("content_settings")  # Azure's
    declared = info.get("md5Hash") or info.get("Content-MD5") or (settings or {}).get("content_md5")
    if declared:
        raw = base64.b64decode(declared) if isinstance(declared, str) else bytes(declared)
        return Digest(raw.hex(), is_declared=True)
    etag = str(info.get("ETag") or "").strip('"')
    if "StorageClass" in info and re.fullmatch("[0-9a-f]{32}", etag):  # an S3 object that was uploaded in one part
        return Digest(etag, is_declared=False)
    return None


def require_store(url: str) -> None:
    """Import the packages that open a URL; ignore unknown schemes.

    Raises:
        MissingPackageError: One of them cannot be imported. The message names it and its extra.
    """
    import fsspec

    subject = f"Access to {redacted(url)}"
    for scheme in _SCHEME.findall(url):  # one of a chain (zip://a.csv::s3://bucket/a.zip) each
        if scheme in _PACKAGES:
            package, extra = _PACKAGES[scheme]
            require(package, extra=extra, subject=subject)
            continue
        try:
            with suppress(ValueError):  # no scheme of fsspec's
                fsspec.get_filesystem_class(scheme)
        except ImportError as error:  # whose text names the package
            raise MissingPackageError(f"{subject} needs a package that cannot be imported: {error}") from error


def file_system(url: str, **options: Any) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the file system of a URL and the path in it; `options` are passed to the file system.

    Raises:
        ValueError: fsspec does not know the URL's scheme.
        MissingPackageError: The package for the scheme is not installed.
    """
    try:
        return _file_system(url, **options)
    except ImportError:
        require_store(url)  # raises an error that names the package
        raise


def _file_system(url: str, **options: Any) -> tuple[fsspec.AbstractFileSystem, str]:
    import fsspec  # late: a run on local files does without it

    protocol = url.partition("://")[0]
    options = {**_OPTIONS.get(protocol, {}), **options}
    if (
        "::" in url and "://" not in url.partition("::")[2]
    ):  # a name with two colons, which fsspec would parse as a chain
        kind = fsspec.get_filesystem_class(protocol)
        fs, path = kind(**{**kind._get_kwargs_from_urls(url), **options}), str(kind._strip_protocol(url))  # noqa: SLF001
    else:
        fs, path = cast("tuple[fsspec.AbstractFileSystem, str]", fsspec.core.url_to_fs(url, **options))
    if protocol in AZURE:
        # adlfs does not pass on retry settings, and the default first pause of Azure's library is 15 s.
        policy = fs.service_client._config.retry_policy  # noqa: SLF001
        policy.initial_backoff, policy.increment_base, policy.random_jitter_range = 0.5, 2, 0.25
        policy.total_retries = 5
    return fs, path
