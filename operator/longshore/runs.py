"""Runs: their state, logs, failures and outputs, and their control."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from longshore.changes import Changes, failure_text
from longshore_runs.records import PENDING, RUNNING, SUCCEEDED, Progress, RunState, StepState

if TYPE_CHECKING:
    import pandas as pd

    import longshore_run
    from longshore_api.status import FirstError, Registered
    from longshore_runs.reader import ControlledRun
    from longshore_runs.step_folder import Failure, LogLine, StepFolder

_POLL_SECONDS = 0.5
_SHOWN_LINES = 1000  # of a log that a notebook displays
_FAILURES = 1000


class RunFailed(Exception):
    """A run ended without success; `run` is it."""

    def __init__(self, run: Run, message: str) -> None:
        super().__init__(message)
        self.run = run


class Log:
    """The lines of a log, read while you iterate; `str(log)` is the whole text."""

    def __init__(self, lines: Callable[[], Iterator[str]]) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[str]:
        return self._lines()

    def __str__(self) -> str:
        return "\n".join(self)

    def __repr__(self) -> str:
        shown = list(islice(self, _SHOWN_LINES + 1))
        rest = ["... (print the log for the rest)"] if len(shown) > _SHOWN_LINES else []
        return "\n".join([*shown[:_SHOWN_LINES], *rest])


class RunOutput:
    """One output of a run: a folder of files, or a file with rows.

    `uri` is its location: an absolute path or a URL.
    """

    def __init__(self, name: str, step: StepState, folder: StepFolder) -> None:
        self.name, self.uri = name, step.outputs[name]
        self._file, self._folder = step.output_file, folder

    def paths(self) -> list[str]:
        """Return all files of the output: absolute paths, or URLs. Raises ListingError."""
        from longshore_runs.outputs import files

        return files(self.uri)

    def download(self, folder: str) -> list[str]:
        """Copy all files of the output into a local folder, which is created; return the paths of the copies.

        Raises:
            ListingError: The output cannot be listed.
            OSError: A file cannot be read or written.
        """
        from longshore_runs.outputs import download

        return download(self.uri, folder)

    def to_pandas(self, **options: Any) -> pd.DataFrame:
        """Return the rows of the output as a DataFrame.

        Rows of a ParallelRunStep are read in the format of its output. Of other outputs, all files are read, whose
        names must end with .csv, .tsv, .jsonl, .parquet or .txt.

        Args:
            options: Passed to the reader of pandas, such as `sep=":"` or `names=["file", "digit"]`.

        Raises:
            ValueError: The rows do not fit the format.
            ImportError: pandas is not installed.
        """
        from longshore_runs.outputs import to_pandas

        if self._file is None:
            return to_pandas(self.paths(), None, **options)
        return to_pandas([f"{self.uri.rstrip('/')}/{self._file}"], self._folder.rows(), **options)

    def __repr__(self) -> str:
        return f"RunOutput({self.name!r}, {self.uri!r})"


class StepRun:
    """One step of a run. Its properties are those of the moment at which `run.steps` was read."""

    def __init__(self, state: StepState, run: Run) -> None:
        self._state, self._run = state, run

    @property
    def name(self) -> str:
        """Name of the step."""
        return self._state.name

    @property
    def status(self) -> str:
        """Pending, Running, Suspended, Succeeded, Failed, Skipped or Cancelled."""
        return self._state.state

    @property
    def reason(self) -> str:
        """Reason of the status, in one word."""
        return self._state.reason

    @property
    def message(self) -> str:
        """Explanation of the status, in one sentence."""
        return self._state.message

    @property
    def progress(self) -> Progress | None:
        """Finished mini-batches; None for a step without mini-batches, or before it has started."""
        return self._state.progress

    @property
    def started(self) -> datetime | None:
        """Start of the step."""
        return self._state.started

    @property
    def finished(self) -> datetime | None:
        """End of the step."""
        return self._state.finished

    @property
    def first_error(self) -> FirstError | None:
        """The earliest error of a ParallelRunStep."""
        return self._state.first_error

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Values that the script logged, by name."""
        return self._state.metrics

    @property
    def outputs(self) -> Mapping[str, RunOutput]:
        """The outputs by name."""
        folder = self._run.source.folder(self._state)
        return {name: RunOutput(name, self._state, folder) for name in self._state.outputs}

    @property
    def registered(self) -> Sequence[Registered]:
        """Models and Datasets that the step registered, once it has succeeded: kind, name, version and resource."""
        return self._state.registered

    @property
    def reuse(self) -> str:
        """Whether the step reuses outputs of an earlier run, and if not, why not."""
        state = self._state
        return f"reused from {state.reused_from}" if state.reused_from else state.not_reused or state.message

    def logs(self, *, mini_batch: int | None = None, follow: bool = False) -> Log:
        """Return what the step's script printed. See `Run.logs`."""
        return self._run.logs(step=self.name, mini_batch=mini_batch, follow=follow)

    def failures(self, limit: int = _FAILURES) -> list[Failure]:
        """Return the first mini-batches with failed items. See `Run.failures`."""
        return list(islice(self._run.source.folder(self._state).failures(), limit))

    def __repr__(self) -> str:
        return f"StepRun({self.name!r}, {self.status})"


class Run:
    """One run of a step or pipeline, made by `Workspace.submit` or found by `Workspace.run`.

    Inside a step, `Run.get_context()` is the run of the script, which logs metrics:

        run = longshore.Run.get_context()
        run.log("accuracy", 0.98)
    """

    def __init__(self, source: ControlledRun) -> None:
        self.source = source

    @staticmethod
    def get_context(allow_offline: bool = True) -> longshore_run.Run:  # noqa: FBT001, FBT002  (as in a step)
        """Return the run of the script that this process runs; outside of a step, one that only prints.

        Raises:
            RuntimeError: The process is not part of a step and `allow_offline` is False.
        """
        import longshore_run

        return longshore_run.Run.get_context(allow_offline)

    @property
    def id(self) -> str:
        """Id of the run, by which `Workspace.run` finds it, also from another process."""
        return self.source.id

    @property
    def name(self) -> str:
        """Name of the pipeline, or of the step that runs alone."""
        return self.state().name

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags that the run was submitted with."""
        return self.source.tags()

    @property
    def status(self) -> str:
        """Pending, Running, Suspended, Succeeded, Failed or Cancelled."""
        return self.state().state

    @property
    def message(self) -> str:
        """Explanation of the status, in one sentence."""
        return self.state().message

    @property
    def progress(self) -> Progress | None:
        """Finished mini-batches of a step that runs alone, or finished steps of a pipeline; None at the beginning."""
        return self.state().progress

    @property
    def uri(self) -> str:
        """The run folder."""
        return self.state().uri

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Values of the pipeline's parameters, defaults included."""
        return self.state().parameters

    @property
    def steps(self) -> Mapping[str, StepRun]:
        """The steps by name, in an order in which they can run."""
        return {each.name: StepRun(each, self) for each in self.state().steps}

    @property
    def outputs(self) -> Mapping[str, RunOutput]:
        """The outputs of all steps: by name where it is unique in the run, and as "STEP.NAME"."""
        found: dict[str, list[RunOutput]] = {}
        for step in self.steps.values():
            for name, output in step.outputs.items():
                found.setdefault(name, []).append(output)
                found.setdefault(f"{step.name}.{name}", []).append(output)
        return {name: outputs[0] for name, outputs in found.items() if len(outputs) == 1}

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Values that scripts logged, by name; of a name that several steps logged, that of the last one."""
        return {name: value for each in self.state().steps for name, value in each.metrics.items()}

    def state(self) -> RunState:
        """Return everything about the run's state at one moment; each property above reads the state again."""
        return self.source.state()

    def wait(self, *, show: bool = True, check: bool = True, timeout: float | None = None) -> Run:
        """Wait until the run has ended; return this run. An interruption (Ctrl-C) leaves the run alone.

        Args:
            show: Print changes, progress, and the first error with its traceback.
            check: Raise RunFailed if the run ends without success.
            timeout: Seconds to wait at most; without limit if not given.

        Raises:
            RunFailed: The run ended without success, or is suspended.
            TimeoutError: It has not ended in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        printed = Changes()
        while True:
            state = self.state()
            if show:
                printed.update(state)
            if state.state not in (PENDING, RUNNING):
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"the run {self.id} is still {state.state} after {timeout:g} s")
            self.source.pause(_POLL_SECONDS)
        if check and state.state != SUCCEEDED:
            raise RunFailed(self, failure_text(state))
        return self

    def logs(self, step: str | None = None, *, mini_batch: int | None = None, follow: bool = False) -> Log:
        """Return what scripts printed, line by line; lines of a ParallelRunStep begin with worker and process.

        Args:
            step: Name of the step; all steps if not given.
            mini_batch: Number of a mini-batch: return its attempts, and the tracebacks of failed ones, instead.
            follow: Wait for further lines until the run has ended.

        Raises:
            KeyError: The run has no such step.
        """
        if step is not None:
            self._step(step)
        if mini_batch is not None:
            return Log(lambda: self._lines_about(step, mini_batch))
        return Log(lambda: self._lines(step, follow=follow))

    def failures(self, step: str | None = None, *, limit: int = _FAILURES) -> list[Failure]:
        """Return the first mini-batches with failed items, once their step has finished.

        Args:
            step: Name of the step; all steps if not given.
            limit: Number of mini-batches at most.

        Raises:
            KeyError: The run has no such step.
        """
        steps = self.steps.values() if step is None else [StepRun(self._step(step), self)]
        return list(islice((failure for each in steps for failure in each.failures(limit)), limit))

    def explain_reuse(self) -> Mapping[str, str]:
        """Return for each step whether it reuses outputs of an earlier run, and if not, why not."""
        return {name: step.reuse for name, step in self.steps.items()}

    def cancel(self) -> None:
        """End the run permanently; what runs is killed. Raises RuntimeError for a run that has ended."""
        self.source.cancel()

    def suspend(self) -> None:
        """Let what runs finish and start no more, until `resume`. Raises RuntimeError unless the run is running."""
        self.source.suspend()

    def resume(self, *, accept_changed_code: bool = False) -> None:
        """Continue a suspended run from what is committed.

        Args:
            accept_changed_code: Continue although code or settings of a ParallelRunStep have changed.

        Raises:
            RuntimeError: The run is not suspended.
        """
        self.source.resume(accept_changed_code=accept_changed_code)

    def retry(self, *, accept_changed_code: bool = False) -> Run:
        """Run what failed again, and keep what succeeded; return the run that does: this one, or on clusters a new one.

        Args:
            accept_changed_code: Keep results although code or settings of a ParallelRunStep have changed.

        Raises:
            RuntimeError: The run has not ended.
        """
        return Run(self.source.retry(accept_changed_code=accept_changed_code))

    def _step(self, name: str) -> StepState:
        steps = {each.name: each for each in self.state().steps}
        if name not in steps:
            raise KeyError(f"the run {self.id} has no step {name!r}; its steps are: {', '.join(steps) or 'none yet'}")
        return steps[name]

    def _lines(self, step: str | None, *, follow: bool) -> Iterator[str]:
        positions: dict[str, dict[str, int]] = {}
        while True:
            state = self.state()  # before the logs: what an ended run printed is complete
            steps = [each for each in state.steps if each.uri and step in (None, each.name)]
            for each in steps:
                lines = self.source.folder(each).follow(positions.setdefault(each.name, {}))
                yield from (_labelled(line, each, steps) for line in lines)
            if not follow or state.state not in (PENDING, RUNNING):
                break
            time.sleep(_POLL_SECONDS)  # not a pause: logs grow without a change of the state
        for each in steps:
            lines = self.source.folder(each).remainders(positions[each.name])
            yield from (_labelled(line, each, steps) for line in lines)

    def _lines_about(self, step: str | None, mini_batch: int) -> Iterator[str]:
        steps = [each for each in self.state().steps if step in (None, each.name)]
        for each in steps:
            lines = self.source.folder(each).mini_batch_log(mini_batch)
            yield from (_labelled(line, each, steps) for line in lines)

    def _repr_html_(self) -> str:
        """Return the run as a table, which notebooks display and keep."""
        from longshore.html import run_table

        return run_table(self.state())

    def __repr__(self) -> str:
        state = self.state()
        progress = f", {state.progress}" if state.progress is not None else ""
        return f"Run({self.id!r}, {state.name!r}, {state.state}{progress})"


def _labelled(line: LogLine, step: StepState, steps: list[StepState]) -> str:
    label = "/".join(filter(None, [step.name if len(steps) > 1 else "", line.source]))
    return f"{label}: {line.text}" if label else line.text
