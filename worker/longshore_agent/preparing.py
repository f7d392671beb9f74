"""What a worker has whole is brought before its processes start; the coordinator hears of it meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from longshore_agent.coordinator_client import Orders
from longshore_agent.places import Places, StagingError
from longshore_agent.threads import Threads
from longshore_agent.whole_data import WholeData, bring_models, bring_whole
from longshore_protocol import errors, wire
from longshore_protocol.job import Job

_FIRST = 0.5  # seconds until the first report: most of what is brought, if anything is, is small
_HEARTBEAT = 2.0  # seconds between two reports


class Reports(Protocol):
    """Who takes reports; `CoordinatorClient` does."""

    async def report(self, body: dict[str, object]) -> Orders:
        """Deliver a `wire.report`."""


async def prepare(job: Job, places: Places, client: Reports, identity: tuple[str, int]) -> WholeData | None:
    """Bring models, side inputs and downloads; None when the coordinator wants the agent to end instead.

    Raises StagingError, which the coordinator has been told, Superseded, Refused, Unreachable.
    """
    said: list[str] = [""]

    def say(what: str) -> None:
        said[0] = what

    def bring() -> WholeData:
        bring_models(job.models, places.models, say=say)
        return bring_whole(job, places.data, say=say)

    began, pause = time.monotonic(), _FIRST
    bringing = asyncio.create_task(Threads(1).run(bring))  # a thread that does not keep us from ending
    try:
        while not (await asyncio.wait({bringing}, timeout=pause))[0]:
            state = {"process": "", "state": wire.BRINGING, "mini_batch": None, "what": said[0],
                     "seconds": round(time.monotonic() - began, 1)}  # fmt: skip
            orders = await client.report(wire.report(*identity, processes=[state]))
            if orders.stop or orders.drain or orders.finished:
                return None
            pause = _HEARTBEAT
        return bringing.result()
    except StagingError as error:
        failure = wire.Failure(-1, 0, 0, -1, errors.DATA_ERROR, str(error), "", time.time(), 0.0, "")
        await client.report(wire.report(*identity, init_failed=[failure]))
        raise
    finally:
        bringing.cancel()
