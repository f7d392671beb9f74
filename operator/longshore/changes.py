"""Changes of a run as text, for a console."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from longshore_protocol.text import printable
from longshore_runs.records import ENDED, FAILED, PENDING, RUNNING, SKIPPED, RunState

_PROGRESS_SECONDS = 10.0  # between two printed lines of progress
_USUAL = ("", "Starting", PENDING, RUNNING)  # reasons that explain nothing
_MAX_CHARACTERS = 1 << 20  # printed at once


def failure_text(state: RunState) -> str:
    """Return the message for a run that ended without success: its steps' errors with tracebacks."""
    lines = [f"{state.name}: {state.state}. {state.message}".strip()]
    for step in state.steps:
        if step.state in (FAILED, state.state) and step.first_error is not None:
            where = "init()" if step.first_error.mini_batch is None else f"mini-batch {step.first_error.mini_batch}"
            lines.append(f"{step.name}: {step.first_error.category} in {where}: {step.first_error.message}")
            lines += step.first_error.traceback.splitlines()
    return "\n".join(lines)


class Changes:
    """Prints the differences between each state of a run and the one before."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._has_error = False
        self._progress, self._printed = "", time.monotonic()
        self._reason = ""

    def update(self, state: RunState) -> None:
        """Print what changed."""
        for step in state.steps:
            if self._states.get(step.name, PENDING) != step.state:
                cause = step.reused_from and f"reused from {step.reused_from}"
                cause = cause or (step.message or step.reason if step.state in (FAILED, SKIPPED) else "")
                self._print(f"{step.name}: {step.state}" + (f": {cause}" if cause else ""))
                self._states[step.name] = step.state
            if step.first_error is not None and not self._has_error:
                self._has_error = True
                self._print(f"{step.name}: first error: {step.first_error.category}: {step.first_error.message}")
                write(step.first_error.traceback)
        if state.state not in ENDED and state.reason not in (*_USUAL, self._reason):
            self._print(f"{state.name}: {state.reason}: {state.message}")
        self._reason = state.reason
        self._update_progress(state)
        if state.state in ENDED:
            self._print(f"{state.name}: {state.state}. {state.message}".rstrip())

    def _update_progress(self, state: RunState) -> None:
        running = [f"{each.name} ({each.progress})" for each in state.steps if each.state == RUNNING]
        progress, now = ", ".join(running), time.monotonic()
        if progress != self._progress and now - self._printed >= _PROGRESS_SECONDS:
            self._print(f"running: {progress}")
            self._progress = progress

    def _print(self, text: str) -> None:
        self._printed = time.monotonic()
        write(f"{datetime.now(UTC).astimezone():%H:%M:%S} {text}")


def write(text: str) -> None:
    """Print text of scripts and stores, with control characters escaped."""
    sys.stdout.write(printable(text, _MAX_CHARACTERS, lines=True) + "\n")
    sys.stdout.flush()
