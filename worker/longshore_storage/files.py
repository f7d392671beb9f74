"""Single files of an input, by the names that `listing` gives them."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from longshore_storage.store import local_path

if TYPE_CHECKING:
    import fsspec

_BUFFER = 1 << 20  # bytes


def file_size(path: str, **options: Any) -> int:
    """Return a file's size in bytes without reading it; `options` go to its file system. Raises OSError."""
    local = local_path(path)
    if local is not None:
        return os.path.getsize(local)
    fs, inside = _file_system(path, options)
    return int(fs.info(inside)["size"])


def open_file(path: str, **options: Any) -> BinaryIO:
    """Open a file for seeking and reading; `options` go to its file system. Raises FileNotFoundError, OSError."""
    local = local_path(path)
    if local is not None:
        return open(local, "rb", buffering=_BUFFER)
    fs, inside = _file_system(path, options)
    # fsspec's own files read line by line far too slowly.
    return cast("BinaryIO", io.BufferedReader(fs.open(inside, "rb"), _BUFFER))


def _file_system(path: str, options: dict[str, Any]) -> tuple[fsspec.AbstractFileSystem, str]:
    import fsspec  # late: a run on local files does without it

    return cast("tuple[fsspec.AbstractFileSystem, str]", fsspec.core.url_to_fs(path, **options))
