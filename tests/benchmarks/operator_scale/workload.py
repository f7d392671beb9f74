"""The objects of the workload: the digits example's step, many times in one namespace, and what it refers to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path

import yaml
from api_server import LONGSHORE, ApiServer, Manifest, in_namespace

NAMESPACE = "bench"
STEPS = in_namespace(LONGSHORE, NAMESPACE, "parallelrunsteps")
PODS = in_namespace("api/v1", NAMESPACE, "pods")
PODS_OF_STEP = 3  # a coordinator and two workers
_CHECKOUT = Path(__file__).resolve().parents[3]
_DIGITS = _CHECKOUT / "deploy" / "examples" / "digits"
_DEFINITIONS = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_MAX_NODES = 100_000  # of the one ComputeCluster: no step waits
_CONCURRENT = 8  # requests
_COLLECTIONS = {
    "ConfigMap": ("api/v1", "configmaps"),
    "PersistentVolumeClaim": ("api/v1", "persistentvolumeclaims"),
    "ComputeCluster": (LONGSHORE, "computeclusters"),
    "Dataset": (LONGSHORE, "datasets"),
    "Datastore": (LONGSHORE, "datastores"),
    "Environment": (LONGSHORE, "environments"),
    "Model": (LONGSHORE, "models"),
}


async def eventually(condition: Callable[[], Awaitable[object]]) -> None:
    """Poll until the condition is true."""
    while not await condition():  # noqa: ASYNC110  (what is waited for sets no event of this process)
        await asyncio.sleep(0.2)


async def install(api: ApiServer) -> None:
    """Create the custom resource definitions, and wait until their kinds are served."""
    found = [each for file in (_CHECKOUT / "crds").glob("*.yaml") for each in yaml.safe_load_all(file.read_text())]
    for each in found:
        await api.create(_DEFINITIONS, each)
    for each in found:
        await eventually(partial(_is_served, api, f"{_DEFINITIONS}/{each['metadata']['name']}"))


async def _is_served(api: ApiServer, definition: str) -> bool:
    found = await api.get(definition) or {}
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


async def prepare(api: ApiServer) -> None:
    """Create the namespace and everything that a step refers to."""
    await api.create("api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    await eventually(partial(api.get, in_namespace("api/v1", NAMESPACE, "serviceaccounts", "default")))
    code = {path.name: path.read_text() for path in _DIGITS.glob("*.py")}
    source = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "digits-code"}, "data": code}
    for each in (*_documents("digits.yaml"), *_documents("cluster/storage.yaml"), source):
        if each["kind"] == "ComputeCluster":
            each["spec"]["maxNodes"] = _MAX_NODES
        if each["kind"] in _COLLECTIONS:  # the example's volume is a folder of its node, which a claim here needs not
            api_path, plural = _COLLECTIONS[each["kind"]]
            await api.create(in_namespace(api_path, NAMESPACE, plural), each)


async def submit(api: ApiServer, names: Iterable[str]) -> None:
    """Create steps of these names."""
    (step,) = _documents("cluster/step.yaml")
    slots = asyncio.Semaphore(_CONCURRENT)

    async def create(name: str) -> None:
        async with slots:
            await api.create(STEPS, {**step, "metadata": {"name": name}})

    await asyncio.gather(*map(create, names))


def _documents(file: str) -> list[Manifest]:
    return list(yaml.safe_load_all((_DIGITS / file).read_text()))
