"""An agent's calls: repeated while the coordinator, or what is between, has trouble."""

import asyncio
import time

import pytest
from aiohttp import web

from longshore_agent import coordinator_client
from longshore_agent.coordinator_client import CoordinatorClient, Refused, Superseded, Unreachable
from longshore_client import api


async def call(statuses, *, patience=60.0):
    """Report to a coordinator that answers with these statuses, one after the other; return how many it took."""
    left = list(statuses)

    async def answer(_):
        return web.json_response({}, status=left.pop(0))

    application = web.Application()
    application.router.add_post("/v1/report", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with CoordinatorClient(url, token="t", worker="w", patience=patience) as client:
            await client.report({})
    finally:
        await runner.cleanup()
    return len(statuses) - len(left)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(coordinator_client, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(coordinator_client, "_LONGEST_PAUSE", 0.001)


@pytest.mark.parametrize("troubles", [[500], [500, 502, 503], [504] * 8])
def test_a_call_is_repeated_until_the_coordinator_answers(troubles):
    assert asyncio.run(call([*troubles, 200, 200])) == len(troubles) + 1


@pytest.mark.parametrize(("status", "error"), [(400, Refused), (401, Refused), (413, Refused), (409, Superseded)])
def test_a_refusal_is_not_repeated(status, error):
    with pytest.raises(error):
        asyncio.run(call([status]))


def test_patience_ends():
    with pytest.raises(Unreachable, match="HTTP 500"):
        asyncio.run(call([500] * 1000, patience=0.0))


@pytest.mark.parametrize(
    ("passes", "calls"), [(10.0, 30), (79.0, 4), (3600.0, 4), (1e6, 4)], ids=["answers", "late", "stopped", "frozen"]
)
def test_the_time_in_which_the_agent_was_stopped_is_no_silence_of_the_coordinator(monkeypatch, passes, calls):
    made = []

    async def wait():
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now)

        class Refusing:
            async def call(self, *_):
                nonlocal now
                now += passes
                made.append(now)
                raise api.Unreachable("http://coordinator: refused")

        client = CoordinatorClient("http://coordinator", token="t", worker="w", patience=300.0)
        client._api = Refusing()
        with pytest.raises(Unreachable, match="no coordinator answered for 300 s: http://coordinator: refused"):
            await client.deregister()

    monkeypatch.setattr(coordinator_client, "_FIRST_PAUSE", 0.0)
    asyncio.run(wait())
    monkeypatch.undo()
    assert len(made) == calls
