"""Progress display of a local run: a live display on a terminal, otherwise one line every ten seconds."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

from longshore_api.status import ParallelRunStepStatus, Registered
from longshore_cli.heartbeat import Display, ObservedRun
from longshore_cli.terminal import show
from longshore_planner.status import step_status
from longshore_protocol.snapshot import Snapshot

_PLAIN_SECONDS = 10.0
_LIVE_SECONDS = 0.1


def make_display(stream: TextIO, *, name: str, quiet: bool) -> Display:
    """Return the display that prints the progress of the step `name` to `stream`."""
    if quiet:
        return _show_nothing
    if stream.isatty():
        return _Live(stream, name)
    return _Plain(stream, name)


async def _show_nothing(_: ObservedRun) -> None:
    return


class _Plain:
    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    async def __call__(self, run: ObservedRun) -> None:
        while True:
            await asyncio.sleep(_PLAIN_SECONDS)
            show(progress_sentence(self._name, _status(run.snapshot())), stream=self._stream)


class _Live:
    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    async def __call__(self, run: ObservedRun) -> None:
        from rich.console import Console  # late: only a terminal needs it
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[counts]}", markup=False),  # not markup: it contains text from scripts and stores
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(file=self._stream), transient=True, refresh_per_second=10) as progress:
            task = progress.add_task(self._name, total=None, counts="starting")
            try:
                while True:
                    status = _status(run.snapshot())
                    counts = status.progress.mini_batches
                    progress.update(
                        task,
                        total=counts.total,
                        completed=counts.succeeded + counts.failed,
                        counts=_counts(status),
                    )
                    await asyncio.sleep(_LIVE_SECONDS)
            finally:
                progress.update(task, counts=_counts(_status(run.snapshot())))


def progress_sentence(name: str, status: ParallelRunStepStatus) -> str:
    """Return the progress of a run as one line with the time of day in UTC."""
    now = datetime.now(UTC).strftime("%H:%M:%S")
    return f"{now} {name}: {_counts(status)}"


def _counts(status: ParallelRunStepStatus) -> str:
    succeeded = status.condition("Succeeded")
    columns = status.progress.columns
    parts = [f"{columns.done} mini-batches"]
    if status.progress.mini_batches.failed:
        parts.append(f"{columns.failed} failed")
    if columns.rate:
        parts.append(columns.rate)
    if columns.eta:
        parts.append(f"{columns.eta} left")
    parts.append(f"{columns.workers} workers")
    if succeeded is not None and succeeded.reason != "Running":
        parts.insert(0, succeeded.message or succeeded.reason)
    return ", ".join(parts)


def _status(snapshot: Snapshot) -> ParallelRunStepStatus:
    return step_status(snapshot, previous=None, now=datetime.now(UTC))


def summary(status: ParallelRunStepStatus, *, name: str, run_dir: str) -> str:
    """Return the summary of a finished run: verdict, counts, first error, locations and the next command."""
    succeeded = status.condition("Succeeded")
    assert succeeded is not None, "every status has this condition"
    lines = [f"{name}: {succeeded.reason}. {succeeded.message}".rstrip(". ") + "."]
    counts, items = status.progress.mini_batches, status.progress.items
    known = counts.scheduled if counts.total is None else counts.total
    lines.append(
        f"  mini-batches  {counts.succeeded} of {known} succeeded, {counts.failed} failed, {counts.retried} retried"
    )
    lines.append(f"  items         {items.succeeded} succeeded, {items.failed} failed")
    if status.devices:
        devices = (f"{each.processes} x {each.device} in {each.worker}" for each in status.devices)
        lines.append(f"  devices       {', '.join(devices)}")
    error = status.first_error
    if error is not None:
        where = "init()" if error.mini_batch is None else f"mini-batch {error.mini_batch}"
        lines.append(f"  first error   {error.category} in {where} on {error.pod}: {error.message}")
        if error.items:
            lines.append(f"    its items: {', '.join(error.items)}")
        lines += [f"    {line}" for line in error.traceback.splitlines()]
    if status.output is not None:
        if status.output.file:
            lines.append(f"  output        {status.output.uri}/{status.output.file} ({status.output.rows} rows)")
        elif succeeded.status == "True":
            lines.append(f"  output        {status.output.uri}")
    if status.registered:
        lines.append(f"  registered    {format_registered(status.registered)}")
    lines.append(f"  logs          {run_dir}/logs")
    if succeeded.status != "True":
        lines.append(f"  resume with   longshore run --resume {shlex.quote(run_dir)}")
    elif counts.failed:
        lines.append(f"  retry with    longshore run --retry-failed {shlex.quote(run_dir)}")
    return "\n".join(lines)


def format_registered(registered: Sequence[Registered]) -> str:
    """Return the kinds, names and versions of Models and Datasets."""
    return ", ".join(f'{each.kind} "{each.name}" version {each.version}' for each in registered)


def default_stream(*, json: bool) -> TextIO:
    """Return the stream for progress: stderr if `json` reserves stdout for the status, else stdout."""
    return sys.stderr if json else sys.stdout
