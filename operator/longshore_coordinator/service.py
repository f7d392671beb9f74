"""The coordinator: one run of one job, from the claim of an epoch to the verdict and the last report.

Lives on one event loop. Whatever blocks (listing, the store) happens in threads; every change of the run happens on the
loop: an agent's call, a lot of the plan, the second hand of the clock.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from longshore_coordinator import verdict as verdicts
from longshore_coordinator.agents import UnknownAgentError
from longshore_coordinator.assembly import Assembled, AssemblyError
from longshore_coordinator.changes import Changes
from longshore_coordinator.code import write_code_report
from longshore_coordinator.ends import finished_end
from longshore_coordinator.enumerate import Slice
from longshore_coordinator.finish import write_end, write_output
from longshore_coordinator.internal_errors import InternalErrors
from longshore_coordinator.leases import State
from longshore_coordinator.ledger import Ledger, SupersededError
from longshore_coordinator.observe import Moments, Overview, final_state, take_snapshot
from longshore_coordinator.plan import PlanReader, verdict_on
from longshore_coordinator.restore import belongs_to_another, restore
from longshore_coordinator.resuming import begin
from longshore_coordinator.run import Run
from longshore_coordinator.store_writes import StoreWrites
from longshore_coordinator.verdict import Verdict
from longshore_protocol import clock, snapshot
from longshore_protocol.job import APPEND_ROW, Job
from longshore_protocol.snapshot import Snapshot
from longshore_protocol.wire import Grant
from longshore_storage.run_folders import mark_run
from longshore_storage.store import Store, open_store

_FLUSH_SECONDS = 0.5  # between flushes of the ledger: what was accepted is durable within a second
_LONGEST_FLUSH_PAUSE = 10.0  # seconds: while flushes fail, each pause is double the one before
_LAST_WORDS = 10.0  # seconds for which what a failed run leaves behind is written again while the store fails
_TICK_SECONDS = 0.25
_LONG_POLL = 20.0  # seconds a lease call waits for work
_GOODBYE = 45.0  # seconds agents get for shutdown() and their farewell
_OVERVIEW_SECONDS = 10.0

_log = logging.getLogger("longshore.coordinator")


class Coordinator:
    """Serves the agents of one run.

    Make one, await `open()`, route the agents' calls to it, await `run()`. `resumed_by_user` gives failed mini-batches
    all their tries again, as does a step that goes on with the run of another one.
    """

    def __init__(
        self, job: Job, *, resumed_by_user: bool = False, cut: Callable[[Job], Iterator[Slice]] | None = None
    ) -> None:
        self.job = job
        self._store: Store = open_store(job.run_uri)
        self.internal_errors = InternalErrors(self._store)
        self._resumed = resumed_by_user
        self._cut = cut
        self._clock = time.monotonic
        self._state = snapshot.PENDING
        self._changes = Changes()
        self._decided = asyncio.Event()
        self._plan_ended = asyncio.Event()
        self._written = Assembled(rows=0, bytes=0)
        self._codes = 1  # with which mini-batches were, or may be, completed
        self._moments = Moments(started=clock.now())
        self._earlier: Snapshot | None = None  # the last one of the coordinator under which the run had succeeded
        self._ended: float | None = None  # monotonic: when the run was over, from then on its pace stands still
        self._run: Run
        self._ledger: Ledger
        self._reader: PlanReader
        self._writes: StoreWrites
        self._overview: Overview
        self._lacks_overview = False  # the last try to write it failed

    # --- life ------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Claim the run's next epoch, replay its ledger, and begin to cut the plan. A run that has succeeded is over.

        Raises OSError when the run folder cannot be used, ValueError when its ledger cannot be read.
        """
        self._store.make()
        await asyncio.to_thread(mark_run, self.job.run_uri, self.job.run_id, [self.job.output.uri])
        about = {"started": self._moments.started, "process": os.getpid(), "step": self.job.name}
        self._ledger = await asyncio.to_thread(Ledger.claim, self._store, about)
        resumed = self._resumed or await asyncio.to_thread(belongs_to_another, self._ledger, step=self.job.name)
        counts_empty = verdicts.counts_empty_returns(self.job)
        restored = await asyncio.to_thread(restore, self._ledger, resumed_by_user=resumed, counts_empty=counts_empty)
        self._run = Run(self.job, ledger=self._ledger, restored=restored, now=self._clock())
        self._writes = StoreWrites(self._run.ledger_outage, limit=self.job.timeouts.storage)
        self._overview = Overview(self._store, self._run, self._moments)
        loop = asyncio.get_running_loop()
        self._reader = PlanReader(
            self.job,
            restored.plan,
            deliver=lambda lot, record: _call(loop, self._safely, self._add, lot, record),
            ended=lambda error: _call(loop, self._safely, self._listed, error),
            waits=lambda why: _call(loop, self._safely, self._run.listing_waits, why),
            cut=self._cut,
        )
        begins = await asyncio.to_thread(begin, self.job, self._store, self._ledger, restored, resumed=resumed)
        self._earlier, self._codes = begins.earlier, begins.codes
        if begins.verdict is None:
            self._reader.start()
        else:
            self._plan_ended.set()
            self._decide(begins.verdict)

    async def plan_complete(self) -> Verdict | None:
        """Wait until the plan is cut to its end; return the verdict if that already ended the run."""
        await self._plan_ended.wait()
        return self._run.verdict

    async def run(self) -> Snapshot:
        """Run to the verdict, write output and reports, and return the last snapshot. Call after `open()`."""
        decided = asyncio.create_task(_wait(self._decided))
        tasks = [asyncio.create_task(each) for each in (self._flush_regularly(), self._watch(), self._show_progress())]
        try:
            await asyncio.wait({decided, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # raises what ended it
        except SupersededError as error:
            self._run.decide(_superseded(error))
        except OSError as error:
            self._run.decide(_unwritable(error))
        except Exception as error:  # noqa: BLE001  (whatever it is, the run has an end that is recorded)
            self._run.decide(self._internal_error(error))
        finally:
            self._reader.stop()
            for task in (decided, *tasks):
                task.cancel()
            await asyncio.gather(decided, *tasks, return_exceptions=True)
        try:
            return await self._end()
        except Exception as error:  # noqa: BLE001  (as above)
            verdict = self._internal_error(error)
            if self._run.verdict is None or self._run.verdict.succeeded:
                self._run.verdict = verdict
            self._moments.finished, self._ended = clock.now(), self._clock()
            self._state = final_state(self._run.verdict)
            return self.snapshot()
        finally:
            await asyncio.to_thread(self.internal_errors.write)

    def drain(self) -> None:
        """Lease nothing more; what runs may finish. The run ends as Interrupted once no agent is left."""
        self._run.draining = True
        if self._run.verdict is None:
            self._state = snapshot.DRAINING
        self._changes.tell()

    def interrupt(self) -> None:
        """End now: what runs is stopped, what is committed is kept."""
        self._writes.hurry()
        message = "what is committed is kept, and the run can be resumed"
        self._decide(Verdict(verdicts.INTERRUPTED, message))

    def worker_gone(self, worker: str) -> None:
        """A worker's agent is known to be dead: others get what it held, at once. No try is lost."""
        self._run.worker_gone(worker)
        self._changes.tell()

    def drain_worker(self, worker: str) -> None:
        """A worker is wanted elsewhere: its agent ends once what its processes run is reported. No try is lost."""
        self._run.agents.drain(worker)
        self._changes.tell()

    def worker_failed(self, worker: str, message: str) -> None:
        """A worker cannot be kept running: the others go on without it, and the step fails when none is left."""
        self._run.worker_failed(worker, message)
        if self._run.verdict is None:
            _log.warning("%s is given up, and the others go on: %s", worker, message)
        self._changes.tell()
        self._see_verdict()

    # --- the agents' calls -----------------------------------------------------------------------------------------

    def register(self, worker: str, boot: str) -> tuple[str, int]:
        """Take in a worker's agent; return the identity under which it leases, and the epoch."""
        agent = self._run.register(worker, boot, self._clock())
        self._changes.tell()
        return agent, self._ledger.epoch

    async def lease(self, agent: str, epoch: int, want: int) -> tuple[list[Grant], dict[str, Any]]:
        """Lease up to `want` mini-batches, waiting a while for some; return them, and orders.

        Raises UnknownAgentError.
        """
        self._check(epoch)
        give_up = self._clock() + _LONG_POLL
        while True:
            now = self._clock()
            self._run.agents.heard(agent, now)
            orders = self.orders(agent)
            if orders or now >= give_up:
                return [], orders
            pairs = self._run.grant(agent, want, now)
            if pairs:
                self._state = snapshot.RUNNING
                self._moments.first_lease = self._moments.first_lease or clock.now()
                return self._run.plan.grants(pairs), {}
            await self._changes.wait(give_up - now)

    def report(self, body: dict[str, Any]) -> dict[str, Any]:
        """Take in an agent's report (`wire.report`); return orders. Raises UnknownAgentError."""
        self._check(body["epoch"])
        run, ended = self._run, self._run.ended()
        lost = run.report(body, self._clock())
        if run.ended() != ended:
            self._moments.last_commit = clock.now()
        if run.leases.waiting():
            self._changes.tell()
        self._see_verdict()
        orders = self.orders(body["agent"])
        return {**orders, "lost": lost} if lost else orders

    def bye(self, agent: str) -> None:
        """An agent ended and holds nothing any more."""
        self._run.bye(agent)
        self._changes.tell()

    def orders(self, agent: str | None = None) -> dict[str, Any]:
        """Return what an agent (None: every agent) is told with each answer: {} while there is, or may be, work."""
        verdict = self._run.verdict
        if verdict is not None:
            return {"finished": True} if verdict.succeeded else {"stop": True}
        draining = self._run.draining or (agent is not None and self._run.agents.is_draining(agent))
        return {"drain": True} if draining else {}

    def snapshot(self) -> Snapshot:
        """Return where the run is."""
        if self._earlier is not None:
            return self._earlier
        return take_snapshot(
            self._run,
            self._moments,
            state=self._state,
            epoch=self._ledger.epoch,
            written=self._written,
            now=self._clock() if self._ended is None else self._ended,
        )

    def processes(self) -> list[dict[str, Any]]:
        """Return what each process of each worker does: worker, process, state, mini_batch, seconds since when."""
        return self._run.agents.processes()

    # --- inside ----------------------------------------------------------------------------------------------------

    def _check(self, epoch: int) -> None:
        if epoch != self._ledger.epoch:
            raise UnknownAgentError(f"this is epoch {self._ledger.epoch}, the agent belongs to epoch {epoch}")

    def _decide(self, verdict: Verdict) -> None:
        self._run.decide(verdict)
        self._see_verdict()

    def _internal_error(self, error: Exception) -> Verdict:
        return Verdict(verdicts.INTERNAL_ERROR, self.internal_errors.note(error))

    def _safely(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function on the event loop, which would but log its exception: the run ends with it instead."""
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001  (a lot that is lost would be waited for until the end of time)
            self._plan_ended.set()
            self._decide(self._internal_error(error))

    def _see_verdict(self) -> None:
        if self._run.verdict is not None and not self._decided.is_set():
            self._decided.set()
            self._changes.tell()

    def _add(self, lot: list[Slice], record: dict[str, Any]) -> None:
        self._ledger.append({"plan": record})
        if lot:
            self._run.add(lot)
            self._changes.tell()

    def _listed(self, error: Exception | None) -> None:
        self._moments.listed = clock.now()
        if error is None:
            self._run.listed()
        else:
            self._run.decide(verdict_on(error))
        self._plan_ended.set()
        self._see_verdict()

    async def _flush_regularly(self) -> None:
        """Flush the ledger; while that fails its lines are kept, nothing is granted, and the pauses grow."""
        outage, pause = self._run.ledger_outage, _FLUSH_SECONDS
        while True:
            await asyncio.sleep(pause)
            was_failing = bool(outage)
            if await self._writes.attempt("the ledger", self._ledger.flush):
                pause = _FLUSH_SECONDS
                if was_failing:
                    self._changes.tell()
            else:
                pause = min(_LONGEST_FLUSH_PAUSE, 2 * pause)
                verdict = outage.verdict()
                if verdict is not None:
                    self._decide(verdict)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._run.tick(self._clock(), listed=self._reader.advanced)
            if self._run.leases.waiting():
                self._changes.tell()
            if self._run.draining and not self._run.agents.count():
                self.interrupt()
            self._see_verdict()

    async def _show_progress(self) -> None:
        while True:
            await asyncio.sleep(_OVERVIEW_SECONDS)
            await self._write_overview(self.snapshot())

    async def _write_overview(self, last: Snapshot) -> None:
        """Write progress and metrics, which no run ends for."""
        try:
            await asyncio.to_thread(self._overview.write, last)
        except OSError as error:
            if not self._lacks_overview:
                _log.warning("The progress of run %s is not in its folder: %s", self.job.run_id, error)
            self._lacks_overview = True
        else:
            self._lacks_overview = False

    async def _end(self) -> Snapshot:
        """Part with the agents, write what a run leaves behind, and return the last snapshot."""
        verdict = self._run.verdict
        assert verdict is not None
        parted = asyncio.create_task(self._part())
        if verdict.succeeded:
            self._state = snapshot.ASSEMBLING
            verdict = await self._assemble() or await self._with_codes(verdict)
            if self._earlier is not None:  # also when our predecessor was displaced too late to notice
                await parted
                return self._earlier
        await parted
        self._run.verdict = verdict
        self._moments.finished, self._ended = clock.now(), self._clock()
        if verdict.reason not in (verdicts.SUPERSEDED, *verdicts.REFUSALS):
            await self._write_end(verdict)
        self._state = final_state(self._run.verdict)  # told only now: who hears it may look at what was written
        return self.snapshot()

    async def _assemble(self) -> Verdict | None:
        """Write the output, unless an earlier coordinator has; return another verdict where that cannot be."""
        try:
            try:
                await self._writes.insist("the ledger", self._ledger.flush)
                self._earlier = await self._writes.insist("the output", partial(finished_end, self._store))
            except OSError as error:
                return _unwritable(error)
            if self._earlier is None:
                done = self._run.leases.counts[State.DONE]
                write = partial(write_output, self.job, self._store, self._ledger, expected=done)
                self._written = await self._writes.insist("the output", write, transient_only=True)
                if self.job.output.action == APPEND_ROW:
                    self._moments.assembled = clock.now()
        except SupersededError as error:
            return _superseded(error)
        except (AssemblyError, OSError, ImportError) as error:
            return Verdict(verdicts.OUTPUT_ERROR, f"the output cannot be written: {error}")
        except Exception as error:  # noqa: BLE001  (a bug: the reports are written all the same)
            return self._internal_error(error)
        return None

    async def _with_codes(self, verdict: Verdict) -> Verdict:
        """Return the verdict with how many mini-batches came of which code, where there were several."""
        if self._codes == 1:
            return verdict
        write = partial(write_code_report, self._store, self._ledger)
        try:
            codes = await self._writes.insist("the reports", write, transient_only=True)
        except OSError as error:
            return _unwritable(error)
        return replace(verdict, message=f"{verdict.message}; {codes}") if codes else verdict

    async def _write_end(self, verdict: Verdict) -> None:
        limit = None if verdict.succeeded else _LAST_WORDS
        try:
            await self._writes.insist("the ledger", self._ledger.flush, limit=limit)
            last = replace(self.snapshot(), state=final_state(verdict), observed=self._moments.finished)
            await self._write_overview(last)
            write = partial(
                write_end,
                self.job,
                self._store,
                self._ledger,
                self._run.plan,
                last,
                written=self._written,
                moments=self._moments,
            )
            await self._writes.insist("the reports", write, limit=limit, transient_only=True)
        except SupersededError as error:
            self._run.verdict = Verdict(verdicts.SUPERSEDED, str(error))
        except OSError as error:
            if verdict.succeeded:
                self._run.verdict = _unwritable(error)
            else:
                _log.warning("The end of run %s is not all in its folder: %s", self.job.run_id, error)

    async def _part(self) -> None:
        """Wait until every agent has taken its leave, or has had its time."""
        give_up = self._clock() + _GOODBYE
        while self._run.agents.count() and self._clock() < give_up:
            await self._changes.wait(give_up - self._clock())


def _superseded(error: SupersededError) -> Verdict:
    return Verdict(verdicts.SUPERSEDED, f"{error}; this coordinator writes nothing more")


def _unwritable(error: OSError) -> Verdict:
    return Verdict(verdicts.STORAGE_ERROR, f"the run folder cannot be written: {error}; the run can be resumed")


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    """Call a function on the loop, from another thread; in vain when the loop has ended."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
