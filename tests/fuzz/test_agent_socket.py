"""Whatever hosts and children send to an agent, no lease is lost, and what it reports is what a coordinator takes."""

import asyncio
import json
import struct
from dataclasses import replace

from fakes import JOB, SPEC, Transport
from fuzzing import TEXTS, VALUES, examples, mutated
from hypothesis import given
from hypothesis import strategies as st

from longshore_agent.work import Lease
from longshore_agent.worker import Worker
from longshore_coordinator import incoming
from longshore_protocol import messages, wire
from longshore_protocol.frames import encode
from longshore_protocol.wire import PROTOCOL, Grant

LEASES = 12

mini_batch = st.integers(0, LEASES)
right = st.one_of(
    st.tuples(st.just(messages.HELLO_HOST), st.just(PROTOCOL), st.just(1)),
    st.tuples(st.just(messages.HELLO_CHILD), st.integers(0, 5), st.just(1), TEXTS),
    st.tuples(st.just(messages.EXITED), st.integers(0, 5), st.just(-9), st.booleans(), TEXTS, TEXTS),
    st.tuples(st.just(messages.READY), st.floats(0, 9)),
    st.tuples(st.just(messages.READY), st.floats(0, 9), st.floats(0, 9)),
    st.tuples(st.just(messages.INIT_FAILED), st.just("UserError"), TEXTS, TEXTS),
    st.tuples(st.just(messages.BEGUN), mini_batch, st.just(1)),
    st.tuples(st.just(messages.LOADED), mini_batch, st.just(1)),
    st.tuples(st.just(messages.DONE), mini_batch, st.just(1), *[st.integers(0, 9)] * 6, st.just("x\n")),
    st.tuples(
        st.just(messages.FAILED), mini_batch, st.just(1), st.just(1), st.just("UserError"), TEXTS, TEXTS,
        st.floats(0, 9), st.floats(0, 9),
    ),
    st.tuples(st.just(messages.BYE)),
).map(list)  # fmt: skip


@st.composite
def frames(draw):
    """Return a message's frame: a right one, one that was changed, or bytes."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.binary(max_size=20) | st.sampled_from([struct.pack(">II", 2, 0) + b"{}", b"\xff" * 8]))
    message = draw(right)
    if kind > 6:
        message = draw(mutated(message)) if kind < 9 else draw(VALUES)
    body = (
        b"row\n"
        if isinstance(message, list) and message[:1] == [messages.DONE]
        else draw(st.sampled_from([b"", b"", b"x"]))
    )
    head = json.dumps(message).encode()
    return struct.pack(">II", len(head), len(body)) + head + body


class Connection(Transport):
    """A connection that behaves, or not."""

    def __init__(self, worker):
        super().__init__(worker)
        self.answered = 0
        self.is_child = False


def behave(connection, others):
    """Do as a child should: say hello for a process that was asked for, or answer for the next mini-batch."""
    if not connection.is_child:
        asked = {header[1] for each in others for header in each.received if header[0] == messages.SPAWN}
        if asked:
            connection.is_child = True
            connection.send(encode([messages.HELLO_CHILD, max(asked), 1, "cpu"]))
            connection.send(encode([messages.READY, 0.1]))
        return
    grants = [grant for header in connection.received if header[0] == messages.RUN for grant in header[1]]
    if connection.answered < len(grants):
        number, attempt, _ = grants[connection.answered]
        connection.answered += 1
        connection.send(encode([messages.DONE, number, attempt, 1, 1, 0, 1, 1, 1, "x\n"], b"row\n"))


def accounted(worker):
    """Return the mini-batches that the agent holds and those that it reports, each as often as it does."""
    batch = worker.outbox.batch
    ended = [each[0] for each in (*batch.completed, *batch.failed, *batch.returned)]
    return sorted([*(number for number, _ in worker.held()), *ended])


def finish(worker):
    """Let a host and children that do as they should run what is left."""
    host = Connection(worker)
    host.send(encode([messages.HELLO_HOST, PROTOCOL, 1]))
    children, seen = {}, 0
    for _ in range(200):
        spawned = [header[1] for header in host.received[seen:] if header[0] == messages.SPAWN]
        seen = len(host.received)
        for process in spawned:
            children[process] = [Connection(worker), 0]
            children[process][0].send(encode([messages.HELLO_CHILD, process, 1, "cpu"]))
            children[process][0].send(encode([messages.READY, 0.1]))
        for child in children.values():
            new, child[1] = child[0].received[child[1] :], len(child[0].received)
            for grants in (header[1] for header in new if header[0] == messages.RUN):
                for number, attempt, _ in grants:
                    child[0].send(encode([messages.DONE, number, attempt, 1, 1, 0, 1, 1, 1, "x\n"], b"row\n"))
        worker._clock_skew += 100.0  # processes that failed before are replaced after a pause
        worker.tick()
        if not worker.held():
            return
    raise AssertionError(f"still held: {worker.held()}")


steps = st.lists(
    st.tuples(
        st.integers(0, 4), st.sampled_from(["behave"] * 6 + ["send"] * 3 + ["hang up"]), st.lists(frames(), max_size=3)
    ),
    max_size=30,
)


@examples(60)
@given(steps=steps, at_once=st.integers(1, 3))
def test_whatever_a_socket_sends_every_mini_batch_is_answered_for_once(steps, at_once):
    async def scenario():
        worker = Worker(
            replace(JOB, processes_per_worker=2, concurrency_per_process=at_once), SPEC, agent="worker-0.1.a"
        )
        worker._clock_skew = 0.0
        worker._clock = lambda: asyncio.get_running_loop().time() + worker._clock_skew
        connections = {}
        host = connections[0] = Connection(worker)
        host.send(encode([messages.HELLO_HOST, PROTOCOL, 1]))
        worker.take(Lease(Grant(number, 1, 0, b'["/in/a"]'), tabular=number % 2 == 0) for number in range(LEASES))
        for place, action, sent in steps:
            if place not in connections or connections[place].is_lost:
                connections[place] = Connection(worker)
            if action == "behave":
                behave(connections[place], connections.values())
            if action == "send":
                connections[place].send(b"".join(sent))
            if action == "hang up" or connections[place].is_closing():
                connections[place].hang_up()
            assert accounted(worker) == list(range(LEASES))
        for each in connections.values():
            each.hang_up()
        finish(worker)
        assert accounted(worker) == list(range(LEASES))
        batch = worker.outbox.take()
        reported = wire.report(
            "worker-0.1.a", 1, headers=batch.headers, completed=batch.completed, failed=batch.failed,
            returned=batch.returned, init_failed=batch.init_failed, held=worker.held(), processes=worker.states(),
        )  # fmt: skip
        incoming.report(json.dumps(reported).encode())

    asyncio.run(scenario())
