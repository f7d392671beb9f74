"""The Models and Datasets that local runs registered: manifests in the folder `longshore-registered`.

The folder is beside the manifests of the run, and later runs of these read it as well. A manifest is complete or
absent, and names the registration that it is the result of. So a registration that was interrupted can be repeated.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from longshore_api.registrations import Origin
from longshore_api.status import Registered
from longshore_planner.registering import Request, key_of, next_version, registered, requests
from longshore_storage.store import open_store

FOLDER = "longshore-registered"
_LOCK = ".lock"
_HEADER = "# Registered by `longshore run`, which reads this file too. Delete it to remove the version.\n"


def registry_of(paths: Sequence[str | Path]) -> str:
    """Return the path of the folder for registrations of a run of these manifests."""
    first = os.path.abspath(paths[0])
    return os.path.join(first if os.path.isdir(first) else os.path.dirname(first), FOLDER)


def registry_files(folder: str) -> list[Path]:
    """Return the manifests of a folder for registrations, which need not exist."""
    found = Path(folder)
    return sorted(each for each in found.iterdir() if each.suffix == ".yaml") if found.is_dir() else []


def register(
    packed: str, job: Mapping[str, Any], origin: Origin, *, attempt: int = 0, registry: str
) -> list[Registered]:
    """Create the manifests of a succeeded step's registrations that do not exist yet; return all of them.

    Args:
        packed: The registrations of its result.
        job: Its ScriptJob or Job as JSON.
        origin: The run.
        attempt: Distinguishes several successes of one run.
        registry: The folder for registrations.

    Raises:
        OSError: A manifest cannot be read or written.
        ValueError: The registrations or a manifest cannot be read.
    """
    wanted = requests(packed, job, origin, attempt=attempt, datastores={})
    if not wanted:
        return []
    open_store(registry).make()
    open_store(registry).mark()  # so that it is no part of a step's source
    with _locked(registry):
        manifests = list(_read_all(registry_files(registry)))
        beside = list(_read_all(Path(os.path.dirname(registry)).glob("*.y*ml")))
        return [_register(each, manifests, beside, registry) for each in wanted]


def _register(
    request: Request, manifests: list[dict[str, Any]], beside: list[dict[str, Any]], registry: str
) -> Registered:
    """Create the manifest of a request, unless it exists; add it to `manifests`. Raises OSError.

    The versions in the user's own manifests, `beside` the registry, count as well.
    """
    made = next((each for each in manifests if key_of(each) == request.key), None)
    if made is None:
        of_kind = [each for each in (*manifests, *beside) if each["kind"] == request.kind]
        made = request.manifest(next_version(request, of_kind))
        status = request.status(datetime.now(UTC)).to_dict()
        text = _HEADER + yaml.safe_dump({**made, "status": status}, sort_keys=False, allow_unicode=True)
        name = f"{request.kind.lower()}-{made['metadata']['name']}.yaml"
        if not open_store(registry).create(name, text.encode()):
            raise FileExistsError(f"{name} exists, and is not the manifest of this version")
        manifests.append(made)
    return registered(made)


def _read_all(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Yield the Models and Datasets in some files, leaving out what is no manifest."""
    for path in paths:
        try:
            found = list(yaml.safe_load_all(path.read_bytes()))
        except (yaml.YAMLError, ValueError):
            continue  # a run that needs the file reports it
        for each in found:
            is_asset = isinstance(each, dict) and each.get("kind") in ("Model", "Dataset")
            if is_asset and isinstance(each.get("spec"), dict):
                yield each


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    with open(os.path.join(folder, _LOCK), "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
