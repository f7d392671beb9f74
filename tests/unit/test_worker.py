"""What a worker makes of leases that end while its process runs them."""

import asyncio
from dataclasses import replace

import pytest
from fakes import JOB, SPEC
from peers import PROCESS, Peer, leases

from longshore_agent import gateway
from longshore_agent.worker import Worker
from longshore_protocol import messages
from longshore_protocol.frames import encode


def done(worker, mini_batch, attempt):
    worker.child_message(PROCESS, [messages.DONE, mini_batch, attempt, 1, 1, 0, 100_000, 0, 0, ""], b"row\n")
    worker.reconcile()


def completed(worker):
    return [[each[0], each[1]] for each in worker.outbox.batch.completed]


def test_what_a_process_states_of_its_device_is_cut():
    async def scenario():
        worker = Worker(JOB, SPEC, agent="worker-0.1.a")
        worker.host_connected(Peer())
        worker.reconcile()
        gateway.Peer(worker).data_received(encode([messages.HELLO_CHILD, PROCESS, 1, "gpu:" + "9" * 1000]))
        assert [each["device"] for each in worker.states()] == ["gpu:" + "9" * 95 + "…"]

    asyncio.run(scenario())


def test_a_worker_states_what_its_processes_compute_on_those_that_replace_others_too(worker, child):
    assert [each["device"] for each in worker.states()] == ["gpu:0"]
    worker.child_gone(child, PROCESS)
    worker.host_message([messages.EXITED, PROCESS, 1, False])
    worker.reconcile()
    assert [(each["process"], each["device"]) for each in worker.states()] == [("process001", "gpu:0")]


def test_an_expired_lease_that_comes_back_takes_the_place_of_its_earlier_attempt(worker, child):
    worker.take(leases((0, 1), (1, 1)))  # 0 runs; 1 waits
    worker.take(leases((0, 2), (1, 2)))
    assert sorted(worker.held()) == [[0, 2], [1, 2]]
    done(worker, 0, 1)
    assert completed(worker) == []  # that attempt is nobody's any more
    done(worker, 0, 2)
    done(worker, 1, 2)
    assert child.was_to_run() == [[0, 1], [0, 2], [1, 2]]
    assert completed(worker) == [[0, 2], [1, 2]]
    assert worker.held() == []
    assert worker.is_idle()


def test_the_loss_of_an_attempt_leaves_a_later_one_alone(worker, child):
    worker.take(leases((0, 1), (1, 1)))
    told_of = worker.held()
    worker.take(leases((1, 2)))  # granted between a report and its answer
    worker.forget(told_of)
    assert worker.held() == [[1, 2]]
    done(worker, 0, 1)
    done(worker, 1, 2)
    assert child.was_to_run() == [[0, 1], [1, 2]]
    assert completed(worker) == [[1, 2]]


def test_what_is_forgotten_while_it_waits_is_not_run(worker, child):
    worker.take(leases((0, 1), (1, 1), (2, 1)))
    worker.forget([[1, 1]])
    done(worker, 0, 1)
    done(worker, 2, 1)
    assert child.was_to_run() == [[0, 1], [2, 1]]
    assert completed(worker) == [[0, 1], [2, 1]]


def test_leases_that_come_after_a_drain_go_back(worker, child):
    worker.take(leases((0, 1)))
    worker.drain()
    worker.take(leases((1, 1), (2, 5)))
    assert worker.held() == [[0, 1]]
    assert worker.outbox.batch.returned == [[1, 1], [2, 5]]
    done(worker, 0, 1)
    assert child.was_to_run() == [[0, 1]]
    assert child.received[-1] == [messages.SHUTDOWN]


def test_a_process_that_dies_in_a_drain_loses_a_try_for_what_it_ran_and_none_for_what_it_had_not_begun(worker, child):
    worker._slots[0].average = 0.001  # so short that several are sent at once
    worker.take(leases((0, 1), (1, 1), (2, 1)))
    assert child.was_to_run() == [[0, 1], [1, 1], [2, 1]]
    worker.drain()
    worker.child_gone(child, PROCESS)
    worker.host_message([messages.EXITED, PROCESS, -9, False])
    worker.reconcile()
    assert worker.ended.is_set()
    assert [each.mini_batch for each in worker.outbox.batch.failed] == [0]
    assert worker.outbox.batch.returned == [[1, 1], [2, 1]]
    assert worker.held() == []


def test_a_process_takes_over_the_slot_of_the_one_that_it_replaces():
    async def scenario():
        worker, host = Worker(replace(JOB, processes_per_worker=3), SPEC, agent="worker-0.1.a"), Peer()
        worker.host_connected(host)
        worker.reconcile()
        worker.host_message([messages.EXITED, 1, -9, False])
        worker.reconcile()
        worker.host_message([messages.EXITED, 3, -9, False])
        worker.host_message([messages.EXITED, 0, -9, False])
        worker.reconcile()
        return [header[1:] for header in host.received if header[0] == messages.SPAWN]

    assert asyncio.run(scenario()) == [[0, 0], [1, 1], [2, 2], [3, 1], [4, 0], [5, 1]]


@pytest.mark.parametrize(
    "message",
    [
        [messages.DONE, 0, 2, 1, 1, 0, 100_000, 0, 0, ""],
        [messages.DONE, 1, 1, 1, 1, 0, 100_000, 0, 0, ""],
        [messages.FAILED, 7, 1, 1, "UserError", "no", "", 0.0, 0.1],
        [messages.LOADED, 1, 1],
    ],
    ids=["another attempt", "one that waits behind", "one that it never had", "loaded out of turn"],
)
def test_who_speaks_of_what_the_process_does_not_run_is_cut_off_and_believed_nothing(worker, child, message):
    worker.take(leases((0, 1), (1, 1)))
    worker.child_message(PROCESS, message, b"row\n")
    worker.reconcile()
    assert child.closed
    assert worker.outbox.batch.is_empty()
    assert sorted(worker.held()) == [[0, 1], [1, 1]]


@pytest.fixture
def at_once(child):
    """A worker whose only process runs up to three mini-batches at once, and was sent 0, 1 and 2; 3 waits here."""

    async def make():
        made = Worker(replace(JOB, concurrency_per_process=3), SPEC, agent="worker-0.1.a")
        made.host_connected(Peer())
        made.reconcile()
        assert made.child_connected(child, PROCESS)
        made.child_message(PROCESS, [messages.READY, 0.1, 5.0], b"")
        made.reconcile()
        made.take(leases((0, 1), (1, 1), (2, 1), (3, 1)))
        return made

    return asyncio.run(make())


def begin(worker, *mini_batches):
    for mini_batch in mini_batches:
        worker.child_message(PROCESS, [messages.BEGUN, mini_batch, 1], b"")


def test_a_process_that_runs_several_at_once_gets_another_for_each_that_ends(at_once, child):
    assert child.was_to_run() == [[0, 1], [1, 1], [2, 1]]
    begin(at_once, 0, 1, 2)
    done(at_once, 1, 1)
    assert child.was_to_run()[3:] == [[3, 1]]
    begin(at_once, 3)
    done(at_once, 3, 1)
    done(at_once, 0, 1)
    assert completed(at_once) == [[1, 1], [3, 1], [0, 1]]
    assert at_once.held() == [[2, 1]]


def test_all_that_such_a_process_had_begun_lose_a_try_with_it_and_the_rest_waits(at_once, child):
    begin(at_once, 2, 0)
    at_once.child_gone(child, PROCESS)
    at_once.host_message([messages.EXITED, PROCESS, -11, False])
    failed = at_once.outbox.batch.failed
    assert sorted((each.mini_batch, each.category, each.message) for each in failed) == [
        (0, "ProcessDied", "process000 was killed by SIGSEGV"),
        (2, "ProcessDied", "process000 was killed by SIGSEGV"),
    ]
    assert sorted(at_once.held()) == [[1, 1], [3, 1]]
    assert at_once.outbox.batch.returned == []


def test_such_a_process_that_ends_by_what_one_mini_batch_did_costs_the_others_nothing(at_once, child):
    begin(at_once, 0, 1)
    said = "the entry script called sys.exit(4) in run()"
    at_once.child_message(PROCESS, [messages.FAILED, 0, 1, 1, "ProcessDied", said, "", 0.0, 0.1], b"")
    done(at_once, 1, 1)
    at_once.reconcile()
    assert child.was_to_run() == [[0, 1], [1, 1], [2, 1]]  # no more is sent to it
    at_once.child_gone(child, PROCESS)
    at_once.host_message([messages.EXITED, PROCESS, 4, False])
    assert [each.mini_batch for each in at_once.outbox.batch.failed] == [0]
    assert sorted(at_once.held()) == [[2, 1], [3, 1]]


@pytest.mark.parametrize(
    "message",
    [
        [messages.BEGUN, 3, 1],
        [messages.BEGUN, 0, 2],
        [messages.DONE, 0, 1, 1, 1, 0, 100_000, 0, 0, ""],
        [messages.LOADED, 0, 1],
    ],
    ids=["it was never sent", "in another attempt", "done before it was begun", "loaded before it was begun"],
)
def test_such_a_process_too_is_believed_only_of_what_it_was_sent_and_has_begun(at_once, child, message):
    at_once.child_message(PROCESS, message, b"row\n")
    at_once.reconcile()
    assert child.closed
    assert at_once.outbox.batch.is_empty()


def test_a_process_is_ready_once(at_once):
    begin(at_once, 0)
    at_once.child_message(PROCESS, [messages.READY, 0.1], b"")
    done(at_once, 0, 1)
    assert completed(at_once) == [[0, 1]]


def test_init_fails_once_and_only_before_a_process_is_ready(worker):
    worker.child_message(PROCESS, [messages.INIT_FAILED, "UserError", "no", ""], b"")
    assert worker.outbox.batch.init_failed == []


def test_after_an_absence_of_the_agent_its_processes_have_the_time_that_they_had(worker):
    now = worker._clock()
    worker._clock = lambda: now
    worker.tick()
    worker.take(leases((0, 1)))
    for passed in [1.0] * 50 + [3600.0] * 3:  # the agent works, and is stopped three times
        now += passed
        worker.tick()
    assert [message[0] for message in worker._host.received].count(messages.KILL) == 0
    for _ in range(12):
        now += 1.0
        worker.tick()
    assert [message[0] for message in worker._host.received].count(messages.KILL) == 1


@pytest.mark.parametrize(
    ("end", "counts"),
    [
        ("said bye", (1, 0)),
        ("crashed after that", (1, 0)),
        ("raised", (0, 1)),
        ("took too long", (0, 1)),
        ("killed by others", (0, 0)),  # another worker is to run it
    ],
)
def test_a_shutdown_counts_unless_its_process_was_killed_by_others(worker, child, monkeypatch, end, counts):
    worker.drain()
    assert child.received[-1] == [messages.SHUTDOWN]
    if end in ("said bye", "crashed after that"):
        worker.child_message(PROCESS, [messages.BYE], b"")
    if end == "took too long":
        began = worker._clock()
        for seconds in range(40):
            monkeypatch.setattr(worker, "_clock", lambda seconds=seconds: began + seconds)
            worker.tick()
    code = {"said bye": 0, "crashed after that": -11, "raised": 1}.get(end, -9)
    worker.child_gone(child, PROCESS)
    worker.host_message([messages.EXITED, PROCESS, code, False])
    assert (len(worker.shutdowns.completed), worker.shutdowns.failed) == counts
