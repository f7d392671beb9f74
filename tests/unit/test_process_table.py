"""Processes are found by their environment in the same way in /proc, with psutil and with ps."""

import importlib
import os
import subprocess
import sys

import pytest

from longshore_host import orphans, process_table

FOUND_BY = {
    "/proc": process_table.marked,
    "psutil": lambda marks: process_table._marked_by_psutil(importlib.import_module("psutil"), marks),
    "ps": process_table._marked_by_ps,
}
FOLDER = f"/runs of {os.getpid()}/1"
CASES = {
    "the entry": ([f"RUN={FOLDER}/context.json"], True),
    "both entries": ([f"RUN={FOLDER}/context.json", "PROCESS=process000"], True),
    "the beginning of the entry": ([f"RUN={FOLDER}/"], True),
    "another name": ([f"OTHER_RUN={FOLDER}/context.json"], False),
    "the end of another name": ([f"UN={FOLDER}/context.json"], False),
    "a longer value": ([f"RUN={FOLDER}/context.json2"], False),
    "a part of a value that is no folder": ([f"RUN={FOLDER}/context"], False),
    "another folder": ([f"RUN={FOLDER}1/"], False),
    "one entry of two": ([f"RUN={FOLDER}/context.json", "PROCESS=process001"], False),
}


@pytest.fixture(scope="module")
def marked():
    """A process with marks in its environment."""
    environment = {**os.environ, "RUN": f"{FOLDER}/context.json", "PROCESS": "process000"}
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        started.stdout.readline()
        yield started
        started.kill()


@pytest.mark.parametrize("find", FOUND_BY.values(), ids=FOUND_BY)
@pytest.mark.parametrize(("marks", "is_found"), CASES.values(), ids=CASES)
def test_a_process_is_found_by_marks(marked, find, marks, is_found):
    assert find([each.encode() for each in marks]) == ([marked.pid] if is_found else [])


@pytest.mark.parametrize("spared", [True, False])
def test_marked_processes_are_killed_but_for_those_that_are_spared(spared):
    mark = f"SPARE_OR_KILL={os.getpid()}-{spared}"
    name, _, value = mark.partition("=")
    with subprocess.Popen(["sleep", "3600"], env={**os.environ, name: value}) as started:
        orphans.kill_marked([mark.encode()], spare=[started.pid] if spared else [])
        assert started.poll() is None if spared else started.wait(60) < 0
        started.kill()
