"""Execution of one pipeline run on this machine: start and stop steps as the planner decides, until the verdict."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from longshore_api.pipeline_status import PipelineRunStatus
from longshore_cli.pipeline_folder import PipelineFolder
from longshore_cli.pipeline_steps import PROGRESS_SECONDS, StepRun, make_attempt
from longshore_cli.terminal import print_error
from longshore_coordinator.internal_errors import InternalErrors
from longshore_coordinator.verdict import INTERNAL_ERROR
from longshore_host import orphans
from longshore_planner.pipelines.decide import Decision, Stop, Verdict, after_stop, decide
from longshore_planner.pipelines.frozen import PARALLEL_RUN, FrozenPipeline
from longshore_planner.pipelines.history import History
from longshore_planner.pipelines.records import FAILED, SUSPENDED, Outcome, Record, ended, outputs_of
from longshore_planner.pipelines.status import pipeline_status
from longshore_protocol import clock
from longshore_storage.store import open_store

GRACE = 30.0  # seconds for running steps to finish when a run is interrupted

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
        """Run until the verdict, an interruption or a suspension; return the last status.

        On the first SIGINT or SIGTERM, start no more steps and wait up to GRACE for running ones; on the second, kill
        them. Raises OSError if the run folder cannot be written.
        """
        orphans.adopt()
        self._handle_signals()
        try:
            while True:
                decision = self._decide()
                status = self._update_status(decision)  # before steps start, so that no started step is unrecorded
                if decision.verdict is not None or decision.is_suspended:
                    return status
                for name, stop in decision.stop.items():
                    self._stop(name, stop)
                for name in decision.start:
                    self._start(name)
                await self._wait(decision.next_deadline)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001  (a bug must also end in a status)
            await self._kill_and_wait()
            records = {each.name: self._records.get(each.name) or Record(each.name) for each in self._frozen.steps}
            verdict = Verdict(INTERNAL_ERROR, self._report_internal_error(error))
            return self._update_status(Decision(records, verdict=verdict))
        finally:
            await self._kill_and_wait()

    def _decide(self) -> Decision:
        now = clock.now()
        decision = decide(self._frozen, self._records, history=self._history, options=self._options, now=now)
        self._records = decision.records
        return decision

    def _update_status(self, decision: Decision) -> PipelineRunStatus:
        """Write and show the status if it has changed; return it."""
        now = datetime.now(UTC)
        details = {each.step.name: each.detail for each in self._running.values() if each.detail is not None}
        status = pipeline_status(
            self._frozen, decision, started=self._started, now=now, previous=self._status, details=details
        )
        if status != self._status:
            self._status = status
            self._folder.write_status(status)
            self._show(status)
        return status

    def _start(self, name: str) -> None:
        outputs = outputs_of(self._records)
        accept = self._options.accept_changed_code
        attempt = make_attempt(
            self._frozen.step(name),
            outputs,
            catalogue=self._frozen.catalogue,
            registry=self._frozen.registry,
            accept_changed_code=accept,
        )
        self._running[asyncio.create_task(self._run_attempt(attempt))] = attempt

    async def _run_attempt(self, attempt: StepRun) -> Outcome:
        try:
            return await attempt.run()
        except Exception as error:  # noqa: BLE001  (a bug in one step must not end the others)
            return Outcome(FAILED, INTERNAL_ERROR, self._report_internal_error(error))

    def _report_internal_error(self, error: Exception) -> str:
        sentence = self._errors.note(error)
        self._errors.write()
        return sentence

    def _stop(self, name: str, stop: Stop) -> None:
        """Drain a suspended step, kill any other; do nothing if the same stop was already requested."""
        if self._stops.get(name) == stop:
            return
        self._stops[name] = stop
        for attempt in self._running.values():
            if attempt.step.name == name:
                attempt.drain() if stop.reason == SUSPENDED else attempt.kill()

    async def _wait(self, until: float | None) -> None:
        """Wait for a step to finish, a signal, the time `until` (Unix seconds) or the next progress update.

        Records the outcomes of steps that have finished.
        """
        self._changed.clear()
        changed = asyncio.create_task(self._changed.wait())
        waits = [] if until is None else [until - clock.now()]
        steps = [each.step for each in self._running.values()]
        waits += [PROGRESS_SECONDS] * any(each.kind == PARALLEL_RUN or each.packages is not None for each in steps)
        timeout = max(0.0, min(waits)) if waits else None
        try:
            done, _ = await asyncio.wait(
                {changed, *self._running}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            changed.cancel()
        for task in done:
            if task is not changed:
                self._record_outcome(task)  # type: ignore[arg-type]  # all tasks but `changed` are attempts

    def _record_outcome(self, task: asyncio.Task[Outcome]) -> None:
        step = self._running.pop(task).step
        outcome = after_stop(self._stops.pop(step.name, None), task.result())
        record = self._records[step.name]
        self._records = {
            **self._records,
            step.name: ended(record, outcome, outputs=step.outputs, now=clock.now()),
        }

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            if self._options.suspend:
                self._kill_all()
                return
            self._options = replace(self._options, suspend=True)
            print_error(f"interrupted: running steps have {GRACE:.0f} s to finish; interrupt again to stop at once")
            loop.call_later(GRACE, self._kill_all)
            self._changed.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)

    def _kill_all(self) -> None:
        for attempt in self._running.values():
            attempt.kill()

    async def _kill_and_wait(self) -> None:
        """Kill all running steps and every process that their scripts started."""
        self._kill_all()
        if self._running:
            await asyncio.wait(self._running)
        orphans.kill_adopted()  # processes that scripts started and left running
