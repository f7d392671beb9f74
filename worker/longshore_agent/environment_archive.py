"""Archives of environments: a folder of installed packages as one compressed file, and back.

An archive is a Zstandard stream of an index and the content of all files. The index is a JSON document behind its
length: a list of entries, in the order of the content. Equal folders give equal archives: entries are sorted, and have
neither times nor owners.

Workers wait for it. With scikit-learn (300 MB, 6,400 files) it unpacks in a third of the processor time of a .tar file.
Zstandard packs in an eighth of the time of gzip's fastest level and unpacks in a fifth, for the same size.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import pyarrow

from longshore_agent.trees import inside

_CODEC = "zstd"
_PART = 1 << 20  # bytes
_LENGTH = 8  # bytes of the length of the index
_LARGEST_INDEX = 1 << 28  # bytes: a million files
_EXECUTABLE, _READABLE = 0o755, 0o644


class ArchiveError(ValueError):
    """A folder that cannot be packed, or an archive that cannot be unpacked; the message is a clause."""


class Entry(NamedTuple):
    """A file, a folder, whose name ends with a slash, or a symbolic link, which has a target."""

    name: str
    mode: int = 0
    size: int = 0  # bytes
    target: str = ""


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, b"" at the end."""


def pack(folder: str, target: str) -> None:
    """Write the archive of a folder's files, folders and symbolic links to the file `target`.

    Raises:
        ArchiveError: The folder has something else, such as a pipe, or a file changes meanwhile.
        OSError: A file cannot be read, or the archive cannot be written.
    """
    entries = [_entry(path, os.path.relpath(path, folder)) for path in _sorted(folder)]
    index = json.dumps(entries, separators=(",", ":")).encode()
    with pyarrow.CompressedOutputStream(target, _CODEC) as stream:
        stream.write(len(index).to_bytes(_LENGTH, "big"))
        stream.write(index)
        for entry in entries:
            if entry.size:
                with open(os.path.join(folder, entry.name), "rb", opener=_open_no_link) as file:
                    for part in _parts(file, entry.size):
                        stream.write(part)


def unpack(archive: Readable, folder: str) -> str:
    """Unpack an archive into an empty folder; return the SHA-256 digest of the archive, as hexadecimal digits.

    What an archive contains is not trusted: nothing is written outside of the folder. Links are created last, so that
    no file is written through one, and nothing that runs here reads them.

    Raises:
        ArchiveError: The archive is damaged, or has an entry that is not supported.
        OSError: A file cannot be written. Streams of stores raise errors of their own.
    """
    source = _Digesting(archive)
    with pyarrow.CompressedInputStream(source, _CODEC) as stream:
        links = []
        for entry in _index(stream):
            path = inside(folder, entry.name.removesuffix("/"))
            if entry.target:
                links.append((entry.target, path))
            elif entry.name.endswith("/"):
                os.mkdir(path)
            else:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, entry.mode & _EXECUTABLE)
                try:
                    for part in _parts(stream, entry.size):
                        os.write(descriptor, part)
                finally:
                    os.close(descriptor)
    for goal, path in links:
        os.symlink(goal, path)
    return source.digest()


class _Digesting:
    """A stream that computes the digest of what is read from it."""

    def __init__(self, stream: Readable) -> None:
        self._stream, self._hash = stream, hashlib.sha256()
        self.closed = False  # asked by pyarrow

    def read(self, size: int = -1, /) -> bytes:
        part = self._stream.read(size)
        self._hash.update(part)
        return part

    def close(self) -> None:
        self.closed = True

    def digest(self) -> str:
        """Return the digest of the whole stream, whose rest is read."""
        while self.read(_PART):
            pass
        return self._hash.hexdigest()


def _sorted(folder: str) -> Iterator[str]:
    """Yield the paths of everything below a folder; folders before what they contain."""
    for parent, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        yield from (os.path.join(parent, each) for each in sorted([*folders, *files]))


def _entry(path: str, name: str) -> Entry:
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        return Entry(name, target=os.readlink(path))
    if stat.S_ISDIR(found.st_mode):
        return Entry(f"{name}/")
    if stat.S_ISREG(found.st_mode):
        return Entry(name, _EXECUTABLE if found.st_mode & stat.S_IXUSR else _READABLE, found.st_size)
    raise ArchiveError(f"{name!r} is no file, folder or symbolic link")


def _index(stream: Readable) -> Iterator[Entry]:
    """Yield the entries of an archive whose content follows. Raises ArchiveError."""
    length = int.from_bytes(b"".join(_parts(stream, _LENGTH)), "big")
    if length > _LARGEST_INDEX:
        raise ArchiveError("it is damaged: its index is too long")
    try:
        entries = json.loads(b"".join(_parts(stream, length)))
    except ValueError as error:
        raise ArchiveError(f"it is damaged: {error}") from error
    for each in entries:
        match each:
            case [str(), int(), int(), str()]:
                yield Entry(*each)
            case _:
                raise ArchiveError(f"it is damaged: {each!r} is no entry")


def _parts(stream: Readable, size: int) -> Iterator[bytes]:
    """Yield the next `size` bytes of a stream. Raises ArchiveError if there are fewer."""
    while size > 0:
        part = stream.read(min(size, _PART))
        if not part:
            raise ArchiveError("it is damaged: a file ends too early")
        size -= len(part)
        yield part


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _raise(error: OSError) -> None:
    raise error
