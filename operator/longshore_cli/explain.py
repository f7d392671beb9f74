"""`--explain`: what a run would do, without doing it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from longshore_coordinator.enumerate import Slice, cut
from longshore_coordinator.ledger import Ledger
from longshore_protocol.job import Job
from longshore_storage.store import open_store


def explain(job: Job, *, python: str, committed: int | None) -> str:
    """Return the plan of a job in words. `committed` counts the mini-batches that a resumed run would not redo.

    Lists the inputs to their end. Raises InputError, EmptyInputError.
    """
    sizes: dict[int, list[int]] = {index: [] for index in range(len(job.inputs))}
    unit = "bytes" if job.inputs[0].tabular is not None and job.mini_batch.unit == "bytes" else job.mini_batch.unit
    for each in islice(cut(job), job.sample):
        sizes[each.input].append(_size(each))
    every = [size for of_input in sizes.values() for size in of_input]
    lines = [f"step          {job.name}"]
    for index, given in enumerate(job.inputs):
        kind = "files" if given.tabular is None else f"{given.tabular.format} rows"
        lines.append(f"input         {given.name}: {', '.join(given.paths)} ({kind}, {len(sizes[index])} mini-batches)")
    lines += [
        f"mini-batches  {len(every)} of at most {job.mini_batch.value} {job.mini_batch.unit}{_sample(job)}",
        f"sizes         {_spread(every)} {unit}",
        f"processes     {job.workers} workers x {job.processes_per_worker} processes of {python}",
        f"entry script  {Path(job.source_uri) / job.entry_script} {' '.join(job.arguments)}".rstrip(),
        f"output        {job.output.uri} ({job.output.action}, {job.output.file_name}, {job.output.format})"
        if job.output.action == "append_row"
        else f"output        {job.output.uri} ({job.output.action})",
        f"reused        {_reuse(committed)}",
    ]
    return "\n".join(lines)


def _size(each: Slice) -> int:
    if each.items is not None:
        return each.items
    payload = json.loads(each.payload)
    if "keys" in payload:
        return 0  # a query that nobody splits: only reading it can tell
    return int(payload["end"] - payload["start"])


def _spread(sizes: Iterable[int]) -> str:
    ordered = sorted(sizes)
    if not ordered:
        return "none:"
    return f"smallest {ordered[0]}, median {statistics.median_low(ordered)}, largest {ordered[-1]}"


def _sample(job: Job) -> str:
    return "" if job.sample is None else f" (a sample of {job.sample})"


def _reuse(committed: int | None) -> str:
    if committed is None:
        return "nothing: this is a new run"
    return f"{committed} committed mini-batches of the run to resume"


def committed_in(run_dir: str) -> int:
    """Return how many mini-batches the run in a folder has committed. Raises OSError, ValueError."""
    ledger = Ledger(open_store(run_dir), epoch=1_000_000)  # later than any: all that is there counts
    return len({raw[0] for _, _, _, completions in ledger.done() for raw in completions})
