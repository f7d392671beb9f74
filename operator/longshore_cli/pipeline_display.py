"""How a run of a pipeline is told: a line for each change of a step, and a table at the end."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TextIO

from longshore_api.pipeline_status import PipelineRunStatus, PipelineStepStatus
from longshore_cli.failures import failure
from longshore_cli.terminal import show
from longshore_planner.pipelines.records import FAILED, RUNNING, SUCCEEDED, WITH_FAILURES, Record
from longshore_planner.status import duration

_SHOWN = 5  # metrics of a step in the table
PROGRESS_SECONDS = 10.0  # between two lines that say how many mini-batches are done


class ChangeLines:
    """Prints what has changed since the status before."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._before: dict[str, PipelineStepStatus] = {}
        self._progress, self._shown = "", clock()  # of the steps that run, and when it was shown

    def __call__(self, status: PipelineRunStatus) -> None:
        for step in status.steps:
            before = self._before.get(step.name)
            if (before.state if before else "Pending", before.attempts if before else 0) != (step.state, step.attempts):
                self._print(f"{step.name}: {change_sentence(step)}")
        self._before = {step.name: step for step in status.steps}
        current, now = status.columns.current, self._clock()
        if current != self._progress and "(" in current and now - self._shown >= PROGRESS_SECONDS:
            self._print(f"running: {current}")
            self._progress, self._shown = current, now

    def _print(self, text: str) -> None:
        show(f"{datetime.now(UTC):%H:%M:%S} {text}", stream=self._stream)


def change_sentence(step: PipelineStepStatus) -> str:
    """Return what has become of a step, in a few words."""
    if step.reused_from is not None:
        return f"reused from {step.reused_from.run_id}"
    match step.state:
        case "Running" if step.attempts > 1:
            return f"running, attempt {step.attempts}: the one before failed"
        case "Running":
            return f"running: {step.not_reused}"
        case "Succeeded" | "Failed":
            return f"{step.state.lower()} in {_took(step)}" + (f": {step.reason}" if _is_notable(step) else "")
        case "Pending":
            return f"stopped, to go on later: {step.message or step.reason}"
        case _:
            return ": ".join(filter(None, [step.state.lower(), step.message or step.reason]))


def summary(status: PipelineRunStatus) -> str:
    """Return what a run has come to, for its user to read at the end."""
    succeeded = status.condition("Succeeded")
    assert succeeded is not None, "every status has it"
    counts, _, why = succeeded.message.partition(". ")
    lines = [f"{status.pipeline}: {succeeded.reason}. {counts.rstrip('.')}."]
    rows = [("STEP", "STATE", "TIME", "WHY")]
    rows += [(each.name, _state(each), _took(each), _why(each)) for each in status.steps]
    lines += _table(rows)
    failed = [each for each in status.steps if each.state == FAILED]
    for each in failed:
        lines += [f"  {line}" for line in failure(each, status.run_uri or "")]
    if why and not failed:  # else it has been said of the step that failed first
        lines.append(f"  {why}")
    outputs = [(each.name, output) for each in status.steps for output in each.outputs]
    lines += [f"  {name}.{output.name}  {output.uri}" for name, output in outputs]
    metrics = [(each.name, each.metrics) for each in status.steps if each.metrics]
    lines += [f"  {name}: {_metrics(found)}" for name, found in metrics]
    lines.append(f"  run folder  {status.run_uri}")
    if succeeded.status != "True":
        lines.append(f"  go on with  longshore run --resume {shlex.quote(status.run_uri or '')}")
    return "\n".join(lines)


def foresight(pipeline: str, records: Sequence[Record]) -> str:
    """Return what a run would do, step by step."""
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
    """Tell whether a step ended otherwise than without failures; the run's own sentence says more of the first one."""
    return step.state == FAILED or step.reason in WITH_FAILURES


def _why(step: PipelineStepStatus) -> str:
    if step.reused_from is not None:
        return f"from {step.reused_from.run_id}" + (f": {step.reason}" if _is_notable(step) else "")
    if _is_notable(step):
        return step.reason
    told = step.message or step.reason if step.state not in (SUCCEEDED, RUNNING) else step.not_reused
    return " ".join(told.split())


def _took(step: PipelineStepStatus) -> str:
    if step.start_time is None or step.completion_time is None or step.state not in (SUCCEEDED, FAILED):
        return "-"
    return duration(round((step.completion_time - step.start_time).total_seconds()))


def _metrics(metrics: dict[str, object]) -> str:
    told = [f"{name} {value}" for name, value in metrics.items()]
    return ", ".join(told[:_SHOWN] + ([f"{len(told) - _SHOWN} more"] if len(told) > _SHOWN else []))


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(f"{each:<{width}}" for each, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
