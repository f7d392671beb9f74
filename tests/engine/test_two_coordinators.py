"""Who was displaced writes nothing more: an earlier coordinator of a run, an agent whose leases are over."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode adds no folder of tests by itself

from fire import AGENT, CHILD, HOST, LocalRun, Process, until
from varied import Varied, assert_exactly_once, committed


@pytest.fixture
def varied(tmp_path: Path) -> Varied:
    return Varied(tmp_path, mini_batches=300, size=3, workers=2, processes=1, milliseconds=30)


@pytest.fixture
def run(varied: Varied) -> Iterator[LocalRun]:
    run = LocalRun(varied.folder, mark=str(varied.folder))
    try:
        yield run
    finally:
        run.sweep()


def ended(command: subprocess.Popen[bytes]) -> int:
    until(lambda: command.poll() is not None, "the end of a command")
    return command.wait()


def test_a_second_coordinator_displaces_the_first_while_that_is_at_work(run: LocalRun, varied: Varied):
    oracle = varied.oracle()
    first = run.start("--run-dir", run.run_dir)
    until(lambda: varied.number_of_calls() > 50, "some work of the first coordinator")
    second = run.resume()
    assert ended(first) == 1, run.output(1) + run.complaints(1)
    assert reason(run.output(1)) == "Superseded"
    assert ended(second) == 0, run.output() + run.complaints()
    assert_exactly_once(run.run_dir, run.output(), varied, oracle)
    assert epochs(run.run_dir) == [1, 2]
    assert run.is_deserted()


def test_a_coordinator_that_slept_through_its_displacement_writes_nothing_more(run: LocalRun, varied: Varied):
    oracle = varied.oracle()
    first = run.start("--run-dir", run.run_dir)
    until(lambda: varied.number_of_calls() > 50, "some work of the first coordinator")
    # Its agents go on: when it wakes up, results of theirs wait for it that the second one has got by itself.
    first.send_signal(signal.SIGSTOP)
    try:
        assert ended(run.resume()) == 0, run.output() + run.complaints()
        assert_exactly_once(run.run_dir, run.output(), varied, oracle)
    finally:
        first.send_signal(signal.SIGCONT)
    assert ended(first) == 1, run.output(1) + run.complaints(1)
    assert reason(run.output(1)) == "Superseded"
    assert_exactly_once(run.run_dir, run.output(), varied, oracle)
    assert run.is_deserted()


def test_an_agent_that_slept_past_its_leases_cannot_commit_what_it_ran(run: LocalRun, varied: Varied):
    oracle = varied.oracle()
    command = run.start("--run-dir", run.run_dir)
    sleeper, belated = stop_an_agent_at_work(run, varied)
    try:
        until(lambda: has_run_elsewhere(varied, belated), "another worker running what the sleeper had leased")
    finally:
        sleeper.send(signal.SIGCONT)
    assert ended(command) == 0, run.output() + run.complaints()
    assert_exactly_once(run.run_dir, run.output(), varied, oracle)
    assert run.is_deserted()
    name, pid = belated
    mini_batch = int(name) // 3
    [(worker, completion)] = [each for each in committed(run.run_dir) if each[1].mini_batch == mini_batch]
    assert completion.attempt > 1
    assert f"{worker}/" not in log_of(run, pid), "the completion in the ledger is that of the sleeper"


def stop_an_agent_at_work(run: LocalRun, varied: Varied) -> tuple[Process, tuple[str, int]]:
    """Stop an agent while its process works; return it, and what that process finished then: its first file, the pid.

    The agent cannot have heard of a call that ended after it was stopped.
    """
    until(lambda: varied.number_of_calls() > 20 and len(run.processes(CHILD)) == 2, "work", meanwhile=run.assert_running)
    while True:
        agent = run.processes(AGENT)[0]
        agent.send(signal.SIGSTOP)
        until(lambda: agent.state() == "T", "the agent to be stopped")
        known = len(varied.calls())
    raise AssertionError


def reason(status: str) -> str:
    return next(each["reason"] for each in json.loads(status)["conditions"] if each["type"] == "Succeeded")


def epochs(run_dir: Path) -> list[int]:
    return sorted(int(path.stem) for path in (run_dir / "state" / "epochs").iterdir())
