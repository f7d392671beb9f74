"""What a process does with signals, as its kernel knows it."""

import time
from pathlib import Path

PATIENCE = 120.0  # seconds; a machine may be busy


def handles(pid, number):
    """Tell whether a process has a handler of a signal."""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def wait_for_handler(pid, number):
    """Wait until a process has a handler of a signal: the first process of a container does not get any other."""
    give_up = time.monotonic() + PATIENCE
    while not handles(pid, number):
        assert time.monotonic() < give_up, f"process {pid} has no handler of {number}"
        time.sleep(0.01)
