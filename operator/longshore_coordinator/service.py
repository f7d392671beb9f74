"""The coordinator of one run, from the claim of an epoch to the verdict and the reports.

It runs on one event loop. Blocking work (listing inputs, access to stores) runs in threads. The state of the run is
changed on the loop only: by requests of agents, lots of the plan and the periodic tick.
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
from longshore_coordinator.observe import Milestones, Overview, final_state, take_snapshot
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

_FLUSH_SECONDS = 0.5  # between flushes of the ledger, so that accepted results are durable within a second
_LONGEST_FLUSH_PAUSE = 10.0  # seconds; while flushes fail, the pause doubles up to this
_FAILED_END_TIMEOUT = 10.0  # seconds for retries of writing the reports of a failed run
_TICK_SECONDS = 0.25
_LONG_POLL = 20.0  # seconds for which a lease request waits for mini-batches
_DEREGISTER_TIMEOUT = 45.0  # seconds for agents to run shutdown() and deregister
_OVERVIEW_SECONDS = 10.0

_log = logging.getLogger("longshore.coordinator")


class Coordinator:
    """The coordinator of one run: await `open()`, route the agents' requests to it and await `run()`.

    Args:
        job: the job.
        resumed_by_user: whether a user resumed the run, which gives failed mini-batches all their tries again. The same
            happens if another step wrote the ledger last.
        cut: yields the mini-batches of the job; tests replace it.
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
        self._codes = 1  # number of versions of the code that may have completed mini-batches
        self._milestones = Milestones(started=clock.now())
        self._earlier: Snapshot | None = None  # the last snapshot of the coordinator in which the run succeeded
        self._ended: float | None = None  # monotonic time of the run's end, from which on its rate is constant
        self._run: Run
        self._ledger: Ledger
        self._reader: PlanReader
        self._writes: StoreWrites
        self._overview: Overview

    # --- life ------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Claim the run's next epoch, replay its ledger and start to cut the plan, unless the run has succeeded.

        Raises:
            OSError: the run folder cannot be used.
            ValueError: the ledger cannot be read.
        """
        self._store.make()
        await asyncio.to_thread(mark_run, self.job.run_uri, self.job.run_id, [self.job.output.uri])
        about = {"started": self._milestones.started, "process": os.getpid(), "step": self.job.name}
        self._ledger = await asyncio.to_thread(Ledger.claim, self._store, about)
        resumed = self._resumed or await asyncio.to_thread(belongs_to_another, self._ledger, step=self.job.name)
        counts_empty = verdicts.counts_empty_returns(self.job)
        restored = await asyncio.to_thread(restore, self._ledger, resumed_by_user=resumed, counts_empty=counts_empty)
        self._run = Run(self.job, ledger=self._ledger, restored=restored, now=self._clock())
        self._writes = StoreWrites(self._run.ledger_outage, limit=self.job.timeouts.storage)
        self._overview = Overview(self._store, self._run, self._milestones)
        loop = asyncio.get_running_loop()
        self._reader = PlanReader(
            self.job,
            restored.plan,
            deliver=lambda lot, record: _call(loop, self._safely, self._add, lot, record),
            ended=lambda error: _call(loop, self._safely, self._finish_listing, error),
            waits=lambda message: _call(loop, self._safely, self._run.set_listing_error, message),
            cut=self._cut,
        )
        start = await asyncio.to_thread(begin, self.job, self._store, self._ledger, restored, resumed=resumed)
        self._earlier, self._codes, self._run.code = start.earlier, start.codes, start.code
        if start.verdict is None:
            self._reader.start()
        else:
            self._plan_ended.set()
            self._decide(start.verdict)

    async def plan_complete(self) -> Verdict | None:
        """Wait until the plan is complete or could not be completed; return the verdict, if there is one."""
        await self._plan_ended.wait()
        return self._run.verdict

    async def run(self) -> Snapshot:
        """Run until the verdict, write output and reports; return the last snapshot. Call `open()` first."""
        decided = asyncio.create_task(_wait(self._decided))
        loops = (self._flush_regularly(), self._tick_regularly(), self._write_overview_regularly())
        tasks = [asyncio.create_task(each) for each in loops]
        try:
            await asyncio.wait({decided, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # raises the exception that ended the task
        except SupersededError as error:
            self._decide(_superseded(error))
        except OSError as error:
            self._decide(_unwritable(error))
        except Exception as error:  # noqa: BLE001  (a bug must also end in a verdict)
            self._decide(self._internal_error(error))
        finally:
            self._reader.stop()
            for task in (decided, *tasks):
                task.cancel()
            await asyncio.gather(decided, *tasks, return_exceptions=True)
        try:
            return await self._finish()
        except Exception as error:  # noqa: BLE001  (as above)
            verdict = self._internal_error(error)
            if self._run.verdict is None or self._run.verdict.succeeded:
                self._run.verdict = verdict
            self._milestones.finished, self._ended = clock.now(), self._clock()
            self._state = final_state(self._run.verdict)
            return self.snapshot()
        finally:
            await asyncio.to_thread(self.internal_errors.write)

    def drain(self) -> None:
        """Grant no more leases; end the run as Interrupted when all agents have finished and deregistered."""
        self._run.draining = True
        if self._run.verdict is None:
            self._state = snapshot.DRAINING
        self._changes.notify()

    def interrupt(self) -> None:
        """End the run immediately: stop running mini-batches and keep the committed ones."""
        self._writes.stop_retrying()
        message = "committed mini-batches are kept; the run can be resumed"
        self._decide(Verdict(verdicts.INTERRUPTED, message))

    def worker_gone(self, worker: str) -> None:
        """Expire the leases of a worker whose agent has died, so that other workers get them. No try is counted."""
        self._run.worker_gone(worker)
        self._changes.notify()

    def drain_worker(self, worker: str) -> None:
        """Drain a worker whose node is needed: its agent ends after reporting its running mini-batches."""
        self._run.agents.drain(worker)
        self._changes.notify()

    def worker_failed(self, worker: str, message: str) -> None:
        """Abandon a worker that cannot be kept running; the step fails if none is left."""
        self._run.worker_failed(worker, message)
        if self._run.verdict is None:
            _log.warning('worker "%s" is abandoned, and the others continue: %s', worker, message)
        self._changes.notify()
        self._signal_verdict()

    # --- the agents' calls -----------------------------------------------------------------------------------------

    def register(self, worker: str, boot: str) -> tuple[str, int]:
        """Register a worker's agent; return the identity that it uses for leases, and the epoch."""
        agent = self._run.register(worker, boot, self._clock())
        self._changes.notify()
        return agent, self._ledger.epoch

    async def lease(self, agent: str, epoch: int, capacity: int) -> tuple[list[Grant], dict[str, Any]]:
        """Grant up to `capacity` mini-batches, waiting for some if there are none; return grants and orders.

        Raises UnknownAgentError.
        """
        self._require_epoch(epoch)
        deadline = self._clock() + _LONG_POLL
        while True:
            now = self._clock()
            self._run.agents.record_call(agent, now)
            orders = self.orders(agent)
            if orders or now >= deadline:
                return [], orders
            pairs = self._run.grant(agent, capacity, now)
            if pairs:
                self._state = snapshot.RUNNING
                self._milestones.first_lease = self._milestones.first_lease or clock.now()
                return self._run.plan.grants(pairs), {}
            await self._changes.wait(deadline - now)

    def report(self, body: dict[str, Any]) -> dict[str, Any]:
        """Apply an agent's report (`wire.report`); return orders. Raises UnknownAgentError."""
        self._require_epoch(body["epoch"])
        run, ended = self._run, self._run.ended()
        lost = run.report(body, self._clock())
        if run.ended() != ended:
            self._milestones.last_commit = clock.now()
        if run.leases.waiting():
            self._changes.notify()
        self._signal_verdict()
        orders = self.orders(body["agent"])
        return {**orders, "lost": lost} if lost else orders

    def deregister(self, agent: str) -> None:
        """Deregister an agent that has shut down gracefully, and release its leases."""
        self._run.deregister(agent)
        self._changes.notify()

    def orders(self, agent: str | None = None) -> dict[str, Any]:
        """Return the orders for an agent, or for all agents if None; {} while there may be work."""
        verdict = self._run.verdict
        if verdict is not None:
            return {"finished": True} if verdict.succeeded else {"stop": True}
        draining = self._run.draining or (agent is not None and self._run.agents.is_draining(agent))
        return {"drain": True} if draining else {}

    def snapshot(self) -> Snapshot:
        """Return the current state of the run."""
        if self._earlier is not None:
            return self._earlier
        return take_snapshot(
            self._run,
            self._milestones,
            state=self._state,
            epoch=self._ledger.epoch,
            written=self._written,
            now=self._clock() if self._ended is None else self._ended,
        )

    def processes(self) -> list[dict[str, Any]]:
        """Return the state of each process: worker, process, state, mini_batch and the seconds in that state."""
        return self._run.agents.processes()

    # --- inside ----------------------------------------------------------------------------------------------------

    def _require_epoch(self, epoch: int) -> None:
        if epoch != self._ledger.epoch:
            text = f"this coordinator has epoch {self._ledger.epoch}, the agent registered in epoch {epoch}"
            raise UnknownAgentError(f"{text}; it must register again")

    def _decide(self, verdict: Verdict) -> None:
        self._run.decide(verdict)
        self._signal_verdict()

    def _internal_error(self, error: Exception) -> Verdict:
        return Verdict(verdicts.INTERNAL_ERROR, self.internal_errors.note(error))

    def _safely(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function; end the run if it raises, instead of only logging the exception like the event loop."""
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001  (without a verdict, the run would wait for a lost lot forever)
            self._plan_ended.set()
            self._decide(self._internal_error(error))

    def _signal_verdict(self) -> None:
        """Wake `run` and waiting lease requests if there is a verdict."""
        if self._run.verdict is not None and not self._decided.is_set():
            self._decided.set()
            self._changes.notify()

    def _add(self, lot: list[Slice], record: dict[str, Any]) -> None:
        self._ledger.append({"plan": record})
        if lot:
            self._run.add(lot)
            self._changes.notify()

    def _finish_listing(self, error: Exception | None) -> None:
        self._milestones.listed = clock.now()
        if error is None:
            self._run.finish_listing()
        else:
            self._run.decide(verdict_on(error))
        self._plan_ended.set()
        self._signal_verdict()

    async def _flush_regularly(self) -> None:
        """Flush the ledger periodically, with growing pauses while that fails."""
        outage, pause = self._run.ledger_outage, _FLUSH_SECONDS
        while True:
            await asyncio.sleep(pause)
            was_failing = bool(outage)
            if await self._writes.try_once("the ledger", self._ledger.flush):
                pause = _FLUSH_SECONDS
                if was_failing:
                    self._changes.notify()
            else:
                pause = min(_LONGEST_FLUSH_PAUSE, 2 * pause)
                verdict = outage.verdict()
                if verdict is not None:
                    self._decide(verdict)

    async def _tick_regularly(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._run.tick(self._clock(), listed=self._reader.advanced)
            if self._run.leases.waiting():
                self._changes.notify()
            if self._run.draining and not self._run.agents.count():
                self.interrupt()
            self._signal_verdict()

    async def _write_overview_regularly(self) -> None:
        while True:
            await asyncio.sleep(_OVERVIEW_SECONDS)
            await asyncio.to_thread(self._overview.write, self.snapshot())

    async def _finish(self) -> Snapshot:
        """Wait for the agents, write output and reports; return the last snapshot."""
        verdict = self._run.verdict
        assert verdict is not None
        deregistered = asyncio.create_task(self._wait_for_agents())
        if verdict.succeeded:
            self._state = snapshot.ASSEMBLING
            verdict = await self._assemble() or await self._add_code_report(verdict)
            if self._earlier is not None:  # a superseded predecessor may have finished the run meanwhile
                await deregistered
                return self._earlier
        await deregistered
        verdict = self._run.set_registrations(verdict) if verdict.succeeded else verdict
        self._run.verdict = verdict
        self._milestones.finished, self._ended = clock.now(), self._clock()
        if verdict.reason not in (verdicts.SUPERSEDED, *verdicts.REFUSALS):
            await self._write_end(verdict)
        self._state = final_state(self._run.verdict)  # set last, because readers of the final state may read the files
        return self.snapshot()

    async def _assemble(self) -> Verdict | None:
        """Write the output, unless an earlier coordinator has; return another verdict if that fails."""
        try:
            try:
                await self._writes.retry("the ledger", self._ledger.flush)
                self._earlier = await self._writes.retry("the output", partial(finished_end, self._store))
            except OSError as error:
                return _unwritable(error)
            if self._earlier is None:
                done = self._run.leases.counts[State.DONE]
                write = partial(write_output, self.job, self._store, self._ledger, expected=done)
                self._written = await self._writes.retry("the output", write, transient_only=True)
                if self.job.output.action == APPEND_ROW:
                    self._milestones.assembled = clock.now()
        except SupersededError as error:
            return _superseded(error)
        except (AssemblyError, OSError, ImportError) as error:
            return Verdict(verdicts.OUTPUT_ERROR, f"the output cannot be written: {error}")
        except Exception as error:  # noqa: BLE001  (after a bug, the reports are still written)
            return self._internal_error(error)
        return None

    async def _add_code_report(self, verdict: Verdict) -> Verdict:
        """Write the report of the versions of the code if there are several; return the verdict with a summary."""
        if self._codes == 1:
            return verdict
        write = partial(write_code_report, self._store, self._ledger)
        try:
            codes = await self._writes.retry("the reports", write, transient_only=True)
        except OSError as error:
            return _unwritable(error)
        return replace(verdict, message=f"{verdict.message}; {codes}") if codes else verdict

    async def _write_end(self, verdict: Verdict) -> None:
        """Flush the ledger and write the reports; change the verdict if that fails."""
        limit = None if verdict.succeeded else _FAILED_END_TIMEOUT
        try:
            await self._writes.retry("the ledger", self._ledger.flush, limit=limit)
            last = replace(self.snapshot(), state=final_state(verdict), observed=self._milestones.finished)
            await asyncio.to_thread(self._overview.write, last)
            write = partial(
                write_end,
                self.job,
                self._store,
                self._ledger,
                self._run.plan,
                last,
                written=self._written,
                milestones=self._milestones,
            )
            await self._writes.retry("the reports", write, limit=limit, transient_only=True)
        except SupersededError as error:
            self._run.verdict = Verdict(verdicts.SUPERSEDED, str(error))
        except OSError as error:
            if verdict.succeeded:
                self._run.verdict = _unwritable(error)
            else:
                _log.warning("cannot write all reports of run %s to its folder: %s", self.job.run_id, error)

    async def _wait_for_agents(self) -> None:
        """Wait until all agents have deregistered, at most _DEREGISTER_TIMEOUT."""
        deadline = self._clock() + _DEREGISTER_TIMEOUT
        agents = self._run.agents
        while agents.count() and ((left := deadline - self._clock()) > 0 or agents.are_registering(self._clock())):
            await self._changes.wait(max(left, _TICK_SECONDS))


def _superseded(error: SupersededError) -> Verdict:
    return Verdict(verdicts.SUPERSEDED, f"{error}; this coordinator writes nothing more")


def _unwritable(error: OSError) -> Verdict:
    return Verdict(verdicts.STORAGE_ERROR, f"the run folder cannot be written: {error}; the run can be resumed")


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    """Schedule a function on the loop from another thread; do nothing if the loop is closed."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
