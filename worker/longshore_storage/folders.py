"""Local and remote folders for directory walks: the kind of a path, and the names in a folder.

The libraries of stores emulate directories and omit objects with names such as "a//b". These classes list them too.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from longshore_storage import beneath
from longshore_storage.causes import cause_of
from longshore_storage.errors import ListingError
from longshore_storage.files import file_stamp
from longshore_storage.retrying import root_error, status_of, with_retries
from longshore_storage.store import local_path
from longshore_storage.systems import AZURE, Digest, digest_of, file_system, has_stamp, stamp_of

SPECIAL = beneath.SPECIAL  # what `left_out` counts

_ABSENT = (404, 410)  # HTTP statuses


class Stamp(NamedTuple):
    """The version of a file, known without reading it."""

    text: str | None  # size and modification time or etag; None if the store knows only the size
    digest: Digest | None  # kept by the store


def folders_of(path: str, left_out: Counter[str], options: dict[str, Any], *, with_stamps: bool = False) -> Folders:
    """Return the folders interface for a path.

    Args:
        path: A local path or a URL.
        left_out: Counts entries that are neither file nor folder, by kind.
        options: Options of the file system of a URL.
        with_stamps: Keep the stamps of listed files, for `Folders.stamp`.

    Errors of the file system's library are raised unchanged.
    """
    if local_path(path) is not None:
        return LocalFolders(left_out)
    kind = AzureFolders if path.partition("://")[0] in AZURE else RemoteFolders
    return kind(path, options, with_stamps=with_stamps)


class Folders(ABC):
    """The operations of a directory walk. Folder names may end with a slash."""

    @abstractmethod
    def kind(self, path: str) -> str | None:
        """Return "file" or "folder", or None if the path does not exist."""

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """Return the sorted names in a folder; names of folders end with a slash.

        With the slash, they sort as full paths do: "a-b" is before "a/c".
        """

    @abstractmethod
    def identity(self, folder: str) -> object:
        """Return a value that is equal for all paths of one folder. Raises OSError."""

    @abstractmethod
    def identity_if_there(self, folder: str) -> object:
        """Return the identity of any folder, or None if it does not exist in this store."""

    @abstractmethod
    def upwards(self, folder: str) -> list[str]:
        """Return a folder and its parents, the innermost first."""

    @abstractmethod
    def stamp(self, path: str) -> Stamp:
        """Return the stamp of a listed file. Raises OSError, or errors of the store's library."""

    def absence(self, path: str) -> str:
        """Return an explanation to append to the message that a path does not exist, or ""."""
        return ""


class LocalFolders(Folders):
    """Local folders, also on mounted volumes."""

    def __init__(self, left_out: Counter[str]) -> None:
        self._left_out = left_out

    def kind(self, path: str) -> str | None:
        try:
            mode = beneath.status(path.rstrip("/") or "/").st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        return "folder" if stat.S_ISDIR(mode) else "file"

    def names(self, folder: str) -> list[str]:
        found = []
        for name, kind in beneath.entries(folder):
            if kind == beneath.FOLDER:
                found.append(name + "/")
            elif kind == beneath.SPECIAL:
                self._left_out[SPECIAL] += 1
            else:  # including broken links and links out of the volume: they fail their mini-batch visibly
                found.append(name)
        found.sort()
        return found

    def identity(self, folder: str) -> object:
        status = beneath.status(folder)
        return status.st_dev, status.st_ino

    def identity_if_there(self, folder: str) -> object:
        path = local_path(folder)
        try:
            return None if path is None else self.identity(path)
        except OSError:
            return None

    def upwards(self, folder: str) -> list[str]:
        path = os.path.realpath(folder)
        found = [path]
        while (path := os.path.dirname(path)) != found[-1]:
            found.append(path)
        return found

    def stamp(self, path: str) -> Stamp:
        return Stamp(file_stamp(path), None)


class RemoteFolders(Folders):
    """Folders of any fsspec file system."""

    def __init__(self, url: str, options: dict[str, Any], *, with_stamps: bool = False) -> None:
        import fsspec  # late: a run on local files does without it

        self._stamps: dict[str, dict[str, Stamp]] | None = {} if with_stamps else None  # by folder, then by name

        self._fs = file_system(url, **options)[0]
        self._inside: Callable[[str], str] = fsspec.core.strip_protocol
        self._slash = "/" if url.startswith(("http://", "https://")) else ""  # what a folder's address ends with
        self._fs.invalidate_cache()

    def kind(self, path: str) -> str | None:
        try:
            found = with_retries(lambda: self._fs.info(self._inside(path)))["type"]
        except FileNotFoundError as error:
            if status_of(error) in (None, *_ABSENT):
                return None
            raise root_error(error) from None  # fsspec reports other failures as a missing file
        return "folder" if found == "directory" or (self._slash and path.endswith("/")) else "file"

    def names(self, folder: str) -> list[str]:
        path = self._inside(folder).rstrip("/")
        if folder.endswith("//") and not folder.endswith("://"):
            return self._behind(path, folder[len(folder.rstrip("/")) + 1 :])
        found, stamps = [], {}
        for entry in with_retries(lambda: self._fs.ls(path + self._slash, detail=True)):
            full, is_folder = entry["name"].rstrip("/"), entry["type"] == "directory"
            if self._slash and not _is_right_below(full, path):
                continue
            if full == path and is_folder and not self._slash:  # its own mark, or a folder without a name: "a//b"
                found += ["/"] if self._behind(path, "/") else []
            elif full != path and (is_folder or not entry["name"].endswith("/")):
                name = full.rpartition("/")[2]
                found.append(name + ("/" if is_folder else ""))
                if self._stamps is not None and not is_folder and has_stamp(entry):
                    stamps[name] = Stamp(stamp_of(entry), digest_of(entry))
            elif entry["name"].endswith("/") and entry["size"]:
                # Stores that have no folders mark them by empty objects of such names.
                text = (
                    f'"{folder}" is an object of {entry["size"]} bytes whose name ends with "/"; rename or delete it.'
                )
                raise ListingError(text)
        self._keep(folder, stamps)
        self._fs.invalidate_cache(path)  # else it would remember every name that there is
        found.sort()
        return found

    def _keep(self, folder: str, stamps: dict[str, Stamp]) -> None:
        """Cache the stamps of a folder's files; drop those of folders that do not contain it."""
        if self._stamps is not None:
            self._stamps = {above: each for above, each in self._stamps.items() if folder.startswith(above)}
            self._stamps[folder] = stamps

    def stamp(self, path: str) -> Stamp:
        folder, _, name = path.rpartition("/")
        known = (self._stamps or {}).get(folder + "/", {}).get(name)
        if known is not None:
            return known
        info = with_retries(lambda: self._fs.info(self._inside(path)))
        return Stamp(stamp_of(info) if has_stamp(info) else None, digest_of(info))

    def _behind(self, path: str, slashes: str) -> list[str]:
        """Return the names in a folder whose name consists of slashes, which libraries do not list."""
        prefix = f"{path}/{slashes}"
        full = with_retries(lambda: self._fs.find(path, prefix=slashes))
        names = [each.removeprefix(prefix).partition("/") for each in full if each.startswith(prefix)]
        return sorted({name + slash for name, slash, _ in names})

    def identity(self, folder: str) -> object:
        return folder.removesuffix("/")

    def identity_if_there(self, folder: str) -> object:
        return folder.rstrip("/")

    def upwards(self, folder: str) -> list[str]:
        scheme, separator, path = folder.rstrip("/").partition("://")
        parts = path.split("/")
        return [scheme + separator + "/".join(parts[:length]) for length in range(len(parts), 0, -1)]

    def absence(self, path: str) -> str:
        cause = cause_of(path, FileNotFoundError(path))
        return "" if cause == "it does not exist" else f": {cause}"


class AzureFolders(RemoteFolders):
    """Azure's Blob service, listed through Azure's own library.

    adlfs omits blobs in folders with an empty name, and in folders with the same name as a blob.
    """

    def names(self, folder: str) -> list[str]:
        from fsspec.asyn import sync

        path = self._inside(folder).rstrip("/") + folder[len(folder.rstrip("/")) :]
        container, slash, prefix = path.partition("/")
        if not slash:
            return super().names(folder)  # the containers of the account
        found: dict[str, Stamp | None] = with_retries(lambda: sync(self._fs.loop, self._blobs, container, prefix))
        self._keep(folder, {name: stamp for name, stamp in found.items() if stamp is not None})
        return sorted(found)

    async def _blobs(self, container: str, prefix: str) -> dict[str, Stamp | None]:
        """Return the names directly below a prefix, each with the stamp of a blob or None for a prefix."""
        async with self._fs.service_client.get_container_client(container=container) as client:
            blobs = client.walk_blobs(name_starts_with=prefix, include=["metadata"])
            found = {each.name[len(prefix) :]: _stamp_of_blob(each) async for each in blobs if not _marks_folder(each)}
        found.pop("", None)
        return found


def _stamp_of_blob(blob: Any) -> Stamp | None:
    """Return the stamp of a blob, or None for a prefix of blobs."""
    etag = getattr(blob, "etag", None)
    return (
        Stamp(stamp_of({"size": blob.size, "etag": etag}), digest_of({"content_settings": blob.content_settings}))
        if etag
        else None
    )


def _marks_folder(blob: Any) -> bool:
    """Return whether a blob represents a folder, as in accounts with a hierarchical namespace."""
    metadata = getattr(blob, "metadata", None) or {}
    return any(key.lower() == "hdi_isfolder" and value == "true" for key, value in metadata.items())


def _is_right_below(url: str, folder: str) -> bool:
    """Return whether a link in a directory page leads to an entry of the folder, not to a sort order or elsewhere."""
    parent, _, name = url.rpartition("/")
    return parent == folder and not name.startswith(("?", "#"))
