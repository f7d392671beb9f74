"""Simulated kubelets: set the status of the operator's pods, with no node and no container behind it.

`python kubelets.py --kubeconfig FILE [--delay SECONDS] [--failing PERCENT]`, until it is killed. A pod runs and is
ready after the delay, or fails; the pod of a task succeeds with a result. It keeps no state, so it may be restarted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api_server import MANAGED, ApiServer, Manifest, connected, in_namespace

_CONCURRENT = 16  # requests
_TASK = "longshore.dev/task"  # label
_READY = ("Initialized", "Ready", "ContainersReady", "PodScheduled")  # conditions
_FIRST_OCTETS = 127 << 24 | 64 << 16  # pod IPs are 127.64.0.0 to 127.127.255.255: all of them this machine's


class Kubelets:
    """All kubelets of a cluster."""

    def __init__(self, api: ApiServer, *, delay: float, failing: int) -> None:
        self._api = api
        self._delay = delay
        self._failing = failing
        self._begun: set[str] = set()  # uids of pods
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_CONCURRENT)

    async def serve(self) -> None:
        """Watch pods for ever."""
        async for kind, pod in self._api.watch("api/v1/pods", MANAGED):
            uid = pod["metadata"]["uid"]
            if kind == "DELETED":
                self._begun.discard(uid)
            elif "deletionTimestamp" in pod["metadata"]:
                self._spawn(self._end(pod))
            elif uid not in self._begun and pod.get("status", {}).get("phase", "Pending") == "Pending":
                self._begun.add(uid)
                self._spawn(self._start(pod))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self, pod: Manifest) -> None:
        await asyncio.sleep(self._delay)
        async with self._slots:
            await self._api.patch(f"{_path(pod)}/status", {"status": status_of(pod, failing=self._failing)})

    async def _end(self, pod: Manifest) -> None:
        async with self._slots:
            await self._api.delete(_path(pod))


def _path(pod: Manifest) -> str:
    return in_namespace("api/v1", pod["metadata"]["namespace"], "pods", pod["metadata"]["name"])


def status_of(pod: Manifest, *, failing: int = 0) -> Manifest:
    """Return the status of a pod once it has started; `failing` percent of all pods fail, chosen by uid."""
    metadata, spec = pod["metadata"], pod["spec"]
    number = int(metadata["uid"][:8], 16)
    if number % 100 < failing:
        return _ended(spec, "Failed", exit_code=1, message="simulated failure")
    if _TASK in metadata.get("labels", {}):
        return _ended(spec, "Succeeded", exit_code=0, message=_result())
    now = _now()
    address = ".".join(map(str, (_FIRST_OCTETS | number & 0x3FFFFF).to_bytes(4, "big")))
    return {
        "phase": "Running",
        "startTime": now,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": each, "status": "True", "lastTransitionTime": now} for each in _READY],
        "containerStatuses": [
            _container(each, {"running": {"startedAt": now}}, ready=True) for each in spec["containers"]
        ],
    }


def _ended(spec: Manifest, phase: str, *, exit_code: int, message: str) -> Manifest:
    now = _now()
    state = {"exitCode": exit_code, "startedAt": now, "finishedAt": now, "message": message}
    state["reason"] = "Error" if exit_code else "Completed"
    containers = [_container(each, {"terminated": state}, ready=False) for each in spec["containers"]]
    return {"phase": phase, "startTime": now, "containerStatuses": containers}


def _container(container: Manifest, state: Manifest, *, ready: bool) -> Manifest:
    image = container["image"]
    return {
        "name": container["name"],
        "image": image,
        "imageID": image,
        "restartCount": 0,
        "ready": ready,
        "state": state,
    }


def _result() -> str:
    """Return the termination message of a task that succeeded."""
    now = time.time()
    result = {"state": "succeeded", "exit_code": 0, "message": "", "metrics": {}, "started": now, "finished": now}
    return json.dumps(result)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--delay", type=float, default=1.0, metavar="SECONDS", help="from a pod's creation to running")
    parser.add_argument("--failing", type=int, default=0, metavar="PERCENT", help="of the pods")
    options = parser.parse_args()
    async with connected(options.kubeconfig) as api:
        await Kubelets(api, delay=options.delay, failing=options.failing).serve()


if __name__ == "__main__":
    asyncio.run(main())
