"""List the files of an input's path in the order of their full paths.

A path is a file, a folder (all files below it) or a glob with `*`, `?`, `[...]` and `**`, interpreted as by the shell:
only a leading dot in the pattern matches a leading dot, and `**` matches any number of folders. A path that exists
literally is never a glob. Over HTTP, a folder is a URL that ends with a slash and returns a page of links.

A `Selection` skips files that are not inputs: run folders, hidden names and the run's own output. It counts what it
skips. On a volume that scripts write to, links out of the volume are not followed (`beneath`).

Folders are listed lazily: the first file is available before the last folder is listed.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import Any

from longshore_storage.causes import cause_of
from longshore_storage.errors import AbsentError, ListingError
from longshore_storage.folders import Folders, Stamp, folders_of
from longshore_storage.store import MARKER, UNFINISHED, local_path

_MAGIC = re.compile(r"[*?[]")

# Reasons for skipping names, the keys of `Selection.left_out`.
HIDDEN = 'hidden (a leading "." or "_")'
RUN = "run folder (read where the path names it)"
OWN = "output of this run"


@dataclass
class Selection:
    """Which files below a folder or glob are listed. A path without wildcards is always listed itself."""

    hidden: bool = True  # whether to list names with a leading "." or "_"; partitions such as "_a=1" always are
    runs: bool = True  # whether to list folders that `Store.mark` marked
    without: tuple[str, ...] = ()  # folders that are never listed
    left_out: Counter[str] = field(default_factory=Counter)  # skipped files and folders, by reason

    @property
    def summary(self) -> str:
        """The skipped names, as `2 x hidden (...), 1 x run folder`."""
        return ", ".join(f"{number} x {reason}" for reason, number in sorted(self.left_out.items()))


def list_files(path: str, selection: Selection | None = None, **options: Any) -> Iterator[str]:
    """Yield the files of a path, each once, in the order of their full paths by code points.

    Links to files and broken links are yielded as files. Links to folders are followed, except into a folder that the
    walk is in. A glob that matches nothing yields nothing.

    Args:
        path: A local path or `file:` URL, which yields absolute local paths, or another fsspec URL, which yields URLs.
        selection: The files to list; by default all.
        options: Options of the URL's file system.

    Raises:
        AbsentError: The path does not exist. Raised when the iterator is advanced.
        ListingError: The path cannot be read.
    """
    for _, file in _found(path, selection or Selection(), options):
        yield file


def list_stamped(path: str, selection: Selection | None = None, **options: Any) -> Iterator[tuple[str, Stamp | None]]:
    """Yield each file as `list_files` does, with its stamp, or None for a broken link or a file that was just removed.

    Most stores list stamps with the names; others receive a request for each file. Raises ListingError.
    """
    for folders, file in _found(path, selection or Selection(), options, with_stamps=True):
        try:
            yield file, folders.stamp(file)
        except (FileNotFoundError, NotADirectoryError):
            yield file, None
        except Exception as error:  # each store's library raises its own
            raise ListingError(f'The file "{file}" cannot be read: {_cause(file, error)}.') from error


def _found(
    path: str, selection: Selection, options: dict[str, Any], *, with_stamps: bool = False
) -> Iterator[tuple[Folders, str]]:
    """Yield each file with the interface to its folders. Raises ListingError."""
    local = local_path(path)
    try:
        folders = folders_of(path, selection.left_out, options, with_stamps=with_stamps)
        for file in _files(folders, path if local is None else local, selection):
            yield folders, file
    except ListingError:
        raise
    except Exception as error:  # each store's library raises its own
        where = getattr(error, "filename", None) or path
        raise ListingError(f'The path "{path}" cannot be listed at "{where}": {_cause(path, error)}.') from error


def _cause(path: str, error: Exception) -> str:
    is_local = local_path(path) is not None
    return error.strerror if is_local and isinstance(error, OSError) and error.strerror else cause_of(path, error)


def folder_of(path: str) -> str | None:
    """Return the local folder of a path or the fixed parent folder of a glob; None for files and remote paths."""
    local = local_path(path)
    if local is None or os.path.isdir(local):
        return local
    parts = local.split("/")
    literal = next((number for number, part in enumerate(parts) if _MAGIC.search(part)), None)
    return None if literal is None else "/".join(parts[:literal]) or "/"


def _files(folders: Folders, path: str, selection: Selection) -> Iterator[str]:
    kind = folders.kind(path)
    path = path.rstrip("/") if path.strip("/") and not path.endswith("://") else path
    if kind == "file":
        yield path
    elif kind == "folder":
        yield from _Walk(folders, selection).files(path if path.endswith("/") else path + "/", _Everything())
    elif _MAGIC.search(path):
        parts = path.split("/")
        literal = next(number for number, part in enumerate(parts) if _MAGIC.search(part))
        root = "/".join([*parts[:literal], ""])
        if folders.kind(root) == "folder":
            yield from _Walk(folders, selection).files(root, _Glob(tuple(parts[literal:])))
    else:
        raise AbsentError(f'The path "{path}" does not exist{folders.absence(path)}.')


class _Walk:
    """A depth-first walk that skips what a selection excludes."""

    def __init__(self, folders: Folders, selection: Selection) -> None:
        self._folders, self._selection = folders, selection
        self._own = {own for each in selection.without if (own := folders.identity_if_there(each)) is not None}

    def files(self, root: str, pattern: _Pattern) -> Iterator[str]:
        """Yield the files below `root` that match, depth first; `root` ends with a slash. Raises ListingError."""
        folders = self._folders
        if self._own and any(folders.identity_if_there(each) in self._own for each in folders.upwards(root)):
            text = "is in the output of this run, which cannot be an input; name another path"
            raise ListingError(f'The path "{root}" {text}.')
        # One entry for each folder on the path: its path, identity, remaining names, and the pattern inside it.
        open_folders = [(root, folders.identity(root), iter(folders.names(root)), pattern)]
        while open_folders:
            folder, _, names, pattern = open_folders[-1]
            for name in names:
                if not name.endswith("/"):
                    # Fast path: there may be millions of names.
                    if pattern.takes(name) and (name[0] not in "._" or self._counts(name, pattern)):
                        yield folder + name
                    continue
                inside = pattern.within(name[:-1])
                if inside is None or not self._counts(name[:-1], pattern):
                    continue
                identity = folders.identity(folder + name)
                if all(identity != above for _, above, _, _ in open_folders):
                    below = self._names(folder + name, identity)
                    open_folders.append((folder + name, identity, iter(below), inside))
                    break
            else:
                open_folders.pop()

    def _counts(self, name: str, pattern: _Pattern) -> bool:
        """Return whether to list a name, judged by the name alone."""
        if name == MARKER and not self._selection.runs:
            return False
        if self._selection.hidden or not _is_hidden(name) or pattern.spells(name):
            return True
        self._selection.left_out[HIDDEN] += 1
        return False

    def _names(self, folder: str, identity: object) -> list[str]:
        """Return the names in a folder below the root; [] if the selection excludes the folder."""
        if identity in self._own:
            self._selection.left_out[OWN] += 1
            return []
        names = self._folders.names(folder)
        if MARKER in names and not self._selection.runs:
            self._selection.left_out[RUN] += 1
            return []
        return names


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


class _Pattern(ABC):
    """A pattern for the names in one folder."""

    @abstractmethod
    def takes(self, name: str) -> bool:
        """Return whether a file of this name matches."""

    @abstractmethod
    def within(self, name: str) -> _Pattern | None:
        """Return the pattern for the subfolder of this name, or None if nothing in it can match."""

    def spells(self, name: str) -> bool:
        """Return whether the pattern spells out the first letter of a hidden name."""
        return False


class _Everything(_Pattern):
    def takes(self, name: str) -> bool:
        return not name.startswith(UNFINISHED)

    def within(self, name: str) -> _Pattern | None:
        return self


class _Glob(_Pattern):
    """The alternative remainders of a glob in one folder; `**` may or may not have ended."""

    def __init__(self, *rests: tuple[str, ...]) -> None:
        found: dict[tuple[str, ...], None] = {}
        for rest in rests:
            found[rest] = None
            while rest[0] == "**" and len(rest) > 1:  # `**` may match no folder
                rest = rest[1:]
                found[rest] = None
        self._deep = [rest for rest in found if rest[0] == "**"]
        self._next = [(_matcher(rest[0]), rest[1:]) for rest in found if len(rest) > 1 and rest[0] != "**"]
        self._last = [_matcher(rest[0]) for rest in found if len(rest) == 1]
        self._parts = [rest[0] for rest in found]

    def takes(self, name: str) -> bool:
        return not name.startswith(UNFINISHED) and any(matches(name) for matches in self._last)

    def within(self, name: str) -> _Pattern | None:
        deeper = [] if name.startswith(".") else list(self._deep)
        deeper += [rest for matches, rest in self._next if matches(name)]
        return _Glob(*deeper) if deeper else None

    def spells(self, name: str) -> bool:
        return any(part[0] == name[0] and _matcher(part)(name) for part in self._parts if part)


@lru_cache
def _matcher(part: str) -> Callable[[str], object]:
    """Return a predicate for names that match one part of a glob."""
    return re.compile(("" if part.startswith(".") else r"(?!\.)") + translate(part)).match
