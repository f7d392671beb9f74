"""The operations by which scripts look up, download and upload data by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from longshore_agent.named_data import NamedData, described, join
from longshore_agent.named_files import NamedFiles
from longshore_agent.named_uploads import Target
from longshore_agent.requests import Operation, Parameters, RequestError, Requests
from longshore_agent.trees import inside
from longshore_protocol import messages
from longshore_protocol.catalogue import DATASET, MODEL, Asset
from longshore_protocol.job import Datastore, Job
from longshore_protocol.script_job import ScriptJob

_NAMED = 100  # existing files in the answer to an upload


def requests_of(job: Job | ScriptJob, files: NamedFiles, *, exchange: str) -> Requests:
    """Return what answers the requests of a worker's or step's script; closing it ends the downloads of `files`."""
    return Requests(NamedOperations(job, files, exchange=exchange).by_name(), closing=files.close)


class NamedOperations:
    """Operations for one worker or script step.

    Args:
        job: The job of the run.
        files: Downloads of the worker.
        exchange: The folder that agent and script share, below which scripts put files to upload.
    """

    def __init__(self, job: Job | ScriptJob, files: NamedFiles, *, exchange: str) -> None:
        self._data = NamedData(job)
        self._files = files
        self._exchange = exchange
        self._run_uri = job.run_uri

    def by_name(self) -> Mapping[str, Operation]:
        """Return the operations by the names that requests have."""
        return {
            "find-models": partial(self._find_all, MODEL),
            "find-model": partial(self._find, MODEL),
            "fetch-model": partial(self._fetch, MODEL),
            "find-datasets": partial(self._find_all, DATASET),
            "find-dataset": partial(self._find, DATASET),
            "fetch-dataset": partial(self._fetch, DATASET),
            "find-datastores": self._find_datastores,
            "find-datastore": self._find_datastore,
            "download": self._download,
            "discard": self._discard,
            "upload": self._upload,
        }

    async def _find_all(self, kind: str, given: Parameters) -> list[dict[str, Any]]:
        name = given.text("name", default="") or None
        return [_shown(each) for each in self._data.assets(kind, name)]

    async def _find(self, kind: str, given: Parameters) -> dict[str, Any]:
        return _shown(self._asset(kind, given))

    async def _fetch(self, kind: str, given: Parameters) -> dict[str, Any]:
        """Return the local paths of a Model or Dataset: files, folders, and in a local run globs."""
        asset = self._asset(kind, given)
        place = os.path.join(kind.lower(), asset.resource)
        stores = " and ".join(f'"{each}"' for each in sorted({store for store, _ in asset.locations if store}))
        what = f"{described(asset)} in Datastore {stores}" if stores else described(asset)
        paths = await self._files.shared(what, place, self._data.uris(asset))
        return {**_shown(asset), "paths": paths}

    async def _find_datastores(self, _: Parameters) -> list[dict[str, Any]]:
        return [_shown_store(each) for each in self._data.datastores()]

    async def _find_datastore(self, given: Parameters) -> dict[str, Any]:
        """Return a Datastore; the default one if no name is given."""
        return _shown_store(self._datastore(given, "name"))

    async def _download(self, given: Parameters) -> dict[str, Any]:
        """Return a folder with the files below a path of a Datastore, until the script discards it."""
        store, path = self._datastore(given, "datastore"), given.text("path", default="").strip("/")
        if path:
            _require_below(store, path)
        what = f'"{path or "/"}" of Datastore "{store.name}"'
        return {"path": await self._files.temporary(what, join(store.uri, path))}

    async def _discard(self, given: Parameters) -> None:
        self._files.discard(given.text("path"))

    async def _upload(self, given: Parameters) -> dict[str, Any]:
        """Upload the files that a script put into a folder; return how many, and which exist already."""
        store = self._datastore(given, "datastore")
        name, folder, overwrite = given.text("folder"), given.text("path", default=""), given.flag("overwrite")
        if store.read_only:
            text = (
                f'Datastore "{store.name}" is on a volume that this step only reads; add "{store.name}" to '
                "spec.datastores of the step to write to it."
            )
            raise RequestError(text, messages.NOT_ALLOWED)
        source = _inside_exchange(self._exchange, name)
        target = Target(store.name, store.uri, folder, run_uri=self._run_uri)
        upload = partial(target.upload, source, overwrite=overwrite, check=self._files.step)
        what = f'The files for "{folder or "/"}" of Datastore "{store.name}"'
        count, existing = await self._files.retried(what, "uploaded", store.uri, upload)
        return {"count": count, "skipped": len(existing), "existing": existing[:_NAMED]}

    def _asset(self, kind: str, given: Parameters) -> Asset:
        return self._data.asset(kind, given.text("name"), given.number("version"))

    def _datastore(self, given: Parameters, parameter: str) -> Datastore:
        name = given.text(parameter, default="")
        return self._data.datastore(name) if name else self._data.default_datastore()


def _shown(asset: Asset) -> dict[str, Any]:
    """Return what a script may know of a Model or Dataset."""
    every = asdict(asset)
    return {name: every[name] for name in ("name", "version", "description", "tags", "properties", "tabular")}


def _shown_store(store: Datastore) -> dict[str, Any]:
    return {"name": store.name, "default": store.default}


def _require_below(store: Datastore, path: str) -> None:
    try:
        inside("/", path)
    except ValueError as error:
        text = f'The path "{path}" does not stay below Datastore "{store.name}"; write it without "..".'
        raise RequestError(text, messages.INVALID) from error


def _inside_exchange(exchange: str, name: str) -> str:
    try:
        return inside(exchange, name)
    except ValueError as error:
        raise RequestError(f'"{name}" is not a folder that the script shares with its agent.') from error
