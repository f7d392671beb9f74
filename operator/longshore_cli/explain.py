"""The plan that `longshore run --explain` prints for a ParallelRunStep."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from longshore_coordinator.enumerate import Slice, cut, selections
from longshore_coordinator.ledger import Ledger
from longshore_protocol.job import BYTES, FILES, ROWS, Job
from longshore_protocol.redaction import redacted
from longshore_protocol.slices import pieces_of
from longshore_storage.store import open_store


def explain(job: Job, *, python: str, committed: int | None) -> str:
    """List all inputs and return the plan of a job as text.

    Args:
        job: the job to describe.
        python: path of the interpreter that would run the entry script.
        committed: number of mini-batches that a resumed run would keep, or None for a new run.

    Raises:
        InputError, EmptyInputError: an input cannot be listed or contains no files.
    """
    sizes: dict[int, list[int]] = {index: [] for index in range(len(job.inputs))}
    is_counted = True
    selected = selections(job)
    for each in islice(cut(job, selected=selected), job.sample):
        sizes[each.input].append(_measure(each))
        is_counted = is_counted and each.items is not None
    every = [size for of_input in sizes.values() for size in of_input]
    lines = [f"step          {job.name}"]
    for index, given in enumerate(job.inputs):
        kind = "files" if given.tabular is None else f"{given.tabular.format} rows"
        paths = redacted(", ".join(given.paths))
        lines.append(f"input         {given.name}: {paths} ({kind}, {len(sizes[index])} mini-batches)")
        if selected[index].left_out:
            lines.append(f"left out      {given.name}: {selected[index].summary}")
    lines += [
        f"mini-batches  {len(every)} {_rule(job)}{_sample(job)}",
        f"sizes         {_spread(every)} {_unit(job, is_counted=is_counted)}",
        f"processes     {job.workers} workers x {job.processes_per_worker} processes of {python}",
        f"entry script  {Path(job.source_uri) / job.entry_script} {' '.join(job.arguments)}".rstrip(),
        f"output        {job.output.uri} ({job.output.action}, {job.output.file_name}, {job.output.format})"
        if job.output.action == "append_row"
        else f"output        {job.output.uri} ({job.output.action})",
        f"reused        {_reuse(committed)}",
    ]
    return "\n".join(lines)


def _measure(each: Slice) -> int:
    """Return the number of items of a mini-batch, or its size in bytes if its rows are not counted."""
    if each.items is not None:
        return each.items
    return sum(_count_bytes(piece) for piece in pieces_of(json.loads(each.payload)))


def _count_bytes(piece: dict[str, Any]) -> int:
    if "keys" in piece or "unreadable" in piece:
        return 0  # the size of a query that is not split, or of an unreadable file, is unknown before it is read
    ranges = piece["ranges"] if "ranges" in piece else [(piece["start"], piece["end"])]
    return sum(int(end - start) for start, end in ranges)


def _rule(job: Job) -> str:
    if job.partition_keys:
        return f"by {', '.join(job.partition_keys)}"
    return f"of at most {job.mini_batch.value} {job.mini_batch.unit}"


def _unit(job: Job, *, is_counted: bool) -> str:
    if not job.partition_keys:
        return job.mini_batch.unit
    if job.inputs[0].tabular is None:
        return FILES
    return ROWS if is_counted else BYTES


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
    """Return the number of committed mini-batches of the run in a folder. Raises OSError, ValueError."""
    ledger = Ledger(open_store(run_dir), epoch=1_000_000)  # later than any claimed epoch, so that all records count
    return len({raw[0] for _, _, _, completions in ledger.done() for raw in completions})
