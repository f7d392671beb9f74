"""Who was displaced writes nothing more: an earlier coordinator of a run, an agent whose leases are over."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode adds no folder of tests by itself

from fire import AGENT, CHILD, Process, processes
from varied import Varied


@pytest.fixture
def varied(longshore):
    return Varied(longshore, mini_batches=300, size=3, workers=2, processes=1, milliseconds=30)


def test_a_second_coordinator_displaces_the_first_while_that_is_at_work(longshore, varied):
    oracle = varied.oracle()
    first = longshore.start()
    longshore.wait_until(lambda: varied.number_of_calls() > 50)
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
        sleeper.send(signal.SIGCONT)
    varied.assert_exactly_once(command.wait(), oracle)
    [(committer, completion)] = [each for each in varied.committed() if each[1].mini_batch == mini_batch]
    assert committer != worker
    assert completion.attempt > 1


def put_an_agent_to_sleep(longshore, command, varied) -> tuple[Process, str, int]:
    """Stop an agent; return it, its worker's name, and a mini-batch that was run to the end without its knowing."""
    longshore.wait_until(lambda: varied.number_of_calls() > 20)
    child = processes(CHILD, command, longshore.processes())[0]
    worker = Path(child.arguments()[-3]).stem  # the name of the agent's socket
    [agent] = [
        each
        for each in processes(AGENT, command, longshore.processes())
        if f"LONGSHORE_WORKER={worker}" in each.environment()
    ]
    while True:  # until it is stopped while its process has something to run
        assert agent.send(signal.SIGSTOP), "the run ended too early"
        longshore.wait_until(lambda: agent.state() == "T")
        heard = len(varied.ended_calls())  # what ends from now on, it cannot know
        for _ in range(50):
            unheard = [mini_batch for pid, mini_batch in varied.ended_calls()[heard:] if pid == child.pid]
            if unheard:
                return agent, worker, unheard[0]
            time.sleep(0.01)
        agent.send(signal.SIGCONT)
