"""A minimal asynchronous client of a Kubernetes API server: JSON in, JSON out, no models and no retries of writes."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

Manifest = dict[str, Any]

LONGSHORE = "apis/longshore.dev/v1alpha1"
MANAGED = "app.kubernetes.io/managed-by=longshore"  # label selector of all objects that the operator creates
_RETRY = 0.5  # seconds between attempts at a watch
_GONE = 410  # the resourceVersion of a watch is too old


class ApiServer:
    """Calls one API server over persistent connections."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str) -> Manifest | None:
        """Return the object at `path`, or None where there is none."""
        return await self._call("GET", path, absent=404)

    async def create(self, path: str, manifest: Manifest) -> Manifest | None:
        """Create an object in the collection at `path`; leave an existing one alone."""
        return await self._call("POST", path, body=manifest, absent=409)

    async def patch(self, path: str, change: Manifest) -> Manifest | None:
        """Apply a merge patch; return None where the object is gone."""
        return await self._call("PATCH", path, body=change, content="application/merge-patch+json", absent=404)

    async def delete(self, path: str) -> None:
        """Delete an object without a grace period."""
        await self._call("DELETE", path, body={"gracePeriodSeconds": 0}, absent=404)

    async def watch(self, path: str, selector: str = "") -> AsyncIterator[tuple[str, Manifest]]:
        """Yield the type and the object of every event of a collection, for ever; existing objects come as ADDED.

        After an interruption all objects come again: a consumer must accept what it has seen.
        """
        query = {"labelSelector": selector} if selector else {}
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self._session.get(f"/{path}", params={**query, "resourceVersion": "0"}) as answer:
                    answer.raise_for_status()
                    found = json.loads(await answer.read())
                for each in found["items"]:
                    yield "ADDED", each
                async for event in self._events(path, {**query, "watch": "true"}, found["metadata"]["resourceVersion"]):
                    yield event
            await asyncio.sleep(_RETRY)

    async def _events(self, path: str, query: dict[str, str], version: str) -> AsyncIterator[tuple[str, Manifest]]:
        """Yield events since `version`, until the server does not go on from there."""
        while True:
            timeout = aiohttp.ClientTimeout(total=None)
            params = {**query, "resourceVersion": version}
            async with self._session.get(f"/{path}", params=params, timeout=timeout) as answer:
                answer.raise_for_status()
                rest = b""
                async for part in answer.content.iter_any():
                    *lines, rest = (rest + part).split(b"\n")
                    for line in lines:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            return
                        version = event["object"]["metadata"]["resourceVersion"]
                        yield event["type"], event["object"]

    async def text(self, path: str) -> str:
        """Return the text at a path."""
        async with self._session.get(f"/{path}") as answer:
            answer.raise_for_status()
            return await answer.text()

    async def _call(
        self,
        method: str,
        path: str,
        *,
        absent: int,
        body: Manifest | None = None,
        content: str = "application/json",
    ) -> Manifest | None:
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, f"/{path}", data=data, headers={"Content-Type": content}) as answer:
            if answer.status == absent:
                return None
            text = await answer.text()
            if not answer.ok:
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]}")
            found: Manifest = json.loads(text)
            return found


def in_namespace(api: str, namespace: str, plural: str, name: str = "") -> str:
    """Return the path of a namespaced object, or of its collection."""
    return f"{api}/namespaces/{quote(namespace)}/{plural}" + (f"/{quote(name)}" if name else "")


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[ApiServer]:
    """Connect as the user of a kubeconfig that names files, as those of the local cluster do."""
    config = json.loads(kubeconfig.read_text())  # noqa: ASYNC240  (once, and small)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
    tls.load_cert_chain(user["client-certificate"], user["client-key"])
    connector = aiohttp.TCPConnector(ssl=tls, limit=0)
    async with aiohttp.ClientSession(cluster["server"], connector=connector) as session:
        yield ApiServer(session)
