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

# Why names are left out, as `Selection.left_out` counts them.
HIDDEN = 'hidden (a leading "." or "_")'
RUN = "run folder (read where the path names it)"
OWN = "output of this run"


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
    for _, file in _found(path, selection or Selection(), options):
        yield file


def list_stamped(path: str, selection: Selection | None = None, **options: Any) -> Iterator[tuple[str, Stamp | None]]:
    """Yield each file as `list_files` does, with its stamp; None for a broken link, or a file that was just removed.

    Stores return stamps with the names of a folder; only where they do not, they are asked about each file.
    Raises ListingError as `list_files` does.
    """
    for place, file in _found(path, selection or Selection(), options, with_stamps=True):
        try:
            yield file, place.stamp(file)
        except (FileNotFoundError, NotADirectoryError):
            yield file, None
        except Exception as error:  # each store's library raises its own
            raise ListingError(f'The file "{file}" cannot be read: {_cause(file, error)}.') from error


def _found(
    path: str, selection: Selection, options: dict[str, Any], *, with_stamps: bool = False
) -> Iterator[tuple[Folders, str]]:
    """Yield each file with the folders that it is among. Raises ListingError."""
    local = local_path(path)
    try:
        place = folders_of(path, selection.left_out, options, with_stamps=with_stamps)
        for file in _files(place, path if local is None else local, selection):
            yield place, file
    except ListingError:
        raise
    except Exception as error:  # each store's library raises its own
        where = getattr(error, "filename", None) or path
        raise ListingError(f'The path "{path}" cannot be listed at "{where}": {_cause(path, error)}.') from error


def _cause(path: str, error: Exception) -> str:
    is_local = local_path(path) is not None
    return error.strerror if is_local and isinstance(error, OSError) and error.strerror else cause_of(path, error)


def folder_of(path: str) -> str | None:
    """Return the local folder that a path means, or whose files a glob may match; None for a file, and other stores."""
    local = local_path(path)
    if local is None or os.path.isdir(local):
        return local
    parts = local.split("/")
    literal = next((number for number, part in enumerate(parts) if _MAGIC.search(part)), None)
    return None if literal is None else "/".join(parts[:literal]) or "/"


def _files(place: Folders, path: str, selection: Selection) -> Iterator[str]:
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

    def __init__(self, place: Folders, selection: Selection) -> None:
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
                    # Most names need no further look, and there may be millions.
                    if pattern.takes(name) and (name[0] not in "._" or self._counts(name, pattern)):
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
