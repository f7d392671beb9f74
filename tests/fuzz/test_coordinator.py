"""Whatever agents and strangers send, no answer is a 500, the run ends, and its counts are those of the ledger."""

import asyncio
import itertools
import json
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from fakes import PATIENCE, completed, served, summary_job
from fuzzing import TEXTS, VALUES, examples, mutated
from hypothesis import given
from hypothesis import strategies as st

from longshore_coordinator.enumerate import Slice
from longshore_coordinator.ledger import Ledger
from longshore_coordinator.server import Server
from longshore_coordinator.service import Coordinator
from longshore_protocol import wire
from longshore_protocol.segments import digest_of, encode_digests
from longshore_protocol.wire import Completion, Deferral, Failure, unpack_grants
from longshore_storage.store import open_store

MINI_BATCHES = 40
TOKEN = "t"
CALLS = ("register", "lease", "report", "bye", "gone", "drain")
ALLOWED = {200, 400, 401, 404, 405, 408, 409, 413}
AGENT = "w0.1.x"

done = st.builds(
    Completion,
    st.integers(0, MINI_BATCHES),
    st.integers(1, 3),
    *[st.integers(0, 9)] * 4,
    st.integers(-1, 1),
    *[st.integers(0, 9)] * 5,
)
failure = st.builds(
    Failure,
    st.integers(0, MINI_BATCHES),
    st.integers(1, 3),
    st.integers(-1, 3),
    st.just(0),
    st.sampled_from(["UserError", "System", "DataError"]),
    TEXTS,
    TEXTS,
    st.floats(0, 1e9),
    st.floats(0, 1e3),
    st.just("log"),
)
deferral = st.builds(
    Deferral, st.integers(-1, MINI_BATCHES), st.integers(0, 3), st.sampled_from([wire.STORE, wire.INPUT]), TEXTS
)
pairs = st.lists(st.tuples(st.integers(0, MINI_BATCHES), st.integers(1, 3)), max_size=3)
state = st.fixed_dictionaries(
    {"process": st.just("process000"), "state": st.sampled_from(["ready", "starting", wire.DOWNLOADING])},
    optional={"what": TEXTS, "mini_batch": st.none() | st.integers(), "seconds": st.floats(0, 9), "device": TEXTS},
)


@st.composite
def reports(draw):
    completed = draw(st.lists(done, max_size=4))
    digests = draw(st.just("") | st.just(encode_digests([digest_of(b"x")] * len(completed))))
    body = wire.report(
        AGENT,
        1,
        segment="state/segments/w0.1.x-000001",
        bytes=draw(st.integers(0, 9)),
        digests=digests,
        headers=draw(st.lists(TEXTS, max_size=2)),
        completed=completed,
        failed=draw(st.lists(failure, max_size=2)),
        deferred=draw(st.lists(deferral, max_size=2)),
        fetched=draw(st.integers(0, 9)),
        returned=draw(pairs),
        held=draw(pairs),
        init_failed=draw(st.lists(failure, max_size=1)),
        processes=draw(st.lists(state, max_size=2)),
    )
    return json.loads(json.dumps(body))


PLAIN = {
    "register": {"worker": "w0", "boot": "x", "protocol": wire.PROTOCOL},
    "lease": {"agent": AGENT, "epoch": 1, "want": 3},
    "bye": {"agent": AGENT},
    "gone": {"worker": "w0"},
    "drain": {"worker": "w1"},
}


@st.composite
def requests(draw):
    """Return a call and its body: a right one, one that was changed, or anything."""
    call = draw(st.sampled_from(["register", "lease", "report", "report", "report", *CALLS]))
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return call, draw(st.binary(max_size=60))
    right = draw(reports()) if call == "report" else PLAIN[call]
    body = right if kind < 4 else draw(mutated(right)) if kind < 9 else draw(VALUES)
    return call, json.dumps(body).encode()


@asynccontextmanager
async def serving(folder):
    slices = [Slice(0, 1, b'["/in/%d"]' % number) for number in range(MINI_BATCHES)]
    coordinator = Coordinator(summary_job(folder), cut=lambda _: iter(slices))
    await coordinator.open()
    await coordinator.plan_complete()
    running = asyncio.create_task(coordinator.run())
    try:
        async with served(coordinator, token=TOKEN) as (session, _):
            yield session, coordinator, running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def post(session, call, body):
    """Send a call; a lease call that would wait for work is hung up on."""
    limit = aiohttp.ClientTimeout(total=0.3 if call == "lease" else PATIENCE)
    try:
        async with session.post(f"/v1/{call}", data=body, timeout=limit) as response:
            return response.status, await response.read()
    except TimeoutError:
        assert call == "lease"
        return 200, b""


async def work_to_the_end(session, coordinator):
    """Take the place of every agent that registered meanwhile, and run what is left."""
    for worker in set(coordinator._run.agents.workers().values()):
        await post(session, "gone", json.dumps({"worker": worker}))
    _, answer = await post(
        session, "register", json.dumps({"worker": "polite", "boot": "x", "protocol": wire.PROTOCOL})
    )
    about = json.loads(answer)
    identity = {"agent": about["agent"], "epoch": about["epoch"]}
    orders = {}
    while not orders:
        async with session.post("/v1/lease", data=json.dumps({**identity, "want": 10})) as response:
            orders, grants = unpack_grants(await response.read())
        if grants:
            report = wire.report(*identity.values(), completed=completed(*grants))
            status, answer = await post(session, "report", json.dumps(report))
            assert status == 200, answer
            orders = {name: value for name, value in json.loads(answer).items() if name != "lost"}
    await post(session, "bye", json.dumps(identity))


@examples(12)
@given(sent=st.lists(requests(), min_size=1, max_size=25))
def test_whatever_is_sent_the_run_ends_and_counts_what_its_ledger_holds(sent):
    async def scenario(folder):
        async with serving(folder) as (session, coordinator, running):
            await post(session, "register", json.dumps(PLAIN["register"]))
            for call, body in sent:
                status, answer = await post(session, call, body)
                assert status in ALLOWED, (status, answer)
            async with session.get("/v1/snapshot") as response:
                assert response.status == 200
                await response.json()
            await work_to_the_end(session, coordinator)
            last = await running
        assert last.reason != "InternalError", last.message
        records = list(Ledger(open_store(str(folder / "run")), 2).records())
        held = list(itertools.chain.from_iterable(each["done"]["mini_batches"] for each in records if "done" in each))
        assert sorted(raw[0] for raw in held) == sorted({raw[0] for raw in held})
        assert last.mini_batches.succeeded == len(held)
        lost = [each["tried"] for each in records if "tried" in each and each["tried"]["terminal"]]
        assert last.mini_batches.failed == len(lost)
        assert last.items.succeeded == sum(raw[4] for raw in held)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))


@examples(15)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "DELETE", "HEAD", "BREW"]),
    path=st.sampled_from(["/v1/report", "/v1/lease", "/v1/snapshot", "/healthz", "/", "/v1/../x", "*", "/%ff%00"]),
    headers=st.lists(
        st.sampled_from(
            [
                "Content-Length: 5",
                "Content-Length: -1",
                "Content-Length: 99999999999999999999",
                "Transfer-Encoding: chunked",
                "Content-Encoding: gzip",
                "Content-Type: multipart/form-data",
                "Expect: 100-continue",
                "Upgrade: websocket",
                "Connection: upgrade",
                "X: \x00\x7f",
                "Authorization: Bearer \u00ff",
            ]
        ),
        max_size=4,
    ),
    knows=st.booleans(),
    body=st.binary(max_size=30),
)
def test_whatever_bytes_a_connection_sends_no_answer_is_a_500(method, path, headers, knows, body):
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers, *([f"Authorization: Bearer {TOKEN}"] if knows else [])]
    data = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    async def scenario(folder):
        coordinator = Coordinator(summary_job(folder), cut=lambda _: iter([]))
        await coordinator.open()
        server = Server(coordinator, token=TOKEN, silent=0.2)
        port = await server.start("127.0.0.1")
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(data)
                answer = await reader.read()
                writer.close()
        except ConnectionError:
            answer = b""
        finally:
            await server.stop()
        assert not answer.startswith(b"HTTP/1.1 5"), answer

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))


@pytest.mark.parametrize("call", CALLS)
def test_what_is_nested_too_deeply_is_refused(call, tmp_path):
    async def scenario():
        async with serving(tmp_path) as (session, _, _):
            for body in (b"[" * 300_000, b'{"agent":' * 100_000, b'{"worker": ' + b"9" * 10_000 + b"}"):
                assert (await post(session, call, body))[0] == 400

    asyncio.run(scenario())
