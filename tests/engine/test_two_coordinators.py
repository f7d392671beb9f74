"""Who was displaced writes nothing more: a coordinator, an agent whose leases are over; and an end stays the end."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import psutil
import pytest
from fire import AGENT, CHILD, is_stopped, processes, send
from varied import Varied

from longshore_coordinator.service import Coordinator
from longshore_planner.documents import load
from longshore_planner.resolve import resolve
from longshore_protocol.snapshot import Snapshot


@pytest.fixture
def varied(longshore):
    return Varied(longshore, mini_batches=300, size=3, workers=2, processes=1, milliseconds=30)


def test_a_second_coordinator_displaces_the_first_while_that_is_at_work(longshore, varied):
    oracle = varied.oracle()
    first = longshore.start()
    longshore.wait_until(lambda: varied.number_of_calls() > 50)
    with varied.held():  # else the first might be through before the second is there
        second = longshore.start("--resume", str(longshore.run_dir))
        displaced = first.wait()
    assert (displaced.code, displaced.reason) == (1, "Superseded")
    varied.assert_exactly_once(second.wait(), oracle)


def test_a_coordinator_that_slept_through_its_displacement_writes_nothing_more(longshore, varied):
    oracle = varied.oracle()
    first = longshore.start()
    longshore.wait_until(lambda: varied.number_of_calls() > 50)
    # Its agents go on: when it wakes up, they have results for it that the second one has got by itself.
    first.signal(signal.SIGSTOP)
    try:
        ended = longshore.start("--resume", str(longshore.run_dir)).wait()
        varied.assert_exactly_once(ended, oracle)
    finally:
        first.signal(signal.SIGCONT)
    displaced = first.wait()
    assert (displaced.code, displaced.reason) == (1, "Superseded")
    varied.assert_exactly_once(ended, oracle)


def test_an_agent_that_slept_past_its_leases_cannot_commit_what_was_run_for_it(longshore, varied):
    oracle = varied.oracle()
    command = longshore.start()
    sleeper, worker, mini_batch = put_an_agent_to_sleep(longshore, command, varied)
    try:  # until its lease has expired, and the other worker has run the mini-batch too
        longshore.wait_until(lambda: [each for _, each in varied.ended_calls()].count(mini_batch) == 2)
    finally:
        send(sleeper, signal.SIGCONT)
    varied.assert_exactly_once(command.wait(), oracle)
    [(committer, completion)] = [each for each in varied.committed() if each[1].mini_batch == mini_batch]
    assert committer != worker
    assert completion.attempt > 1


def test_a_run_that_was_killed_right_after_its_end_has_succeeded(longshore):
    varied = Varied(longshore, mini_batches=10, size=3, workers=1, processes=1, milliseconds=0)
    first = longshore.run()
    (longshore.run_dir / "status.json").unlink()  # the command was killed before it wrote that
    resumed = longshore.resume()
    assert "there is nothing to resume" in resumed.stderr
    assert resumed.status == first.status
    varied.assert_exactly_once(resumed, varied.oracle())


def test_a_coordinator_that_is_started_after_the_end_states_the_same_end(longshore):
    varied = Varied(longshore, mini_batches=10, size=3, workers=1, processes=1, milliseconds=0)
    first = longshore.run()
    found = resolve(
        load([longshore.folder / "manifest.yaml"]), run_uri=str(longshore.run_dir), run_id="same", cores=1, sample=None
    )

    async def start() -> Snapshot:
        coordinator = Coordinator(found.job)
        await coordinator.open()
        return await coordinator.run()

    last = asyncio.run(start())  # the rows' segments are deleted: it cannot write the output again
    assert (last.state, last.epoch) == ("Succeeded", 1)
    varied.assert_exactly_once(first, varied.oracle())


def put_an_agent_to_sleep(longshore, command, varied) -> tuple[psutil.Process, str, int]:
    """Stop an agent; return it, its worker's name, and a mini-batch that was run to the end without its knowing."""
    longshore.wait_until(lambda: varied.number_of_calls() > 20)
    child = processes(CHILD, command, longshore.processes())[0]
    worker = Path(child.cmdline()[-3]).stem  # the name of the agent's socket
    [agent] = [
        each
        for each in processes(AGENT, command, longshore.processes())
        if each.environ().get("LONGSHORE_WORKER") == worker
    ]
    while True:  # until it is stopped while its process has something to run
        assert send(agent, signal.SIGSTOP), "the run ended too early"
        longshore.wait_until(lambda: is_stopped(agent))
        heard = len(varied.ended_calls())  # what ends from now on, it cannot know
        for _ in range(50):
            unheard = [mini_batch for pid, mini_batch in varied.ended_calls()[heard:] if pid == child.pid]
            if unheard:
                return agent, worker, unheard[0]
            time.sleep(0.01)
        send(agent, signal.SIGCONT)
