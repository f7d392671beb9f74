"""Archives of environments: a folder of installed packages as one compressed file, and back.

Equal folders give equal archives: entries are sorted, and have neither times nor owners. The compression is Zstandard.
Compared with gzip's fastest level, it packs scikit-learn (300 MB) in an eighth of the time and unpacks it in a fifth.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from typing import Protocol

import pyarrow

from longshore_agent.trees import inside

_CODEC = "zstd"
_PART = 1 << 20  # bytes
_EXECUTABLE, _READABLE = 0o755, 0o644


class ArchiveError(ValueError):
    """A folder that cannot be packed, or an archive that cannot be unpacked; the message is a clause."""


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, b"" at the end."""


def pack(folder: str, target: str) -> None:
    """Write the archive of a folder's files, folders and symbolic links to the file `target`.

    Raises:
        ArchiveError: The folder has something else, such as a pipe.
        OSError: A file cannot be read, or the archive cannot be written.
    """
    with (
        pyarrow.CompressedOutputStream(target, _CODEC) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in _sorted(folder):
            entry = _entry(path, os.path.relpath(path, folder))
            if entry.isreg():
                with open(path, "rb", opener=_open_no_link) as file:
                    archive.addfile(entry, file)
            else:
                archive.addfile(entry)


def unpack(archive: Readable, folder: str) -> str:
    """Unpack an archive into an empty folder; return the SHA-256 digest of the archive, as hexadecimal digits.

    What an archive contains is not trusted: nothing is written outside of the folder. Links are created last, so that
    no file is written through one, and nothing that runs here reads them.

    Raises:
        ArchiveError: The archive is damaged, or has an entry that is not supported.
        OSError: A file cannot be written. Streams of stores raise errors of their own.
    """
    source = _Digesting(archive)
    links: list[tuple[str, str]] = []
    try:
        with (
            pyarrow.CompressedInputStream(source, _CODEC) as stream,
            tarfile.open(fileobj=stream, mode="r|", bufsize=_PART) as entries,
        ):
            for entry in entries:
                path = inside(folder, entry.name)
                if entry.isdir():
                    os.makedirs(path, exist_ok=True)
                elif entry.isreg():
                    _write(entries.extractfile(entry), path, mode=entry.mode)
                elif entry.issym():
                    links.append((entry.linkname, path))
                else:
                    raise ArchiveError(f"it contains {entry.name!r}, which is no file, folder or symbolic link")
    except (tarfile.TarError, EOFError) as error:
        raise ArchiveError(f"it is damaged: {error}") from error
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


def _entry(path: str, name: str) -> tarfile.TarInfo:
    found, entry = os.lstat(path), tarfile.TarInfo(name)
    if stat.S_ISLNK(found.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif stat.S_ISDIR(found.st_mode):
        entry.type, entry.mode = tarfile.DIRTYPE, _EXECUTABLE
    elif stat.S_ISREG(found.st_mode):
        entry.size = found.st_size
        entry.mode = _EXECUTABLE if found.st_mode & stat.S_IXUSR else _READABLE
    else:
        raise ArchiveError(f"{name!r} is no file, folder or symbolic link")
    return entry


def _write(source: Readable | None, path: str, *, mode: int) -> None:
    assert source is not None, "a file has content"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & _EXECUTABLE)
    with open(descriptor, "wb", buffering=0) as file:
        while part := source.read(_PART):
            file.write(part)


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _raise(error: OSError) -> None:
    raise error
