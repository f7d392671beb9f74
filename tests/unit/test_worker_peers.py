"""Hosts and processes that come, go, take another's place or send what is no message."""

import asyncio
import struct

import pytest
from fakes import JOB, SPEC
from peers import HELLO_HOST, PROCESS, Connection, hello, leases

from longshore_agent.worker import Worker
from longshore_protocol import messages
from longshore_protocol.frames import MAX_BODY, MAX_HEADER, encode
from longshore_protocol.text import MESSAGE, TRACEBACK


def host_gone_before_its_spec(first):
    first.send(HELLO_HOST)
    first.hang_up()


def another_host_in_the_same_iteration(first):
    first.send(HELLO_HOST)  # its end is read only once the second host has said hello


def host_gone_between_spawn_and_hello(first):
    first.send(HELLO_HOST)
    assert first.spawned() == [0]
    first.hang_up()
    late = Connection(first.worker)
    late.send(hello(0))  # from a child that is dead, too
    assert late.is_closing()


def host_and_its_child_in_the_same_iteration(first):
    first.send(HELLO_HOST)
    child = Connection(first.worker)
    child.send(hello(0))
    child.hang_up()


def host_that_says_hello_twice(first):
    first.send(HELLO_HOST)
    first.send(HELLO_HOST)
    assert first.is_closing()
    first.hang_up()


def malformed_exit(first):
    first.send(HELLO_HOST)
    first.send([messages.EXITED, "0", None])
    assert first.is_closing()
    first.hang_up()


@pytest.mark.parametrize(
    "end_of_the_first",
    [
        host_gone_before_its_spec,
        another_host_in_the_same_iteration,
        host_gone_between_spawn_and_hello,
        host_and_its_child_in_the_same_iteration,
        host_that_says_hello_twice,
        malformed_exit,
    ],
)
def test_a_host_that_takes_the_place_of_another_starts_processes_at_once(end_of_the_first):
    async def scenario():
        worker = Worker(JOB, SPEC, agent="worker-0.1.a")
        first, second = Connection(worker), Connection(worker)
        end_of_the_first(first)
        second.send(HELLO_HOST)
        assert second.received[0][0] == messages.SPEC
        assert second.spawned() == [1]
        assert first.is_closing()
        child = Connection(worker)
        child.send(hello(1), [messages.READY, 0.1])
        worker.take(leases((0, 1)))
        assert [header[1][0][:2] for header in child.received if header[0] == messages.RUN] == [[0, 1]]
        assert [each["state"] for each in worker.states()] == ["ready"]

    asyncio.run(scenario())


def test_a_child_whose_host_was_replaced_is_replaced_when_it_ends_and_its_mini_batch_fails():
    async def scenario():
        worker = Worker(JOB, SPEC, agent="worker-0.1.a")
        first, second, child = Connection(worker), Connection(worker), Connection(worker)
        first.send(HELLO_HOST)
        child.send(hello(0), [messages.READY, 0.1])
        worker.take(leases((0, 1)))
        second.send(HELLO_HOST)
        assert first.is_closing()
        assert second.spawned() == []  # the child may live for a moment
        child.hang_up()
        assert second.spawned() == [1]
        assert [(each.mini_batch, each.message) for each in worker.outbox.batch.failed] == [
            (0, "process000 exited with its host, which died")
        ]

    asyncio.run(scenario())


def test_a_second_child_of_one_number_is_turned_away_and_the_first_works_on():
    async def scenario():
        worker = Worker(JOB, SPEC, agent="worker-0.1.a")
        host, child, other = Connection(worker), Connection(worker), Connection(worker)
        host.send(HELLO_HOST)
        child.send(hello(0))
        other.send(hello(0))
        assert (child.is_closing(), other.is_closing()) == (False, True)
        other.hang_up()
        child.send([messages.READY, 0.1])
        assert [each["state"] for each in worker.states()] == ["ready"]
        assert host.spawned() == [0]

    asyncio.run(scenario())


def test_peers_of_an_earlier_registration_change_nothing_in_the_worker_of_the_next():
    async def scenario():
        earlier, later = Worker(JOB, SPEC, agent="worker-0.1.a"), Worker(JOB, SPEC, agent="worker-0.2.b")
        host, child, again = Connection(earlier), Connection(earlier), Connection(later)
        host.send(HELLO_HOST)
        child.send(hello(0), [messages.READY, 0.1])
        for each in (host, child):
            each.close()
        again.send(HELLO_HOST)
        for each in (host, child):
            each.hang_up()
        assert again.spawned() == [0]
        assert [each["state"] for each in later.states()] == ["spawning"]
        assert host.spawned() == [0]  # the earlier worker starts nothing more

    asyncio.run(scenario())


DONE = [messages.DONE, 0, 1, 1, 1, 0, 100_000, 0, 0, ""]
FAILED = [messages.FAILED, 0, 1, 1, "UserError", "no", "", 0.0, 0.1]


def changed(message, place, value):
    return [*message[:place], value, *message[place + 1 :]]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (changed(FAILED, 4, "Sabotage"), "in failed, the category is 'Sabotage'; it must be one of "),
        (changed(FAILED, 5, ["no"]), 'in failed, the message is ["no"]; it must be a text of a length from 0 to'),
        (changed(FAILED, 7, 1e300), "in failed, the start is 1e+300; it must be a number from 0 to 2.5e+11"),
        (changed(FAILED, 8, float("nan")), "in failed, the elapsed time is NaN; it must be a number from 0 to 1e+09"),
        (changed(FAILED, 3, None), "in failed, the number of items is null; it must be a whole number from -1 to"),
        (changed(DONE, 3, -1), "in done, the number of results is -1; it must be a whole number from 0 to"),
        (changed(DONE, 5, 10**300), "in done, the start is 1000"),
        (changed(DONE, 6, 0.5), "in done, the elapsed time is 0.5; it must be a whole number from 0 to"),
        (changed(DONE, 9, "a,\ud800\n"), "in done, the header is not valid text"),
        (changed(DONE, 2, True), "in done, the attempt is true; it must be a whole number from 1 to"),
        (DONE[:-1], "in done, it has 8 values; it must have 9"),
        ([*FAILED, 1], "in failed, it has 9 values; it must have 8"),
        ([messages.SPAWN, 1, 1], "'spawn' is not a message that this peer may send"),
        ([["done"]], "['done'] is not a message that this peer may send"),
        (HELLO_HOST, "'hello-host' is not a message that this peer may send"),
        (changed(DONE, 1, 7), "done of mini-batch 7, attempt 1, out of turn"),
    ],
)
def test_a_process_that_sends_a_malformed_message_is_killed_and_its_mini_batch_fails_with_the_reason(message, reason):
    async def scenario():
        worker = Worker(JOB, SPEC, agent="worker-0.1.a")
        host, child = Connection(worker), Connection(worker)
        host.send(HELLO_HOST)
        child.send(hello(0), [messages.READY, 0.1])
        worker.take(leases((0, 1), (1, 1)))
        child.send(message, DONE)  # what comes behind is not believed
        assert child.is_closing()
        assert host.received[-1][:2] == [messages.KILL, 0]
        assert worker.outbox.batch.is_empty()
        child.hang_up()
        host.send([messages.EXITED, 0, -9, False, "", ""])
        (failure,) = worker.outbox.batch.failed
        assert (failure.mini_batch, failure.category) == (0, "ProcessDied")
        assert failure.message.startswith(f"its process sent a malformed message: {reason}")
        assert host.spawned() == [0, 1]
        assert sorted(worker.held()) == [[1, 1]]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (struct.pack(">II", 2, 0) + b"{}", "a frame's header is not a JSON array with an element"),
        (struct.pack(">II", 2, 0) + b"[]", "a frame's header is not a JSON array with an element"),
        (struct.pack(">II", 4, 0) + b"null", "a frame's header is not a JSON array with an element"),
        (struct.pack(">II", 200_000, 0) + b"[" * 200_000, "a frame's header is not JSON: "),
        (struct.pack(">II", 2, MAX_BODY + 1) + b"[1", f"a frame announces a body of {MAX_BODY + 1} bytes"),
        (struct.pack(">II", MAX_HEADER + 1, 0), f"a frame announces a header of {MAX_HEADER + 1} bytes"),
        (encode([messages.BYE], b"x"), "bye has a body of 1 bytes and must have none"),
    ],
)
def test_a_process_that_sends_what_is_no_frame_before_it_is_ready_has_failed_in_init(frame, reason):
    async def scenario():
        worker = Worker(JOB, SPEC, agent="worker-0.1.a")
        host, child = Connection(worker), Connection(worker)
        host.send(HELLO_HOST)
        child.send(hello(0))
        child.peer.data_received(frame)
        assert child.is_closing()
        child.hang_up()
        host.send([messages.EXITED, 0, -9, False, "", ""])
        (failure,) = worker.outbox.batch.init_failed
        assert failure.message.startswith(f"its process sent a malformed message: {reason}")

    asyncio.run(scenario())


@pytest.mark.parametrize("frame", [struct.pack(">II", 2, 1), struct.pack(">II", 2 << 20, 0), encode(HELLO_HOST, b"x")])
def test_who_has_not_introduced_itself_is_not_held_in_memory(frame):
    async def scenario():
        stranger = Connection(Worker(JOB, SPEC, agent="worker-0.1.a"))
        stranger.peer.data_received(frame)
        assert stranger.is_closing()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "message",
    [
        [messages.DONE, 0, 1, 1, 1, 0, 100_000, 0, 0, ""],
        [messages.HELLO_CHILD, "0", 1, "cpu"],
        [messages.HELLO_CHILD, 0, 1, ["gpu"]],
        [messages.HELLO_CHILD, 5, 1, "cpu"],
        [messages.HELLO_HOST],
        [7],
    ],
)
def test_who_does_not_introduce_itself_is_disconnected(message):
    async def scenario():
        worker = Worker(JOB, SPEC, agent="worker-0.1.a")
        host, stranger = Connection(worker), Connection(worker)
        host.send(HELLO_HOST)
        stranger.send(message)
        assert stranger.is_closing()
        stranger.hang_up()
        assert [each["state"] for each in worker.states()] == ["spawning"]

    asyncio.run(scenario())


def test_what_a_process_reports_of_a_failure_becomes_text_that_can_be_shown_and_is_cut(worker):
    worker.take(leases((0, 1)))
    message, trace = "no \x1b[31m\udcff\u202e" + "x" * 9999, "  File\n\x00\n" + "y" * 99999
    worker.child_message(PROCESS, [messages.FAILED, 0, 1, 1, "UserError", message, trace, 0.0, 0.1], b"")
    (failure,) = worker.outbox.batch.failed
    assert failure.message.startswith(r"no \x1b[31m\xff\u202exxx")
    assert (len(failure.message), len(failure.traceback)) == (MESSAGE, TRACEBACK)
    assert failure.traceback.startswith("  File\n\\x00\nyyy")


def test_what_a_host_reports_of_an_end_becomes_text_that_can_be_shown(worker, child):
    worker.take(leases((0, 1)))
    worker.child_gone(child, PROCESS)
    worker.host_message([messages.EXITED, PROCESS, 1, False, "ValueError: \x1b[2J", "Thread\n\udcff"])
    (failure,) = worker.outbox.batch.failed
    assert r"ValueError: \x1b[2J" in failure.message
    assert failure.traceback == "Thread\n\\xff"
