"""Turning what documents say about places into absolute local paths and URLs."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

# Schemes of fsspec that mean files of the machine, or look into files that something else names.
_OF_MACHINE = re.compile(
    "file|local|asynclocal|dir|zip|tar|libarchive|git|dvc|reference|generic|dask|arrow_hdfs|"
    "cached|blockcache|filecache|simplecache|asyncwrapper|async_wrapper"
)


def locate(location: str, *, folder: str) -> str:
    """Return a place as an absolute local path or a URL; `folder` is what a relative one starts from.

    `file:code`, `file:../code`, `file:///code` and `code` are local. Raises ValueError, with a sentence, for a place
    that a local run cannot reach.
    """
    if location.startswith("pvc:"):
        raise ValueError("is on a volume of a cluster, which a local run cannot reach")
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
    """Return the place of `path` below `base`, a local path or URL; a leading "/" of the path means nothing."""
    whole = base + ("" if base.endswith("/") else "/") + path.lstrip("/")
    return whole if "://" in base else posixpath.normpath(whole)


def is_url(location: str) -> bool:
    """Tell whether a place says itself which store it is in."""
    return "://" in location or location.startswith(("file:", "pvc:"))


def is_database(url: str) -> bool:
    """Tell whether a place is a database, which has no files."""
    return url.startswith(("postgresql://", "mssql://"))


def is_of_machine(url: str) -> bool:
    """Tell whether a URL means files of the machine that opens it: in a pod, those of our own container."""
    return "::" in url or _OF_MACHINE.fullmatch(url.partition(":")[0]) is not None
