"""Terminal output of a pipeline run: one line per state change of a step, and a table at the end."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TextIO

from longshore_api.pipeline_status import PipelineRunStatus, PipelineStepStatus
from longshore_cli.display import format_registered
from longshore_cli.failures import failure
from longshore_cli.terminal import show
from longshore_planner.pipelines.records import FAILED, RUNNING, SUCCEEDED, WITH_FAILURES, Record
from longshore_planner.status import duration

_MAX_METRICS = 5  # metrics per step in the summary
PROGRESS_SECONDS = 10.0  # between two progress lines of running steps


class ChangeLines:
    """Prints the differences between each status and the one before."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._before: dict[str, PipelineStepStatus] = {}
        self._waits: dict[str, float] = {}  # step -> when the last line about its wait was printed
        self._progress, self._printed_at = "", clock()  # the last progress line and when it was printed

    def __call__(self, status: PipelineRunStatus) -> None:
        for step in status.steps:
            before = self._before.get(step.name)
            if (before.state if before else "Pending", before.attempts if before else 0) != (step.state, step.attempts):
                self._print(f"{step.name}: {change_sentence(step)}")
            if step.state == RUNNING and step.message:
                self._show_wait(step.name, step.message)
        self._before = {step.name: step for step in status.steps}
        current, now = status.columns.current, self._clock()
        if current != self._progress and "(" in current and now - self._printed_at >= PROGRESS_SECONDS:
            self._print(f"running: {current}")
            self._progress, self._printed_at = current, now

    def _show_wait(self, name: str, message: str) -> None:
        """Print what a running step waits for, and again after PROGRESS_SECONDS."""
        now = self._clock()
        if now - self._waits.get(name, -PROGRESS_SECONDS) >= PROGRESS_SECONDS:
            self._print(f"{name}: {message}")
            self._waits[name] = now

    def _print(self, text: str) -> None:
        show(f"{datetime.now(UTC):%H:%M:%S} {text}", stream=self._stream)


def change_sentence(step: PipelineStepStatus) -> str:
    """Return the state of a step, and its cause, as a clause."""
    if step.reused_from is not None:
        return f"reused from {step.reused_from.run_id}"
    match step.state:
        case "Running" if step.attempts > 1:
            return f"running, attempt {step.attempts}: the previous attempt failed"
        case "Running":
            return f"running: {step.not_reused}"
        case "Succeeded" | "Failed":
            return f"{step.state.lower()} in {_duration(step)}" + (f": {step.reason}" if _is_notable(step) else "")
        case "Pending":
            return f"stopped, can be resumed: {step.message or step.reason}"
        case _:
            return ": ".join(filter(None, [step.state.lower(), step.message or step.reason]))


def summary(status: PipelineRunStatus) -> str:
    """Return the summary of a finished run: verdict, table of steps, failures, outputs and the next command."""
    succeeded = status.condition("Succeeded")
    assert succeeded is not None, "every status has this condition"
    counts, _, cause = succeeded.message.partition(". ")
    lines = [f"{status.pipeline}: {succeeded.reason}. {counts.rstrip('.')}."]
    rows = [("STEP", "STATE", "TIME", "WHY")]
    rows += [(each.name, _state(each), _duration(each), _cause(each)) for each in status.steps]
    lines += _table(rows)
    failed = [each for each in status.steps if each.state == FAILED]
    for each in failed:
        lines += [f"  {line}" for line in failure(each, status.run_uri or "")]
    if cause and not failed:  # otherwise it repeats the message of the first failed step
        lines.append(f"  {cause}")
    outputs = [(each.name, output) for each in status.steps for output in each.outputs]
    lines += [f"  {name}.{output.name}  {output.uri}" for name, output in outputs]
    metrics = [(each.name, each.metrics) for each in status.steps if each.metrics]
    lines += [f"  {name}: {_metrics(found)}" for name, found in metrics]
    made = [(each.name, each.registered) for each in status.steps if each.registered]
    lines += [f"  {name} registered {format_registered(found)}" for name, found in made]
    lines.append(f"  run folder  {status.run_uri}")
    if succeeded.status != "True":
        lines.append(f"  resume with  longshore run --resume {shlex.quote(status.run_uri or '')}")
    return "\n".join(lines)


def explain_pipeline(pipeline: str, records: Sequence[Record]) -> str:
    """Return a table of the steps that a run would run or reuse, with the reasons."""
    rows = [("STEP", "WOULD", "WHY")]
    rows += [
        (each.name, "run", each.not_reused)
        if each.reused_from is None
        else (each.name, "be reused", f"nothing changed since {each.reused_from.run_id}")
        for each in records
    ]
    return "\n".join([f"{pipeline}: nothing is run", *_table(rows)])


def _state(step: PipelineStepStatus) -> str:
    return "reused" if step.reused_from is not None else step.state.lower()


def _is_notable(step: PipelineStepStatus) -> bool:
    """Return whether a step failed or succeeded with failures."""
    return step.state == FAILED or step.reason in WITH_FAILURES


def _cause(step: PipelineStepStatus) -> str:
    if step.reused_from is not None:
        return f"from {step.reused_from.run_id}" + (f": {step.reason}" if _is_notable(step) else "")
    if _is_notable(step):
        return step.reason
    cause = step.message or step.reason if step.state not in (SUCCEEDED, RUNNING) else step.not_reused
    return " ".join(cause.split())


def _duration(step: PipelineStepStatus) -> str:
    if step.start_time is None or step.completion_time is None or step.state not in (SUCCEEDED, FAILED):
        return "-"
    return duration(round((step.completion_time - step.start_time).total_seconds()))


def _metrics(metrics: dict[str, object]) -> str:
    shown = [f"{name} {value}" for name, value in list(metrics.items())[:_MAX_METRICS]]
    more = len(metrics) - len(shown)
    return ", ".join(shown + ([f"{more} more"] if more else []))


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(f"{each:<{width}}" for each, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
