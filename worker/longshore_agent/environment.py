"""`python -m longshore_agent.environment find|publish|unpack URI FOLDER`: built environments in a store.

find     looks for a complete archive at URI; if there is one, writes its manifest to FOLDER
publish  packs FOLDER and uploads it to URI, unless a complete archive is there; leaves the manifest as last words
unpack   unpacks the archive at URI into FOLDER, and verifies its digest

URI is a local path or a URL. `find` and `publish` run in the pod of a builder, before and after the container that
installs packages; `unpack` runs in the pods of steps. On failure they write one sentence to stderr and to the
termination log, and exit with 1; with 3 if `unpack` finds no archive.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from longshore_protocol.importing import importing

with importing():  # the script waits for it
    from longshore_agent.environment_archive import ArchiveError, pack, unpack
    from longshore_agent.trees import fetch_file_to
    from longshore_protocol.built_environment import MANIFEST, MISSING, BuiltEnvironment
    from longshore_protocol.redaction import redacted
    from longshore_protocol.termination import leave, leave_in_log
    from longshore_storage.causes import cause_of
    from longshore_storage.errors import ShownError
    from longshore_storage.files import file_size
    from longshore_storage.store import Store, local_path, open_store

_SUFFIX = ".zst"
_OF_EACH = "pyvenv.cfg"  # a file that each environment has
_PART = 1 << 20  # bytes


class EnvironmentStoreError(ShownError):
    """An environment cannot be published or unpacked; the message is one sentence."""


class AbsentEnvironmentError(EnvironmentStoreError):
    """The store has no complete archive of the environment."""


def find_environment(uri: str) -> BuiltEnvironment | None:
    """Return the manifest of the environment at `uri`; None if there is none, or if its archive is not complete.

    A manifest without its archive is deleted, so that another one can be created. Blocking; raises OSError and the
    errors of stores' libraries.
    """
    store = open_store(uri)
    found = _manifest(store)
    if found is None or _is_whole(store, found):
        return found
    store.delete(MANIFEST)
    return None


def publish_environment(folder: str, uri: str) -> BuiltEnvironment:
    """Publish the environment in the local `folder` at `uri`; return its manifest, or that of an earlier builder.

    The archive is named by its digest and uploaded first. Archives of other builders are deleted at the end. Blocking.

    Raises:
        ArchiveError: The folder cannot be packed.
        OSError: A file cannot be read or written. Stores' libraries raise errors of their own.
    """
    store = open_store(uri)
    found = find_environment(uri)
    if found is not None:
        return replace(found, is_new=False)
    if not os.path.isfile(os.path.join(folder, _OF_EACH)):
        raise ArchiveError("it is empty")
    with tempfile.TemporaryDirectory() as scratch:
        packed = os.path.join(scratch, "archive")
        pack(folder, packed)
        with open(packed, "rb") as archive:
            digest = hashlib.file_digest(archive, "sha256").hexdigest()
            made = BuiltEnvironment(f"{digest}{_SUFFIX}", digest, archive.tell())
            archive.seek(0)
            store.mark()
            with store.writer(made.archive) as target:
                shutil.copyfileobj(archive, target, _PART)
    is_first = store.create(MANIFEST, made.to_json().encode())
    published = _manifest(store)
    if published is None:
        raise OSError("its manifest was deleted meanwhile")
    for name in store.names():
        if name.endswith(_SUFFIX) and name != published.archive:
            store.delete(name)
    return replace(published, is_new=is_first)


def unpack_environment(uri: str, folder: str) -> None:
    """Unpack the environment at `uri` into the local `folder`, which is emptied first. Blocking.

    Raises:
        AbsentEnvironmentError: There is no archive.
        ArchiveError: The archive is damaged.
        OSError: A file cannot be written. Stores' libraries raise errors of their own.
    """
    store = open_store(uri)
    found = _manifest(store)
    if found is None:
        raise AbsentEnvironmentError(f'The environment "{uri}" does not exist; it is built again.')
    os.makedirs(folder, exist_ok=True)
    _empty(folder)
    try:
        with _opened(store, found.archive) as archive:
            digest = unpack(archive, folder)
    except FileNotFoundError:
        text = f'The archive "{found.archive}" of the environment "{uri}" does not exist; it is built again.'
        raise AbsentEnvironmentError(text) from None
    if digest != found.digest:
        raise ArchiveError("its digest differs from the one in its manifest")


def _manifest(store: Store) -> BuiltEnvironment | None:
    try:
        return BuiltEnvironment.from_json(store.get(MANIFEST).decode())
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _opened(store: Store, name: str) -> Iterator[BinaryIO]:
    """Open an archive, which is downloaded first if it is not on this machine."""
    if local_path(store.uri) is not None:
        with store.open(name) as archive:
            yield archive
        return
    with tempfile.TemporaryDirectory() as scratch:
        copy = os.path.join(scratch, name)
        fetch_file_to(store.child(name), copy)
        with open(copy, "rb") as archive:
            yield archive


def _is_whole(store: Store, found: BuiltEnvironment) -> bool:
    try:
        return file_size(store.child(found.archive)) == found.size
    except FileNotFoundError:
        return False


def _empty(folder: str) -> None:
    """Delete everything in a folder, which may be a mount."""
    with os.scandir(folder) as found:
        for each in found:
            if each.is_dir(follow_symlinks=False):
                shutil.rmtree(each.path)
            else:
                os.unlink(each.path)


def main() -> int:
    """Run the command; return its exit code."""
    options = _options()
    if "LONGSHORE_UMASK" in os.environ:
        os.umask(int(os.environ["LONGSHORE_UMASK"], 8))
    uri, folder = options.uri, options.folder
    try:
        match options.command:
            case "find":
                found = find_environment(uri)
                if found is not None:
                    open_store(folder).put(MANIFEST, found.to_json().encode())
            case "publish":
                leave(options.last_words, publish_environment(folder, uri).to_json())
            case _:
                unpack_environment(uri, folder)
    except AbsentEnvironmentError as error:
        return _failed(str(error), MISSING)
    except ArchiveError as error:
        return _failed(f'The environment "{uri}" cannot be used: {error}; delete this folder, and it is built again.')
    except Exception as error:  # noqa: BLE001  (each store's library raises its own)
        done = {"find": "looked for", "publish": "uploaded", "unpack": "downloaded"}[options.command]
        return _failed(f'The environment "{uri}" cannot be {done}: {cause_of(uri, error)}.')
    return 0


def _failed(text: str, code: int = 1) -> int:
    shown = redacted(text)
    sys.stderr.write(f"longshore-environment: {shown}\n")
    leave_in_log(shown)
    return code


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="longshore_agent.environment", description=__doc__)
    parser.add_argument("command", choices=["find", "publish", "unpack"])
    parser.add_argument("uri")
    parser.add_argument("folder")
    parser.add_argument("--last-words", help="the container's termination log")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
