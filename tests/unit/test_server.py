"""The coordinator over HTTP, as an agent meets it: who is let in, versions, bad messages, and the end."""

import asyncio
import json
import threading
from dataclasses import replace
from types import SimpleNamespace

import aiohttp
import pytest
from fakes import completed, summary_job
from serving import TOKEN, serving

from longshore_agent import coordinator_client
from longshore_agent.coordinator_client import CoordinatorClient
from longshore_coordinator import ends, finish, service
from longshore_coordinator import server as server_module
from longshore_coordinator.ledger import Ledger
from longshore_protocol import errors, wire
from longshore_protocol.job import Job, Thresholds, Timeouts
from longshore_protocol.snapshot import Snapshot
from longshore_protocol.wire import Completion, Failure


def of_version(protocols, monkeypatch, *modules):
    """Make modules those of a version whose newest and oldest protocols are these."""
    for module in modules:
        for name, number in zip(("PROTOCOL", "OLDEST_PROTOCOL"), protocols, strict=True):
            monkeypatch.setattr(module, name, number)


def test_an_agent_gets_its_identity_the_epoch_and_the_job(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller:
            answer = await caller.register()
            assert answer["epoch"] == 1
            assert answer["agent"].startswith("w0.1.")
            assert Job.from_json(json.dumps(answer["job"])) == summary_job(tmp_path)

    asyncio.run(scenario())


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer the run's secre", f"Basic {TOKEN}", "Bearer ∞"])
def test_who_does_not_know_the_token_gets_nothing(tmp_path, authorization):
    async def scenario():
        async with serving(tmp_path) as caller:
            for call in ("register", "lease", "report", "bye", "gone", "drain"):
                answer = await caller.post(call, b"", status=401, headers={"Authorization": authorization})
                assert answer == b"the token is missing or wrong"
            async with caller.session.get("/v1/snapshot", headers={"Authorization": authorization}) as got:
                assert got.status == 401

    asyncio.run(scenario())


def test_health_is_served_without_a_token_and_nothing_else_is(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller, aiohttp.ClientSession() as stranger:
            async with stranger.get(f"{caller.url}/healthz") as answer:
                assert (answer.status, await answer.text()) == (200, "ok")
            for path in ("/healthz/", "/", "/v1/healthz", "/v1/snapshot", "/healthz/../v1/snapshot"):
                async with stranger.get(f"{caller.url}{path}") as answer:
                    assert answer.status == 401, path

    asyncio.run(scenario())


def test_a_token_that_is_no_text_is_wrong_too(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller:
            port = int(caller.url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
            assert b" 401 " in await reader.readline()
            writer.close()
            await writer.wait_closed()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("agent", "coordinator", "speaks"),
    [
        ({"protocol": 99}, (2, 2), ("protocol 99", "protocol 2")),
        ({"protocol": 4, "oldest_protocol": 3}, (2, 1), ("protocols 3 to 4", "protocols 1 to 2")),
        ({"protocol": 1}, (3, 2), ("protocol 1", "protocols 2 to 3")),
        ({"protocol": 2, "oldest_protocol": 1}, (4, 3), ("protocols 1 to 2", "protocols 3 to 4")),
        ({"protocol": 0, "oldest_protocol": 0}, (2, 2), ("protocol 0", "protocol 2")),
    ],
)
def test_an_agent_without_a_common_protocol_is_refused_with_a_sentence(
    tmp_path, monkeypatch, agent, coordinator, speaks
):
    of_version(coordinator, monkeypatch, wire, server_module)

    async def scenario():
        async with serving(tmp_path) as caller:
            answer = await caller.post("register", {"worker": "w", "boot": "x", **agent}, status=400)
            expected = f'agent "w" speaks {speaks[0]}, this coordinator {speaks[1]}; use adjacent versions of both'
            assert answer.decode() == expected

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("agent", "coordinator", "common"),
    [((2, 2), (2, 2), 2), ((3, 2), (2, 2), 2), ((2, 2), (3, 2), 2), ((4, 3), (3, 2), 3), ((3, 1), (3, 1), 3)],
)
def test_agents_and_coordinators_of_adjacent_versions_work_together(tmp_path, monkeypatch, agent, coordinator, common):
    of_version(coordinator, monkeypatch, wire, server_module)
    of_version(agent, monkeypatch, coordinator_client)
    later = {"a_field_of_another_version": [{}]}
    answer, pack, post = server_module._json_response, server_module.pack_grants, CoordinatorClient._post
    answers = []

    def answer_with_more(body):
        answers.append(body)
        return answer({**body, **later, **({"job": {**body["job"], **later}} if "job" in body else {})})

    monkeypatch.setattr(server_module, "_json_response", answer_with_more)
    monkeypatch.setattr(server_module, "pack_grants", lambda orders, grants: pack({**orders, **later}, grants))
    monkeypatch.setattr(CoordinatorClient, "_post", lambda self, call, body: post(self, call, {**body, **later}))

    async def scenario():
        async with (
            serving(tmp_path) as caller,
            CoordinatorClient(caller.url, token=TOKEN, worker="w", patience=60.0) as client,
        ):
            caller.listing.add()
            registration = await client.register("x")
            assert registration.job == caller.coordinator.job
            ((grant,), _) = await client.lease(1)
            await client.report(wire.report(registration.agent, registration.epoch, completed=completed(grant)))
            await client.deregister()
            assert (await caller.snapshot()).mini_batches.succeeded == 1

    asyncio.run(scenario())
    assert answers[0]["protocol"] == common


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"{}", b"\xff"])
def test_what_is_no_message_is_refused_with_a_sentence(tmp_path, body):
    async def scenario():
        async with serving(tmp_path) as caller:
            for call in ("register", "lease", "report", "bye", "gone", "drain"):
                answer = await caller.post(call, body, status=400)
                assert answer.startswith(b"malformed request: ")

    asyncio.run(scenario())


def test_an_agent_that_is_not_known_must_register_again(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller:
            stranger = {"agent": "w9.1.x", "epoch": 1}
            await caller.post("lease", {**stranger, "want": 1}, status=409)
            await caller.post("report", wire.report("w9.1.x", 1), status=409)
            await caller.register()
            mine = caller.identity["agent"]
            answer = await caller.post("report", wire.report(mine, 2), status=409)
            assert answer.decode() == (
                "this coordinator has epoch 1, the agent registered in epoch 2; it must register again"
            )
            await caller.post("lease", {"agent": mine, "epoch": 0, "want": 1}, status=409)

    asyncio.run(scenario())


def test_an_agent_whose_worker_registered_again_is_not_known_any_more(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller:
            caller.listing.add()
            await caller.register()
            old = caller.identity
            (grant,), _ = await caller.lease()
            await caller.post("register", {"worker": "w0", "boot": "y", "protocol": wire.PROTOCOL})
            await caller.post("report", wire.report(*old.values(), completed=completed(grant)), status=409)

    asyncio.run(scenario())


def test_an_agent_works_from_its_registration_to_the_end(tmp_path):
    async def scenario():
        async with serving(tmp_path) as caller:
            running = asyncio.create_task(caller.coordinator.run())
            caller.listing.add(25)
            caller.listing.end()
            await caller.register()
            done, orders = 0, {}
            while not orders:
                grants, orders = await caller.lease(10)
                if grants:
                    orders = await caller.report(completed=completed(*grants))
                    done += len(grants)
            assert (orders, done) == ({"finished": True}, 25)
            await caller.post("bye", caller.identity)
            last = await running
            assert (last.state, last.mini_batches.succeeded, last.items.succeeded) == ("Succeeded", 25, 25)
            told = await caller.snapshot()
            assert replace(told, rate_per_minute=None) == replace(last, rate_per_minute=None)

    asyncio.run(scenario())


@pytest.fixture
def held_end(monkeypatch):
    """Hold the writing of reports and marker: `begun` is set when it begins, and it goes on when `let_on` is."""
    held = SimpleNamespace(begun=threading.Event(), let_on=threading.Event(), error=None)

    def write(*arguments, **named):
        held.begun.set()
        held.let_on.wait(120)
        if held.error is not None:
            raise held.error
        finish.write_end(*arguments, **named)

    monkeypatch.setattr(service, "write_end", write)
    yield held
    held.let_on.set()


@pytest.mark.parametrize(
    ("what", "meanwhile", "end"),
    [
        ("success", "Assembling", ("Succeeded", "Succeeded")),
        ("failure", "Running", ("Failed", "ErrorThresholdExceeded")),
        ("full store", "Assembling", ("Failed", "StorageError")),
    ],
)
def test_the_end_is_reported_once_reports_and_marker_are_written(tmp_path, held_end, what, meanwhile, end):
    async def scenario():
        limits = {"thresholds": Thresholds(error_threshold=0), "timeouts": Timeouts(storage=0.1)}
        async with serving(tmp_path, **limits, max_tries=1) as caller:
            running = asyncio.create_task(caller.coordinator.run())
            caller.listing.add()
            caller.listing.end()
            await caller.register()
            (grant,), _ = await caller.lease()
            if what == "failure":
                await caller.report(failed=[Failure(0, 1, 1, 0, errors.USER_ERROR, "ValueError: no", "", 1.0, 0.1, "")])
            else:
                await caller.report(completed=completed(grant))
            await caller.post("bye", caller.identity)
            await asyncio.to_thread(held_end.begun.wait, 120)
            before = await caller.snapshot()
            held_end.error = OSError("no space is left") if what == "full store" else None
            held_end.let_on.set()
            last = await running
            told = await caller.snapshot()
            assert before.state == meanwhile
            assert (last.state, last.reason) == (told.state, told.reason) == end
            marker = tmp_path / "run" / ends.FIRST
            assert marker.exists() == (what == "success")
            if what == "success":
                assert replace(Snapshot.from_json(marker.read_text()), observed=last.observed) == last

    asyncio.run(scenario())


def test_a_run_that_gave_up_while_its_inputs_were_listed_does_not_claim_to_know_them_all(tmp_path):
    async def scenario():
        async with serving(tmp_path, thresholds=Thresholds(error_threshold=0), max_tries=1) as caller:
            running = asyncio.create_task(caller.coordinator.run())
            caller.listing.add(2)
            await caller.register()
            (grant,), _ = await caller.lease()
            failure = Failure(grant.mini_batch, 1, 1, 0, errors.USER_ERROR, "ValueError: no", "", 1.0, 0.1, "log")
            assert await caller.report(failed=[failure]) == {"stop": True}
            caller.listing.add()  # the reader looks up, and sees that it is to stop
            await caller.post("bye", caller.identity)
            last = await running
            assert (last.state, last.reason) == ("Failed", "ErrorThresholdExceeded")
            assert (last.mini_batches.total, last.mini_batches.failed) == (None, 1)

    asyncio.run(scenario())


SOUND = Completion(0, 1, 0, 0, 1, 1, -1, 0, 0, 0, 0, 0)
SOUND_FAILURE = Failure(0, 1, 1, 0, errors.USER_ERROR, "ValueError: no", "", 1.0, 0.1, "")


@pytest.mark.parametrize(
    "bad",
    [
        {"completed": [SOUND, SOUND._replace(mini_batch=1, started_us=1e300)]},
        {"completed": [SOUND], "failed": [SOUND_FAILURE._replace(mini_batch=1, category="Sabotage")]},
        {"completed": [SOUND], "returned": [[1, "1"]]},
        {"completed": [SOUND], "held": [7]},
        {"completed": [SOUND], "init_failed": [SOUND_FAILURE._replace(message=["no"])]},
        {"completed": [SOUND], "processes": [{}]},
        {"completed": [SOUND], "digests": "AA"},
    ],
)
def test_a_report_with_one_bad_entry_changes_nothing_and_the_run_goes_on(tmp_path, bad):
    async def scenario():
        async with serving(tmp_path) as caller:
            running = asyncio.create_task(caller.coordinator.run())
            caller.listing.add(2)
            caller.listing.end()
            await caller.coordinator.plan_complete()
            await caller.register()
            grants, _ = await caller.lease(2)
            answer = await caller.post("report", wire.report(*caller.identity.values(), **bad), status=400)
            assert answer.startswith(b"malformed request: ")
            assert (await caller.snapshot()).mini_batches.running == 2
            assert await caller.report(completed=completed(*grants)) == {"finished": True}
            await caller.post("bye", caller.identity)
            last = await running
            assert (last.reason, last.mini_batches.succeeded) == ("Succeeded", 2)
            ledger = Ledger(caller.coordinator._store, 2)
            assert sorted(
                raw[0] for each in ledger.records() if "done" in each for raw in each["done"]["mini_batches"]
            ) == [0, 1]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("no"), TypeError("no"), AttributeError("y"), RecursionError()]
)
def test_an_error_of_ours_is_a_500_that_is_logged_and_the_call_can_be_repeated(tmp_path, caplog, monkeypatch, error):
    async def scenario():
        async with serving(tmp_path) as caller:
            await caller.register()
            with monkeypatch.context() as patch:
                patch.setattr(caller.coordinator, "report", lambda _: (_ for _ in ()).throw(error))
                await caller.post("report", wire.report(*caller.identity.values()), status=500)
            assert await caller.report() == {}

    asyncio.run(scenario())
    (record,) = [each for each in caplog.records if each.name == "longshore.coordinator"]
    assert type(error).__name__ in record.getMessage()
    assert "Traceback (most recent call last)" in record.getMessage()
