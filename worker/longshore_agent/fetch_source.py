"""`python -m longshore_agent.fetch_source URI FOLDER`: lay a script's source folder out, wherever it lies.

URI is a folder or a .zip, a path of this machine or any URL. Runs as the init container of a worker whose source is in
a store; the user's container has the folder, and no credential. On failure it says why in one sentence, also as the
container's last words, and ends with 1.
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
_MOST_FILES = 100_000  # in a .zip
_MOST_BYTES = 4 << 30  # that a .zip is unpacked to
_RATIO, _SMALL = 200, 100 << 20  # above so many bytes, a .zip that grows so many times is no code


class SourceError(ShownError):
    """The source cannot be brought; the message is one sentence that names the place and the cause."""


def fetch_source(uri: str, folder: str) -> None:
    """Copy the folder `uri`, or unpack the .zip `uri`, into a folder, which is made if it is not there.

    What an earlier try left is replaced. Blocking. Raises SourceError.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        _fetch(uri, folder)
    except SourceError:
        raise
    except ValueError as error:  # our own, with a sentence of its own
        raise SourceError(f"The source {uri} cannot be brought: {error}.") from error
    except Exception as error:  # each store's library raises its own
        raise SourceError(f"The source {uri} cannot be brought: {cause_of(uri, error)}.") from error


def _fetch(uri: str, folder: str) -> None:
    if base_name(uri).lower().endswith(".zip"):
        _fetch_archive(uri, folder)
    elif uri.startswith(("http://", "https://")):
        raise SourceError(f"The source {uri} is not a .zip, and over HTTP there are no folders.")
    elif not fetch_tree(uri, folder):
        raise SourceError(f"The source {uri} is a file, and neither a folder nor a .zip.")


def _fetch_archive(uri: str, folder: str) -> None:
    archive = os.path.join(folder, _ARCHIVE)
    try:
        fetch_file_to(uri, archive)
        _unpack(archive, folder)
    finally:
        if os.path.exists(archive):
            os.unlink(archive)


def _unpack(archive: str, folder: str) -> None:
    """Unpack a zip file: files and folders only, none outside the folder. Raises ValueError, OSError, BadZipFile."""
    with zipfile.ZipFile(archive) as packed:
        members = packed.infolist()
        _check_size(members, os.path.getsize(archive))
        for member in members:  # all are looked at before the first is written
            if stat.S_ISLNK(member.external_attr >> 16):
                raise ValueError(f"{member.filename!r} in it is a link, which a source may not have")
            inside(folder, member.filename.rstrip("/"))
        for member in members:
            packed.extract(member, folder)


def _check_size(members: list[zipfile.ZipInfo], packed: int) -> None:
    """Raise ValueError for what would fill the disk; no member unpacks to more than it says."""
    size = sum(member.file_size for member in members)
    if len(members) > _MOST_FILES:
        raise ValueError(f"it holds {len(members)} files, and a source may have {_MOST_FILES}")
    if size > _MOST_BYTES:
        raise ValueError(f"it unpacks to {size >> 20} MiB, and a source may have {_MOST_BYTES >> 20}")
    if size > max(_SMALL, _RATIO * packed):
        raise ValueError(f"its {packed >> 10} KiB unpack to {size >> 20} MiB, which no code does")


def main() -> int:
    """Carry out the command."""
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
