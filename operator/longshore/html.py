"""A run as HTML, for notebooks: plain tables, whose colours are the reader's own."""

from __future__ import annotations

from html import escape

from longshore_runs.records import RunState, StepState

_HEAD = ("Step", "Status", "Progress", "Explanation")


def run_table(state: RunState) -> str:
    """Return the run and its steps as one table."""
    caption = f"{escape(state.name)}: {escape(state.state)} (<code>{escape(state.id)}</code>)"
    head = "".join(f'<th scope="col">{each}</th>' for each in _HEAD)
    rows = "".join(map(_row, state.steps))
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(step: StepState) -> str:
    progress = step.progress
    bar = ""
    if progress is not None and progress.total:
        label = escape(f"{progress.done} of {progress.total} finished")
        bar = f'<progress max="{progress.total}" value="{progress.done}" aria-label="{label}"></progress> '
    error = "" if step.first_error is None else f"{step.first_error.category}: {step.first_error.message}"
    explanation = f"reused from {step.reused_from}" if step.reused_from else error or step.message
    cells = [escape(step.state), bar + escape(str(progress or "")), escape(explanation)]
    return f'<tr><th scope="row">{escape(step.name)}</th>{"".join(f"<td>{each}</td>" for each in cells)}</tr>'
