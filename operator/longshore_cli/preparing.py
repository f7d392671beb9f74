"""Display of the preparation of an environment: its activity and the elapsed time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TextIO

from longshore_cli.terminal import show

if TYPE_CHECKING:
    from rich.progress import Progress

_PLAIN_SECONDS = 10.0  # between two lines of one activity
_LONGEST = 100  # characters of an activity


class Preparation:
    """Activity and elapsed time of one preparation; nothing is shown if nothing has to be built.

    Use as a context manager. `report` and `is_cancelled` are for `environments.prepared`.

    Args:
        stream: receives the display.
        name: of the step.
        quiet: show nothing.
        notes: sentences about changed or omitted packages, shown first.
        clock: returns seconds.
    """

    def __init__(
        self,
        stream: TextIO,
        name: str,
        *,
        quiet: bool,
        notes: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._name, self._quiet = stream, name, quiet
        self._notes = notes
        self._clock = clock
        self._began: float | None = None
        self._activity, self._shown = "", 0.0
        self._live: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        if kind is None and self._began is not None:
            self._print(f"environment ready after {self._elapsed:.1f} s")

    def report(self, activity: str) -> None:
        """Show an activity, unless it is the current one."""
        if self._began is None:
            self._begin()
        if activity != self._activity:
            self._activity = activity
            self._show()

    def is_cancelled(self) -> bool:
        """Show the elapsed time if a line is due; return False."""
        if self._began is not None and self._live is None and self._clock() - self._shown >= _PLAIN_SECONDS:
            self._show()
        return False

    @property
    def _elapsed(self) -> float:
        return self._clock() - (self._began or 0.0)

    def _begin(self) -> None:
        self._began = self._clock()
        for note in self._notes:
            self._print(note)
        if self._stream.isatty() and not self._quiet:
            from rich.console import Console  # late: only a terminal needs it
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
            self._live = Progress(*columns, console=Console(file=self._stream), transient=True)
            self._live.add_task("")
            self._live.start()

    def _show(self) -> None:
        activity = self._activity if len(self._activity) <= _LONGEST else f"{self._activity[:_LONGEST]}..."
        text = f"preparing environment: {activity}"
        self._shown = self._clock()
        if self._live is not None:
            self._live.update(self._live.task_ids[0], description=f"{self._name}: {text}")
        else:
            self._print(f"{text} ({self._elapsed:.0f} s)" if self._elapsed >= 1 else text)

    def _print(self, text: str) -> None:
        if not self._quiet:
            show(f"{datetime.now(UTC):%H:%M:%S} {self._name}: {text}", stream=self._stream)
