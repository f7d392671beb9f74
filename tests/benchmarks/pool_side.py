"""The peer: one case done with multiprocessing.Pool, as a person would write it without Longshore.

`python pool_side.py CASE DATA OUTPUT` prints, as JSON, the seconds from the first task to the written output; the
processes have started and imported the entry script before the clock does. No retries, no timeouts, nothing durable.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from multiprocessing.synchronize import Barrier
from types import ModuleType
from typing import BinaryIO

CSV = tuple[str, int, int]  # path, first byte, byte after the last

entry: ModuleType  # one per process
everyone_is_here: Barrier


def start(script: str, barrier: Barrier) -> None:
    """Import the entry script, in each process."""
    global entry, everyone_is_here
    spec = importlib.util.spec_from_file_location("entry", script)
    assert spec
    assert spec.loader
    entry, everyone_is_here = importlib.util.module_from_spec(spec), barrier
    spec.loader.exec_module(entry)


def meet(_: int) -> None:
    everyone_is_here.wait()


def score_files(paths: list[str]) -> str:
    return "".join(f"{row}\n" for row in entry.run(paths))


def score_table(part: CSV) -> str:
    import pandas as pd

    path, start, end = part
    with open(path, "rb") as file:
        names = file.readline().decode().strip().split(",")
        first = max(file.tell(), next_line(file, start))
        last = next_line(file, end)
        file.seek(first)
        table = pd.read_csv(BytesIO(file.read(last - first)), names=names)
    text: str = entry.run(table).to_csv(sep=" ", header=False, index=False)
    return text


def next_line(file: BinaryIO, position: int) -> int:
    """Return where the first line starts that starts at `position` or after."""
    if not position:
        return 0
    file.seek(position - 1)
    file.readline()
    return file.tell()


def parts_of_files(folder: str, size: int) -> Iterator[list[str]]:
    paths = sorted(each.path for each in os.scandir(folder))
    return (paths[first : first + size] for first in range(0, len(paths), size))


def parts_of_tables(folder: str, size: int) -> Iterator[CSV]:
    for each in sorted(os.scandir(folder), key=lambda entry: entry.path):
        length = each.stat().st_size
        yield from ((each.path, first, min(first + size, length)) for first in range(0, length, size))


def main(name: str, data: str, output: str) -> None:
    from cases import CASES, ENTRIES, PROCESSES

    (case,) = (each for each in CASES if each.name == name)
    barrier = multiprocessing.Barrier(PROCESSES)
    with multiprocessing.Pool(PROCESSES, start, (str(ENTRIES / case.entry), barrier)) as pool:
        pool.map(meet, range(PROCESSES), chunksize=1)
        started = time.perf_counter()
        with open(output, "w") as file:
            if case.tabular:
                file.writelines(pool.imap_unordered(score_table, parts_of_tables(data, case.size), chunksize=1))
            else:
                file.writelines(pool.imap_unordered(score_files, parts_of_files(data, case.size), chunksize=1))
        print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main(*sys.argv[1:])
