"""Uploads from a script to a Datastore. Blocking.

The script puts the files into a folder that it shares with the agent. It may write there at any time, so nothing in it
is trusted: links are not followed, and names are checked one by one.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Callable, Iterator
from typing import BinaryIO

from longshore_agent.requests import RequestError
from longshore_agent.shipping import PART, copy_large, open_files
from longshore_agent.trees import inside
from longshore_agent.unreadable import Unreadable
from longshore_protocol import messages
from longshore_storage import beneath
from longshore_storage.store import MARKER, UNFINISHED, Store, local_path, open_store

_RUNS = "longshore"  # the folder of a Datastore that contains the folders of its runs


class Target:
    """A folder of a Datastore that a script uploads to.

    Args:
        datastore: Name of the Datastore.
        root: Its root.
        folder: Path below the root; "" for the root itself.
        run_uri: Folder of the run, which scripts never write to.
    """

    def __init__(self, datastore: str, root: str, folder: str, *, run_uri: str) -> None:
        self._datastore = datastore
        self._store: Store = open_store(root)
        self._root = (local_path(root) or root).rstrip("/")
        self._run = (local_path(run_uri) or run_uri).rstrip("/")
        self._checked: dict[str, bool] = {}  # folders: whether they belong to a run
        self._folder = folder
        self._written: set[str] = set()  # by this object, which a retry must not take for existing files

    def upload(self, source: str, *, overwrite: bool, check: Callable[[], None]) -> tuple[int, list[str]]:
        """Upload all regular files below a local folder; return how many, and the names of those that exist already.

        Args:
            source: The local folder.
            overwrite: Replace existing files; otherwise they are left alone.
            check: Called before each file; an exception cancels the rest.

        Raises:
            RequestError: The path leads out of the Datastore or into the folder of a run, or a file cannot be read.
            OSError: A file cannot be uploaded. Stores' libraries raise errors of their own.
        """
        refused: list[Unreadable] = []
        existing = []
        folder = "/".join(each for each in self._folder.split("/") if each not in ("", "."))
        self._check(folder or "file")
        for name, file in open_files(source, changed=lambda *_: True, refused=refused):
            check()
            place = posixpath.join(folder, name)
            self._check(place)
            if place not in self._written:
                if self._write(place, file, overwrite=overwrite):
                    self._written.add(place)
                else:
                    existing.append(place)
        if refused:
            text = f'The file "{refused[0].name}" cannot be uploaded: Longshore may not read it.'
            raise RequestError(text, messages.INVALID)
        return len(self._written), existing

    def _write(self, place: str, file: BinaryIO, *, overwrite: bool) -> bool:
        """Write one file; return False if it exists and must not be replaced."""
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        with self._opened(place) as (store, name):
            if size <= PART and not overwrite:
                return store.create(name, file.read(size))
            if not overwrite and store.exists(name):
                return False
            if size <= PART:
                store.put(name, file.read(size))
            else:
                copy_large(file, store, name, size=size)
            return True

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[tuple[Store, str]]:
        """Yield a store, and the name in it of a path below the root.

        On a volume, scripts can create links, also between two calls. There the store is the folder that was opened,
        and the folder's real path must be allowed, too.
        """
        if beneath.volume_of(self._root) is None:
            yield self._store, path
            return
        folder, name = posixpath.split(path)
        with beneath.in_folder(posixpath.join(self._root, folder), make=True) as opened:
            real = os.path.relpath(os.path.realpath(opened), os.path.realpath(self._root))
            self._check(posixpath.normpath(posixpath.join(real, name)))
            yield open_store(opened), name

    def _check(self, path: str) -> None:
        """Raise RequestError unless a script may write to a path below the root."""
        try:
            inside(self._root, path)
        except ValueError as error:
            text = f'The path "{path}" does not stay below Datastore "{self._datastore}"; write it without "..".'
            raise RequestError(text, messages.INVALID) from error
        parts = path.split("/")
        whole = f"{self._root}/{path}"
        is_of_run = parts[0] == _RUNS or whole == self._run or whole.startswith(f"{self._run}/")
        folders = ["/".join(parts[:count]) for count in range(len(parts))]
        if is_of_run or parts[-1].startswith((MARKER, UNFINISHED)) or any(map(self._belongs_to_run, folders)):
            text = (
                f'The path "{path}" of Datastore "{self._datastore}" is part of a run, where a script may write to its '
                "outputs only; choose another path."
            )
            raise RequestError(text, messages.NOT_ALLOWED)

    def _belongs_to_run(self, folder: str) -> bool:
        if folder not in self._checked:
            self._checked[folder] = self._store.exists(f"{folder}/{MARKER}".lstrip("/"))
        return self._checked[folder]
