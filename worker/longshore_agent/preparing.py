"""What a worker has whole is brought before its processes start; the coordinator hears of it meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from longshore_agent.coordinator_client import Orders
from longshore_agent.places import Places, StagingError
from longshore_agent.threads import Threads
from longshore_agent.whole_data import WholeData, bring_models, bring_whole
from longshore_protocol import errors, wire
from longshore_protocol.job import Job

_FIRST = 0.5  # seconds until the first report: most of what is brought, if anything is, is small
_HEARTBEAT = 2.0  # seconds between two reports
_FIRST_PAUSE, _LONGEST_PAUSE = 3.0, 30.0  # seconds between two tries: each pause is double the one before


class Reports(Protocol):
    """Who takes reports; `CoordinatorClient` does."""

    async def report(self, body: dict[str, object]) -> Orders:
        """Deliver a `wire.report`."""


async def prepare(job: Job, places: Places, client: Reports, identity: tuple[str, int]) -> WholeData | None:
    """Bring models, side inputs and downloads; None when the coordinator wants the agent to end instead.

    What a store or disk that fails keeps from coming is tried again, with growing pauses, for as long as the
    coordinator lets the run wait. Raises StagingError for what no later try can bring, which the coordinator has been
    told, Superseded, Refused, Unreachable.
    """
    fetching, threads, pause = _Fetching(client, identity), Threads(1), _FIRST_PAUSE

    def bring() -> WholeData:
        bring_models(job.models, places.models, say=fetching.say)
        return bring_whole(job, places.data, say=fetching.say)

    while True:
        bringing = asyncio.create_task(threads.run(bring))  # a thread that does not keep us from ending
        try:
            if await fetching.is_unwanted_before(bringing):
                return None
            return bringing.result()
        except StagingError as error:
            if error.origin is None:
                failure = wire.Failure(-1, 0, 0, -1, errors.DATA_ERROR, str(error), "", time.time(), 0.0, "")
                await client.report(wire.report(*identity, init_failed=[failure]))
                raise
            fetching.trouble = [wire.Deferral(-1, 0, error.origin, str(error))]
        finally:
            bringing.cancel()
        resting = asyncio.create_task(asyncio.sleep(pause))
        try:
            if await fetching.is_unwanted_before(resting):
                return None
        finally:
            resting.cancel()
        pause = min(_LONGEST_PAUSE, 2 * pause)


class _Fetching:
    """What the coordinator hears meanwhile."""

    def __init__(self, client: Reports, identity: tuple[str, int]) -> None:
        self.trouble: list[wire.Deferral] = []  # why the last try failed
        self._client = client
        self._identity = identity
        self._what = ""
        self._began = time.monotonic()
        self._pause = _FIRST

    def say(self, what: str) -> None:
        """Note what is fetched from now on."""
        self._what = what

    async def is_unwanted_before(self, task: asyncio.Task[Any]) -> bool:
        """Wait until a task has ended, or the agent is told to end; return whether it is told so."""
        while not (await asyncio.wait({task}, timeout=self._pause))[0]:
            seconds = round(time.monotonic() - self._began, 1)
            state = {"process": "", "state": wire.BRINGING, "mini_batch": None, "what": self._what, "seconds": seconds}
            trouble, self.trouble = self.trouble, []
            orders = await self._client.report(wire.report(*self._identity, deferred=trouble, processes=[state]))
            if orders.stop or orders.drain or orders.finished:
                return True
            self._pause = _HEARTBEAT
        return False
