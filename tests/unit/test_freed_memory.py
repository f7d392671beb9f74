"""A process that reads tables uses freed memory again, unless its environment or its C library says otherwise."""

import os
import subprocess
import sys

import pytest

from longshore_host import child, memory
from longshore_protocol.job import Output, TabularFormat
from longshore_protocol.messages import HostSpec, InputSpec

# Five buffers of 10 MiB a round, as for a mini-batch of a table; prints the share of their pages that were new.
ROUNDS = """
import resource, sys
from longshore_host.memory import reuse_freed_memory

if sys.argv[1] == "reuse":
    reuse_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def round():
    buffers = [b"x" * (10 << 20) for _ in range(5)]

round()
before = faults()
for _ in range(10):
    round()
print((faults() - before) * resource.getpagesize() / (500 << 20))
"""
SETTINGS = {
    "trim": {"MALLOC_TRIM_THRESHOLD_": "131072"},
    "mmap": {"MALLOC_MMAP_THRESHOLD_": "131072"},
    "tunables": {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"},
}
FILES, LINES, TABLE = (
    InputSpec("files"),
    InputSpec("lines", TabularFormat("jsonl", as_dicts=True)),
    InputSpec("table", TabularFormat("csv")),
)


def share_of_new_pages(mode: str, **settings: str) -> float:
    command = [sys.executable, "-c", ROUNDS, mode]
    found = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=True)
    return float(found.stdout)


def test_buffers_of_a_mini_batch_take_the_memory_of_the_last_one():
    assert share_of_new_pages("reuse") < 0.1


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_settings_in_the_environment_win(settings):
    assert share_of_new_pages("reuse", **settings) == pytest.approx(share_of_new_pages("leave", **settings), abs=0.1)
    assert share_of_new_pages("reuse", **settings) > 0.5


def test_another_allocator_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.reuse_freed_memory()


@pytest.mark.parametrize(
    ("inputs", "calls"), [((FILES,), 0), ((TABLE,), 1), ((FILES, TABLE), 1), ((LINES,), 1), ((), 0)]
)
def test_processes_that_read_tables_only(monkeypatch, inputs, calls):
    called = []
    monkeypatch.setattr(child, "reuse_freed_memory", lambda: called.append(1))
    spec = HostSpec(
        "/code", "main.py", (), {}, inputs, Output("summary_only", "/out"), (), "/work", "/logs", "w", "/out"
    )
    child._table_loader(spec)
    assert len(called) == calls
