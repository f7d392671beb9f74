"""The files that a path of an input means, in the order of their full paths.

A path is a file, a folder (all files in it, however deep) or a glob with `*`, `?`, `[...]` and `**`, as the shell
reads them: a leading dot is matched by a leading dot only, and `**` stands for any number of folders. A path that
exists as it is written is no glob, whatever characters it has. Over HTTP, where all is files, a folder is what ends
with a slash and answers with a page of links to what is in it.

A `Selection` leaves out what is no input: run folders, hidden names, a run's own output. It counts what it leaves out.

On a volume that scripts write to, no link leads out of it (`beneath`).

Folders are read one by one, each when its turn comes: the first file is there before the last folder is listed.
"""

from __future__ import annotations

import os
import re
import stat
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import Any

from longshore_storage import beneath
from longshore_storage.causes import cause_of
from longshore_storage.errors import AbsentError, ListingError
from longshore_storage.retrying import patiently, status_of, told_by
from longshore_storage.store import MARKER, UNFINISHED, local_path
from longshore_storage.systems import file_system

_ABSENT = (404, 410)  # HTTP statuses
_MAGIC = re.compile(r"[*?[]")


# Why names are left out, as `Selection.left_out` counts them.
HIDDEN = 'hidden (a leading "." or "_")'
RUN = "run folder"
OWN = "output of this run"
SPECIAL = beneath.SPECIAL


@dataclass
class Selection:
    """Which files count below the folders that a path means. What a path names without wildcards always counts."""

    hidden: bool = True  # whether names with a leading "." or "_" count; "_a=1" is a partition, and is never hidden
    runs: bool = True  # whether folders that `Store.mark` marked count, with all below
    without: tuple[str, ...] = ()  # folders that never count, with all below
    left_out: Counter[str] = field(default_factory=Counter)  # names, a folder being one, by reason

    @property
    def summary(self) -> str:
        """What was left out, as `2 x hidden (...), 1 x run folder`."""
        return ", ".join(f"{number} x {reason}" for reason, number in sorted(self.left_out.items()))


def list_files(path: str, selection: Selection | None = None, **options: Any) -> Iterator[str]:
    """Yield the files that `path` means, each once, in the order of their full paths by code points.

    A local path, or a `file:` URL, yields absolute local paths; another fsspec URL yields URLs of the same form, and
    `options` go to its file system. Links to files are files, as are links that lead nowhere; links to folders are
    followed, but not into a folder that the walk is in. A glob that matches nothing yields nothing. All files count
    without a `selection`.
    Raises ListingError, once the iterator is advanced, for a path that does not exist (AbsentError) or cannot be read.
    """
    local = local_path(path)
    selection = selection or Selection()
    try:
        place: _Place = _Local(selection.left_out) if local is not None else _Remote(path, options)
        yield from _files(place, path if local is None else local, selection)
    except ListingError:
        raise
    except Exception as error:  # each store's library raises its own
        if local is not None and isinstance(error, OSError) and error.strerror:
            cause = error.strerror
        else:
            cause = cause_of(path, error)
        where = getattr(error, "filename", None) or path
        raise ListingError(f'The path "{path}" cannot be listed at "{where}": {cause}.') from error


def _files(place: _Place, path: str, selection: Selection) -> Iterator[str]:
    kind = place.kind(path)
    path = path.rstrip("/") if path.strip("/") and not path.endswith("://") else path
    if kind == "file":
        yield path
    elif kind == "folder":
        yield from _Walk(place, selection).files(path if path.endswith("/") else path + "/", _Everything())
    elif _MAGIC.search(path):
        parts = path.split("/")
        literal = next(number for number, part in enumerate(parts) if _MAGIC.search(part))
        root = "/".join([*parts[:literal], ""])
        if place.kind(root) == "folder":
            yield from _Walk(place, selection).files(root, _Glob(tuple(parts[literal:])))
    else:
        raise AbsentError(f'The path "{path}" does not exist{place.absence(path)}.')


class _Walk:
    """A walk through the folders of a place, which leaves out what a selection does."""

    def __init__(self, place: _Place, selection: Selection) -> None:
        self._place, self._selection = place, selection
        self._own = {there for each in selection.without if (there := place.identity_if_there(each)) is not None}

    def files(self, root: str, pattern: _Pattern) -> Iterator[str]:
        """Yield the files below `root` that match, depth first; `root` ends with a slash. Raises ListingError."""
        place = self._place
        if self._own and any(place.identity_if_there(each) in self._own for each in place.upwards(root)):
            text = "lies in the output of this run, which is no input; name another path"
            raise ListingError(f'The path "{root}" {text}.')
        # One entry per folder on the way down: its path, its identity, the names that are left, the pattern inside it.
        open_folders = [(root, place.identity(root), iter(place.names(root)), pattern)]
        while open_folders:
            folder, _, names, pattern = open_folders[-1]
            for name in names:
                if not name.endswith("/"):
                    if pattern.takes(name) and self._counts(name, pattern):
                        yield folder + name
                    continue
                inside = pattern.within(name[:-1])
                if inside is None or not self._counts(name[:-1], pattern):
                    continue
                identity = place.identity(folder + name)
                if all(identity != above for _, above, _, _ in open_folders):
                    below = self._names(folder + name, identity)
                    open_folders.append((folder + name, identity, iter(below), inside))
                    break
            else:
                open_folders.pop()

    def _counts(self, name: str, pattern: _Pattern) -> bool:
        """Return whether a name counts, as far as the name decides."""
        if name == MARKER and not self._selection.runs:
            return False
        if self._selection.hidden or not _is_hidden(name) or pattern.spells(name):
            return True
        self._selection.left_out[HIDDEN] += 1
        return False

    def _names(self, folder: str, identity: object) -> list[str]:
        """Return the names in a folder below the root, none where the folder is left out."""
        if identity in self._own:
            self._selection.left_out[OWN] += 1
            return []
        names = self._place.names(folder)
        if MARKER in names and not self._selection.runs:
            self._selection.left_out[RUN] += 1
            return []
        return names


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


class _Pattern(ABC):
    """What is wanted of one folder."""

    @abstractmethod
    def takes(self, name: str) -> bool:
        """Tell whether a file of this name is wanted."""

    @abstractmethod
    def within(self, name: str) -> _Pattern | None:
        """Return what is wanted of the sub-folder of this name, None for nothing."""

    def spells(self, name: str) -> bool:
        """Return whether the pattern itself has the first letter of a hidden name."""
        return False


class _Everything(_Pattern):
    def takes(self, name: str) -> bool:
        return not name.startswith(UNFINISHED)

    def within(self, name: str) -> _Pattern | None:
        return self


class _Glob(_Pattern):
    """The rests of a glob that may begin in one folder: several, where `**` may have ended or not."""

    def __init__(self, *rests: tuple[str, ...]) -> None:
        found: dict[tuple[str, ...], None] = {}
        for rest in rests:
            found[rest] = None
            while rest[0] == "**" and len(rest) > 1:  # it may stand for no folder at all
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
    """Return the function that tells whether a name matches one part of a glob."""
    return re.compile(("" if part.startswith(".") else r"(?!\.)") + translate(part)).match


class _Place(ABC):
    """What a walk asks of a store. Folders are named with or without a slash at the end."""

    @abstractmethod
    def kind(self, path: str) -> str | None:
        """Return "file" or "folder", None where there is nothing."""

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, those of folders with a slash behind, sorted.

        The slash makes their order that of the full paths: "a-b" is before "a/c".
        """

    @abstractmethod
    def identity(self, folder: str) -> object:
        """Return what all paths of one folder have in common. Raises OSError."""

    @abstractmethod
    def identity_if_there(self, folder: str) -> object:
        """Return the identity of any folder, None for one that is not in this store."""

    @abstractmethod
    def upwards(self, folder: str) -> list[str]:
        """Return a folder and those above it."""

    def absence(self, path: str) -> str:
        """Return what is to be said of a path that does not exist, behind that."""
        return ""


class _Local(_Place):
    def __init__(self, left_out: Counter[str]) -> None:
        self._left_out = left_out

    def kind(self, path: str) -> str | None:
        try:
            mode = beneath.status(path.rstrip("/") or "/").st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        return "folder" if stat.S_ISDIR(mode) else "file"

    def names(self, folder: str) -> list[str]:
        found = beneath.entries(folder)
        self._left_out.update(SPECIAL for _, kind in found if kind == beneath.SPECIAL)
        # A link that leads nowhere, or out of its volume, fails its mini-batch, and is not hidden.
        return sorted(name + "/" * (kind == beneath.FOLDER) for name, kind in found if kind != beneath.SPECIAL)

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


class _Remote(_Place):
    def __init__(self, url: str, options: dict[str, Any]) -> None:
        import fsspec  # late: a run on local files does without it

        self._fs = file_system(url, **options)[0]
        self._inside: Callable[[str], str] = fsspec.core.strip_protocol
        self._slash = "/" if url.startswith(("http://", "https://")) else ""  # what a folder's address ends with
        self._fs.invalidate_cache()

    def kind(self, path: str) -> str | None:
        try:
            found = patiently(lambda: self._fs.info(self._inside(path)))["type"]
        except FileNotFoundError as error:
            if status_of(error) in (None, *_ABSENT):
                return None
            raise told_by(error) from None  # it was not asked about, whatever fsspec calls it
        return "folder" if found == "directory" or (self._slash and path.endswith("/")) else "file"

    def names(self, folder: str) -> list[str]:
        path = self._inside(folder).rstrip("/")
        if folder.endswith("//") and not folder.endswith("://"):
            return self._behind(path, folder[len(folder.rstrip("/")) + 1 :])
        found = []
        for entry in patiently(lambda: self._fs.ls(path + self._slash, detail=True)):
            full, is_folder = entry["name"].rstrip("/"), entry["type"] == "directory"
            if self._slash and not _is_right_below(full, path):
                continue
            if full == path and is_folder and not self._slash:  # its own mark, or a folder without a name: "a//b"
                found += ["/"] if self._behind(path, "/") else []
            elif full != path and (is_folder or not entry["name"].endswith("/")):
                found.append(full.rpartition("/")[2] + ("/" if is_folder else ""))
            elif entry["name"].endswith("/") and entry["size"]:
                # Stores that have no folders mark them by empty objects of such names.
                text = f'"{folder}" is an object of {entry["size"]} bytes, and only a file whose name does not end'
                raise ListingError(f'{text} with "/" can be read: rename or delete it.')
        self._fs.invalidate_cache(path)  # else it would remember every name that there is
        found.sort()
        return found

    def _behind(self, path: str, slashes: str) -> list[str]:
        """Return the names in a folder that is called by slashes alone, which no library lists as a folder."""
        prefix = f"{path}/{slashes}"
        full = patiently(lambda: self._fs.find(path, prefix=slashes))
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
        return "" if cause == "it is not there" else f": {cause}"


def _is_right_below(url: str, folder: str) -> bool:
    """Tell whether a link of a page leads to something in its folder: pages of servers link to other orders too."""
    parent, _, name = url.rpartition("/")
    return parent == folder and not name.startswith(("?", "#"))
