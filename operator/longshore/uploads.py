"""Code folders on their way to a cluster: named after their content, uploaded once."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longshore.resource import InvalidArgument
from longshore_runs.cluster_api import ClusterApi
from longshore_storage.source_files import source_files
from longshore_storage.store import local_path, open_store

CONFIG_MAP_BYTES = 512 * 1024  # the API server accepts one MiB, encoding and copies included
LARGEST = 300 * 1024**2  # bytes of one source: a larger one contains data
_FOLDER = "longshore-code"
_DIGITS = 20


@dataclass(frozen=True)
class Code:
    """The files of a source folder, without those that its .amlignore or .gitignore excludes."""

    folder: str
    files: Mapping[str, bytes]  # path below the folder -> content

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))

    @property
    def name(self) -> str:
        """Name that depends on the content alone."""
        digest = hashlib.blake2b()
        for name, data in sorted(self.files.items()):
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
        return f"code-{digest.hexdigest()[:_DIGITS]}"

    def fits_config_map(self) -> bool:
        """Return whether a ConfigMap can hold the files: few bytes, no folders, and text."""
        is_flat = all("/" not in name for name in self.files)
        return self.size <= CONFIG_MAP_BYTES and is_flat and all(map(_is_text, self.files.values()))


def read_code(folder: str, *, subject: str) -> Code:
    """Read a source folder. Raises InvalidArgument if it does not exist, is empty, or is too large to be code."""
    if not os.path.isdir(folder):
        raise InvalidArgument(subject, [f"source is {folder!r}: must be a folder that exists"])
    names = list(source_files(folder))
    size = sum(os.path.getsize(os.path.join(folder, name)) for name in names)
    if not names or size > LARGEST:
        state = f"has {size >> 20} MiB" if names else "has no files"
        rule = f"must have code of at most {LARGEST >> 20} MiB; list other files in a file .amlignore there"
        raise InvalidArgument(subject, [f"source {folder!r} {state}: {rule}"])
    files = {}
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            files[name] = file.read()
    return Code(folder, files)


def upload(code: Code, api: ClusterApi, *, store: str | None, subject: str) -> dict[str, str]:
    """Upload code unless it is there already; return the `source` of a step.

    Args:
        code: The code.
        api: Calls of the namespace.
        store: Root of the default Datastore, if it is a URL that this process can write to.
        subject: Kind and name of the step, for messages.

    Raises:
        InvalidArgument: Neither a ConfigMap nor a Datastore can hold the code.
        ApiError, OSError: The upload failed.
    """
    if code.fits_config_map():
        if api.get("ConfigMap", code.name) is None:
            data = {name: data.decode() for name, data in code.files.items()}
            manifest: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": code.name}}
            api.apply({**manifest, "data": data})
        return {"configMap": code.name}
    if store is None:
        rule = (
            f"has {len(code.files)} files of {code.size >> 10} KiB, which need a default Datastore with a URL (s3, gs, "
            f"abfs); without one, a source must be at most {CONFIG_MAP_BYTES >> 10} KiB of text, in no subfolders"
        )
        raise InvalidArgument(subject, [f"source {code.folder!r} {rule}"])
    name = f"{_FOLDER}/{code.name}.zip"
    target = open_store(store)
    if not target.exists(name):
        target.put(name, _zipped(code))
    return {"uri": target.child(name)}


def _zipped(code: Code) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(code.files.items()):
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def local_folder(source: Mapping[str, Any] | None, folder: str) -> str | None:
    """Return the local folder of a step's `source`, relative to `folder`; None for one in a store, map or image."""
    if source is None:
        return folder
    uri = source.get("uri")
    if uri is None or local_path(str(uri)) is None or str(uri).startswith("pvc:"):
        return None
    path = str(uri).removeprefix("file:")
    return os.path.normpath(os.path.join(folder, path.removeprefix("//")))
