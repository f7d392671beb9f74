"""Locations in documents, resolved into absolute local paths and URLs."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

# Schemes of fsspec for files of the machine, and for the contents of files at another URL.
_OF_MACHINE = re.compile(
    "file|local|asynclocal|dir|zip|tar|libarchive|git|dvc|reference|generic|dask|arrow_hdfs|"
    "cached|blockcache|filecache|simplecache|asyncwrapper|async_wrapper"
)


def locate(location: str, *, folder: str) -> str:
    """Resolve a location into an absolute local path or a URL; relative paths start from `folder`.

    `file:code`, `file:../code`, `file:///code` and `code` are local.

    Raises:
        ValueError: with a sentence, for a location that a local run cannot access.
    """
    if location.startswith("pvc:"):
        raise ValueError("is on a volume of a cluster, which a local run cannot access")
    if location.startswith("file:"):
        local = unquote(location.removeprefix("file:"))
        if local.startswith("//") and not local.startswith("///"):
            host, _, rest = local[2:].partition("/")
            if host != "localhost":
                raise ValueError(f"names a machine, {host!r}: write file:{host}/… for a path relative to the YAML file")
            local = "/" + rest
        return join(folder, local) if not local.startswith("/") else posixpath.normpath("/" + local.lstrip("/"))
    if "://" in location:
        return location
    return posixpath.normpath(posixpath.join(folder, location))


def join(base: str, path: str) -> str:
    """Join `base`, a local path or URL, and `path`, whose leading "/" is ignored."""
    whole = base + ("" if base.endswith("/") else "/") + path.lstrip("/")
    return whole if "://" in base else posixpath.normpath(whole)


def is_url(location: str) -> bool:
    """Return whether a location names its store itself."""
    return "://" in location or location.startswith(("file:", "pvc:"))


def is_database(url: str) -> bool:
    """Return whether a location is a database, which has no files."""
    return url.startswith(("postgresql://", "mssql://"))


def is_of_machine(url: str) -> bool:
    """Return whether a URL refers to files of the machine that opens it: in a pod, of the opening container."""
    return "::" in url or _OF_MACHINE.fullmatch(url.partition(":")[0]) is not None
