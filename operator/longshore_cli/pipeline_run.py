"""One run of a pipeline on this machine: does what the planner decides, until the verdict."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from longshore_api.pipeline_status import PipelineRunStatus
from longshore_cli.pipeline_folder import PipelineFolder
from longshore_cli.pipeline_steps import PROGRESS_SECONDS, StepRun, attempt_of
from longshore_coordinator.internal_errors import InternalErrors
from longshore_coordinator.verdict import INTERNAL_ERROR
from longshore_host import orphans
from longshore_planner.pipelines.decide import Decision, Stop, Verdict, after_stop, decide
from longshore_planner.pipelines.frozen import PARALLEL_RUN, FrozenPipeline
from longshore_planner.pipelines.history import History
from longshore_planner.pipelines.records import FAILED, SUSPENDED, Outcome, Record, ended
from longshore_planner.pipelines.status import pipeline_status
from longshore_protocol import clock
from longshore_storage.store import open_store

GRACE = 30.0  # seconds that running steps get when a run is interrupted

Show = Callable[[PipelineRunStatus], None]


class LocalPipeline:
    """Runs the steps of one pipeline; await `run()`."""

    def __init__(
        self,
        frozen: FrozenPipeline,
        folder: PipelineFolder,
        *,
        records: dict[str, Record],
        history: History,
        show: Show,
        previous: PipelineRunStatus | None,
    ) -> None:
        self._frozen, self._folder, self._records = frozen, folder, records
        self._history, self._show = history, show
        self._options = frozen.options
        self._status = previous
        self._started = (previous.start_time if previous is not None else None) or datetime.now(UTC)
        self._running: dict[asyncio.Task[Outcome], StepRun] = {}
        self._stops: dict[str, Stop] = {}
        self._changed = asyncio.Event()
        self._errors = InternalErrors(open_store(folder.path))

    async def run(self) -> PipelineRunStatus:
        """Run to the verdict, or until the run is interrupted or suspended; return the last status.

        The first SIGINT or SIGTERM starts nothing more and lets what runs finish within GRACE, a second one ends it.
        Raises OSError when the run folder cannot be written.
        """
        orphans.adopt()
        self._obey_signals()
        try:
            while True:
                decision = self._decide()
                if decision.verdict is not None or decision.is_suspended:
                    return self._told(decision)
                self._told(decision)  # what is started is written down before it is
                for name, stop in decision.stop.items():
                    self._stop(name, stop)
                for name in decision.start:
                    self._start(name)
                await self._wait(decision.next_deadline)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001  (a bug, too, leaves a status)
            await self._end_all()
            records = {each.name: self._records.get(each.name) or Record(each.name) for each in self._frozen.steps}
            return self._told(Decision(records, verdict=Verdict(INTERNAL_ERROR, self._internal_error(error))))
        finally:
            await self._end_all()

    def _decide(self) -> Decision:
        now = clock.now()
        decision = decide(self._frozen, self._records, history=self._history, options=self._options, now=now)
        self._records = decision.records
        return decision

    def _told(self, decision: Decision) -> PipelineRunStatus:
        """Keep and show the status, if it is another one."""
        now = datetime.now(UTC)
        details = {each.step.name: each.detail for each in self._running.values() if each.detail is not None}
        status = pipeline_status(
            self._frozen, decision, started=self._started, now=now, previous=self._status, details=details
        )
        if status != self._status:
            self._status = status
            self._folder.keep_status(status)
            self._show(status)
        return status

    def _start(self, name: str) -> None:
        outputs = {(each.name, key): uri for each in self._records.values() for key, uri in each.outputs.items()}
        accept = self._options.accept_changed_code
        attempt = attempt_of(self._frozen.step(name), outputs, accept_changed_code=accept)
        self._running[asyncio.create_task(self._outcome(attempt))] = attempt

    async def _outcome(self, attempt: StepRun) -> Outcome:
        try:
            return await attempt.run()
        except Exception as error:  # noqa: BLE001  (a bug is the end of this step, and no other)
            return Outcome(FAILED, INTERNAL_ERROR, self._internal_error(error))

    def _internal_error(self, error: Exception) -> str:
        sentence = self._errors.note(error)
        self._errors.write()
        return sentence

    def _stop(self, name: str, stop: Stop) -> None:
        """End a step as it is to be ended; asked again, it changes nothing."""
        if self._stops.get(name) == stop:
            return
        self._stops[name] = stop
        for attempt in self._running.values():
            if attempt.step.name == name:
                attempt.drain() if stop.reason == SUSPENDED else attempt.kill()

    async def _wait(self, until: float | None) -> None:
        """Wait for the end of a step, a signal, a moment (seconds since 1970), or the time to look at progress.

        Steps that have ended are taken in.
        """
        self._changed.clear()
        changed = asyncio.create_task(self._changed.wait())
        waits = [] if until is None else [until - clock.now()]
        waits += [PROGRESS_SECONDS] * any(each.step.kind == PARALLEL_RUN for each in self._running.values())
        timeout = max(0.0, min(waits)) if waits else None
        try:
            done, _ = await asyncio.wait(
                {changed, *self._running}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            changed.cancel()
        for task in done:
            if task is not changed:
                self._take_in(task)  # type: ignore[arg-type]  # the others are all attempts

    def _take_in(self, task: asyncio.Task[Outcome]) -> None:
        step = self._running.pop(task).step
        outcome = after_stop(self._stops.pop(step.name, None), task.result())
        record = self._records[step.name]
        self._records = {
            **self._records,
            step.name: ended(record, outcome, outputs=step.outputs, now=clock.now()),
        }

    def _obey_signals(self) -> None:
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            if self._options.suspend:
                self._kill_all()
                return
            self._options = replace(self._options, suspend=True)
            told = f"longshore: what runs may finish within {GRACE:.0f} s; interrupt again to stop at once"
            print(told, file=sys.stderr, flush=True)
            loop.call_later(GRACE, self._kill_all)
            self._changed.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)

    def _kill_all(self) -> None:
        for attempt in self._running.values():
            attempt.kill()

    async def _end_all(self) -> None:
        """Leave nothing running, whatever ended the run."""
        self._kill_all()
        if self._running:
            await asyncio.wait(self._running)
        orphans.kill_adopted()  # what the scripts started and left behind
