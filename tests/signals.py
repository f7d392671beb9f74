"""What a process does with signals, as its kernel knows it."""

from pathlib import Path


def handles(pid, number):
    """Tell whether a process has a handler of a signal."""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
