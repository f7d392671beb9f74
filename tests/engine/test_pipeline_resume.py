"""Pipelines that are resumed, interrupted or killed: a killed run ends as any other."""

import os
import random
import signal
import time

import pytest
from sums import COUNT, SQUARE, TOTAL, TRAINING, kill, output, reused, run, states, steps, sums_spec, total


# Going on
def test_a_failed_run_goes_on_with_its_failed_step_alone_and_with_the_code_as_it_is_now(sums):
    spec = sums_spec(errorThreshold=0, runMaxTry=1)
    sums.manifest(sums.sums(**spec))
    sums.write("broken.square-5", "")
    first = run(sums, "1")
    assert states(first) == {"make": "Succeeded", "square": "Failed", "add": "Skipped"}
    done = {f"square-{number}" for number in range(5)}
    assert done <= sums.calls().keys()
    (sums.folder / "broken.square-5").unlink()
    sums.write("square/square.py", SQUARE.replace("** 2", "** 2 + 0"))
    sums.forget()

    second = sums.run("--resume", "runs/1", "--accept-changed-code", paths=[], patience=TRAINING)

    assert (second.code, total(second)) == (0, str(TOTAL))
    assert sums.calls().keys() & {"make", *done} == set()
    assert sums.calls()["square-5"] == 1
    assert steps(second)["square"]["notReused"] == "no earlier run of this step exists"
    assert "** 2 + 0" in (sums.folder / "runs" / "1" / "sources" / "3" / "square.py").read_text()


def test_an_interrupted_run_lets_what_runs_finish_and_goes_on_later(sums):
    sums.hold("square-0")  # nothing is known yet of how long they take: few others are sent along
    command = sums.start("--run-dir", "runs/1", "-p", "count=60")
    sums.wait_until(lambda: sums.calls()["square-0"])
    command.signal(signal.SIGINT)
    sums.wait_until(lambda: "have 30 s to finish" in command.stderr)
    sums.release("square-0")
    first = command.wait(patience=TRAINING)
    assert (first.code, first.succeeded["reason"]) == (130, "Suspended")
    assert states(first) == {"make": "Succeeded", "square": "Pending", "add": "Pending"}

    second = sums.run("--resume", "runs/1", paths=[], patience=TRAINING)

    assert (second.code, total(second)) == (0, str(sum(number**2 for number in range(60))))
    assert set(sums.calls().values()) == {1}


def test_a_second_interrupt_ends_scripts_too(sums):
    sums.hold("make")
    command = sums.start("--run-dir", "runs/1")
    sums.wait_until(lambda: sums.calls()["make"])
    command.signal(signal.SIGINT)
    sums.wait_until(lambda: "have 30 s to finish" in command.stderr)
    command.signal(signal.SIGINT)
    ended = command.wait(patience=TRAINING)
    assert (ended.code, states(ended)["make"]) == (130, "Pending")
    sums.nothing_is_left_running()


def test_two_commands_cannot_have_one_run(sums):
    sums.hold("make")
    command = sums.start("--run-dir", "runs/1")
    sums.wait_until(lambda: sums.calls()["make"])
    other = sums.start("--resume", "runs/1", paths=[], json=False).wait()
    assert other.code == 2
    assert "another command is running it" in other.stderr
    sums.release("make")
    assert command.wait(patience=TRAINING).code == 0


def test_a_run_that_has_succeeded_has_nothing_to_go_on_with(sums):
    first = run(sums, "1")
    sums.forget()
    again = sums.run("--resume", "runs/1", paths=[])
    assert (again.code, again.status) == (0, first.status)
    assert "has already succeeded" in again.stderr
    assert not sums.calls()


def test_frozen_parameters_cannot_be_given_again(sums):
    run(sums, "1", "-p", "count=2")
    ended = sums.run("--resume", "runs/1", "-p", "count=3", paths=[], json=False)
    assert ended.code == 2
    assert ended.stderr.startswith("longshore: -p: cannot be changed when a pipeline is resumed")


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_is_killed_anywhere_and_resumed_ends_as_an_undisturbed_one(sums, seed):
    chance = random.Random(seed)
    folder = sums.folder / "runs" / "1"
    command = sums.start("--run-dir", "runs/1")
    sums.wait_until((folder / "pipeline.json").exists)
    kills = 0
    for calls in sorted(chance.sample(range(COUNT + 2), 4)):
        sums.wait_until(lambda calls=calls, now=command: sums.calls().total() >= calls or not now.is_running())
        moment = time.monotonic() + chance.uniform(0, 0.1)
        while command.is_running() and time.monotonic() < moment:
            time.sleep(0.002)  # the moment of the kill is what is random here
        if command.is_running():
            kill(sums, command)
            kills += 1
            command = sums.start("--resume", "runs/1", paths=[])
    assert kills
    ended = command.wait(patience=TRAINING)

    assert ended.code == 0, ended.stderr
    assert set(states(ended).values()) == {"Succeeded"}
    assert total(ended) == str(TOTAL)
    rows = (output(ended, "square", "squares") / "parallel_run_step.txt").read_text().splitlines()
    assert rows == [str(number**2) for number in range(COUNT)]
    assert sorted(os.listdir(output(ended, "make", "files"))) == [f"{number:02}.txt" for number in range(COUNT)]
    sums.forget()
    assert reused(run(sums, "2")) == {"make", "square", "add"}
    assert not sums.calls()
