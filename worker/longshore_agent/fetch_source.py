"""`python -m longshore_agent.fetch_source URI FOLDER`: download a script's source into a folder.

URI is a local path or a URL of a folder or a .zip file. It runs as an init container of a worker whose source is in a
store, so that the user's container needs no credentials. On failure it writes one sentence to stderr and to the
termination log, and exits with 1.
"""

from __future__ import annotations

import os
import stat
import sys
import zipfile

from longshore_agent.fetching import base_name
from longshore_agent.trees import fetch_file_to, fetch_tree, inside
from longshore_protocol.termination import leave_in_log
from longshore_storage.causes import cause_of
from longshore_storage.errors import ShownError

_ARCHIVE = ".source.zip"
_MOST_FILES = 100_000  # in a .zip file
_MOST_BYTES = 4 << 30  # unpacked size of a .zip file
_RATIO, _SMALL = 200, 100 << 20  # above 100 MB, a .zip file that unpacks to 200 times its size is rejected


class SourceError(ShownError):
    """The source cannot be fetched; the message is one sentence that names its location and the cause."""


def fetch_source(uri: str, folder: str) -> None:
    """Copy the folder `uri`, or unpack the .zip file `uri`, into the local `folder`, which is created. Blocking.

    Files that an earlier try left are replaced.

    Raises:
        SourceError: The source cannot be fetched or is not supported.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        _fetch(uri, folder)
    except SourceError:
        raise
    except ValueError as error:  # raised below, with a message for users
        raise SourceError(f'The source "{uri}" cannot be fetched: {error}.') from error
    except Exception as error:  # each store's library raises its own
        raise SourceError(f'The source "{uri}" cannot be fetched: {cause_of(uri, error)}.') from error


def _fetch(uri: str, folder: str) -> None:
    if base_name(uri).lower().endswith(".zip"):
        _fetch_archive(uri, folder)
    elif uri.startswith(("http://", "https://")):
        raise SourceError(f'The source "{uri}" is not a .zip file, the only kind of source over HTTP.')
    elif not fetch_tree(uri, folder):
        raise SourceError(f'The source "{uri}" is a file; it must be a folder or a .zip file.')


def _fetch_archive(uri: str, folder: str) -> None:
    archive = os.path.join(folder, _ARCHIVE)
    try:
        fetch_file_to(uri, archive)
        _unpack(archive, folder)
    finally:
        if os.path.exists(archive):
            os.unlink(archive)


def _unpack(archive: str, folder: str) -> None:
    """Unpack a .zip file with regular files and folders only.

    Raises:
        ValueError: A member is a link or leads out of the folder, or the archive is too large.
        OSError: A file cannot be written.
        BadZipFile: The archive is damaged.
    """
    with zipfile.ZipFile(archive) as packed:
        members = packed.infolist()
        _check_size(members, os.path.getsize(archive))
        for member in members:  # check all of them before writing the first
            if stat.S_ISLNK(member.external_attr >> 16):
                raise ValueError(f"{member.filename!r} in it is a symbolic link, which is not supported")
            inside(folder, member.filename.rstrip("/"))
        for member in members:
            packed.extract(member, folder)


def _check_size(members: list[zipfile.ZipInfo], packed: int) -> None:
    """Raise ValueError for an archive that would fill the disk. No member unpacks to more than its declared size."""
    size = sum(member.file_size for member in members)
    if len(members) > _MOST_FILES:
        raise ValueError(f"it has {len(members)} files; the limit is {_MOST_FILES}")
    if size > _MOST_BYTES:
        raise ValueError(f"it unpacks to {size >> 20} MiB; the limit is {_MOST_BYTES >> 20} MiB")
    if size > max(_SMALL, _RATIO * packed):
        raise ValueError(f"its {packed >> 10} KiB unpack to {size >> 20} MiB, more than source code does")


def main() -> int:
    """Run the command; return its exit code."""
    uri, folder = sys.argv[1:]
    if "LONGSHORE_UMASK" in os.environ:
        os.umask(int(os.environ["LONGSHORE_UMASK"], 8))
    try:
        fetch_source(uri, folder)
    except SourceError as error:
        sys.stderr.write(f"longshore-agent: {error}\n")
        leave_in_log(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
