"""Leases over HTTP: calls that wait for work, and workers that are drained."""

import asyncio
import json

import pytest
from fakes import completed
from serving import serving

from longshore_protocol import wire


def test_a_lease_call_waits_for_work_and_wakes_when_some_appears(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller:
            await caller.register()
            waiting = asyncio.create_task(caller.lease(10))
            await caller.snapshot()
            assert not waiting.done()
            caller.listing.add()
            (grant,), orders = await waiting
            assert (grant.mini_batch, grant.attempt, grant.slice, orders) == (0, 1, b'["/in/0"]', {})

    asyncio.run(scenario())


def test_a_lease_call_wakes_when_another_gives_back_what_it_held(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller:
            caller.listing.add()
            await caller.register("w0")
            first = caller.identity
            (grant,), _ = await caller.lease()
            await caller.register("w1")
            waiting = asyncio.create_task(caller.lease())
            await caller.post("report", wire.report(*first.values(), returned=[[grant.mini_batch, grant.attempt]]))
            (again,), _ = await waiting
            assert (again.mini_batch, again.attempt) == (0, 2)

    asyncio.run(scenario())


@pytest.mark.parametrize(("call", "orders"), [("drain", {"drain": True}), ("interrupt", {"stop": True})])
def test_a_lease_call_wakes_when_the_run_is_to_end(tmp_path, call, orders):
    async def scenario():
        async with serving(tmp_path) as caller:
            await caller.register()
            waiting = asyncio.create_task(caller.lease())
            await caller.snapshot()
            getattr(caller.coordinator, call)()
            assert await waiting == ([], orders)
            assert await caller.report() == orders

    asyncio.run(scenario())


def test_one_worker_is_drained_and_the_others_lease_on(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller:
            await caller.register("w0")
            drained = caller.identity
            waiting = asyncio.create_task(caller.lease())
            await caller.snapshot()
            for _ in range(2):  # to say it again changes nothing
                assert await caller.post("drain", {"worker": "w0"}) == b"{}"
            assert await waiting == ([], {"drain": True})
            assert json.loads(await caller.post("report", wire.report(*drained.values()))) == {"drain": True}
            await caller.register("w1")
            caller.listing.add()
            (grant,), orders = await caller.lease()
            assert (grant.mini_batch, orders) == (0, {})
            assert await caller.report() == {}
            caller.identity = drained
            assert await caller.lease() == ([], {"drain": True})

    asyncio.run(scenario())


def test_what_a_drained_worker_gave_back_is_leased_to_others_and_what_it_ran_counts(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller:
            caller.listing.add(2)
            caller.listing.end()
            await caller.coordinator.plan_complete()
            await caller.register("w0")
            drained = caller.identity
            (ran, unstarted), _ = await caller.lease(2)
            await caller.post("drain", {"worker": "w0"})
            await caller.report(returned=[[unstarted.mini_batch, unstarted.attempt]])
            assert await caller.report(completed=completed(ran)) == {"drain": True}
            await caller.post("bye", drained)
            await caller.register("w1")
            (again,), _ = await caller.lease()
            assert (again.mini_batch, again.attempt) == (unstarted.mini_batch, 2)
            counts = (await caller.snapshot()).mini_batches
            assert (counts.succeeded, counts.running, counts.retried) == (1, 1, 0)

    asyncio.run(scenario())


def test_a_drain_is_for_the_agent_that_a_worker_has_then_and_not_for_a_later_one(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller:
            assert await caller.post("drain", {"worker": "w0"}) == b"{}"  # there is none yet
            caller.listing.add(2)
            await caller.register("w0")
            (first,), orders = await caller.lease()
            assert (first.mini_batch, orders) == (0, {})
            caller.listing.end()
            await caller.post("drain", {"worker": "w0"})
            assert await caller.lease() == ([], {"drain": True})
            body = {"worker": "w0", "boot": "another", "protocol": wire.PROTOCOL}
            answer = json.loads(await caller.post("register", body))
            caller.identity = {"agent": answer["agent"], "epoch": answer["epoch"]}
            (again,), orders = await caller.lease()
            assert (again.mini_batch, orders) == (0, {})

    asyncio.run(scenario())


def test_the_end_of_the_run_is_reported_to_a_drained_worker_too(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller:
            await caller.register()
            await caller.post("drain", {"worker": "w0"})
            caller.coordinator.interrupt()
            assert await caller.report() == {"stop": True}

    asyncio.run(scenario())


def test_the_snapshot_names_at_most_a_hundred_idle_workers(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller:
            caller.listing.add()
            caller.listing.end()
            await caller.register("busy")
            await caller.lease()
            await caller.coordinator.plan_complete()
            for number in reversed(range(120)):
                await caller.register(f"w{number:03d}")
            idle = (await caller.snapshot()).idle_workers
            assert idle == tuple(f"w{number:03d}" for number in range(100))

    asyncio.run(scenario())


def test_who_hung_up_while_it_waited_is_leased_nothing(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller:
            await caller.register("w0")
            waiting = asyncio.create_task(caller.lease())
            await caller.snapshot()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await caller.register("w1")
            caller.listing.add()
            (grant,), _ = await caller.lease()
            assert (grant.mini_batch, grant.attempt) == (0, 1)

    asyncio.run(scenario())
