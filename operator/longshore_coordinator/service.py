"""The coordinator: one run of one job, from the claim of an epoch to the verdict and the last report.

Lives on one event loop. Whatever blocks (listing, the store) happens in threads; every change of the run happens on the
loop: an agent's call, a lot of the plan, the second hand of the clock.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from longshore_coordinator import verdict as verdicts
from longshore_coordinator.agents import UnknownAgentError
from longshore_coordinator.assembly import Assembled, AssemblyError
from longshore_coordinator.enumerate import EmptyInputError, InputError, Slice, cut
from longshore_coordinator.finish import write_end, write_output
from longshore_coordinator.leases import State
from longshore_coordinator.ledger import Ledger, SupersededError
from longshore_coordinator.plan import PlanChangedError, PlanReader
from longshore_coordinator.reports import MetricsLog, Progress, ProgressOverview, progress_line
from longshore_coordinator.restore import restore
from longshore_coordinator.run import Run
from longshore_coordinator.verdict import Verdict
from longshore_protocol import snapshot
from longshore_protocol.job import APPEND_ROW, Job
from longshore_protocol.snapshot import ItemCounts, MiniBatchCounts, Snapshot, WorkerCounts
from longshore_protocol.wire import Grant
from longshore_storage.store import Store, open_store

_FLUSH_SECONDS = 0.5  # between flushes of the ledger: what was accepted is durable within a second
_TICK_SECONDS = 0.25
_LONG_POLL = 20.0  # seconds a lease call waits for work
_GOODBYE = 45.0  # seconds agents get for shutdown() and their farewell
_OVERVIEW_SECONDS = 10.0


class Coordinator:
    """Serves the agents of one run.

    Make one, await `open()`, route the agents' calls to it, await `run()`. `resumed_by_user` gives failed mini-batches
    all their tries again.
    """

    def __init__(self, job: Job, *, resumed_by_user: bool = False, cut: Callable[[Job], Iterator[Slice]] = cut) -> None:
        self.job = job
        self._store: Store = open_store(job.run_uri)
        self._resumed = resumed_by_user
        self._cut = cut
        self._clock = time.monotonic
        self._state = snapshot.PENDING
        self._changed = asyncio.Event()  # replaced at each change: those who wait look again
        self._decided = asyncio.Event()
        self._plan_ended = asyncio.Event()
        self._written = Assembled(rows=0, bytes=0)
        self._last_progress: float | None = None
        self._listing_seconds: float | None = None
        self._timing = {"started": time.time()}
        self._run: Run
        self._ledger: Ledger
        self._reader: PlanReader

    # --- life ------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Claim the run's next epoch, replay its ledger, and begin to cut the plan.

        Raises OSError when the run folder cannot be used, ValueError when its ledger cannot be read.
        """
        self._store.make()
        about = {"started": self._timing["started"], "process": os.getpid(), "step": self.job.name}
        self._ledger = await asyncio.to_thread(Ledger.claim, self._store, about)
        restored = await asyncio.to_thread(restore, self._ledger, resumed_by_user=self._resumed)
        self._run = Run(self.job, ledger=self._ledger, restored=restored, now=self._clock())
        loop = asyncio.get_running_loop()
        self._reader = PlanReader(
            self.job,
            restored.plan,
            deliver=lambda lot, record: _call(loop, self._add, lot, record),
            ended=lambda error: _call(loop, self._listed, error),
            cut=self._cut,
        )
        self._reader.start()

    async def plan_complete(self) -> Verdict | None:
        """Wait until the plan is cut to its end; return the verdict if that already ended the run."""
        await self._plan_ended.wait()
        return self._run.verdict

    async def run(self) -> Snapshot:
        """Run to the verdict, write output and reports, and return the last snapshot. Call after `open()`."""
        decided = asyncio.create_task(_wait(self._decided))
        tasks = [asyncio.create_task(each) for each in (self._flush_regularly(), self._watch(), self._overview())]
        try:
            await asyncio.wait({decided, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # raises what ended it
        except SupersededError as error:
            self._run.decide(Verdict(verdicts.SUPERSEDED, f"{error}; this coordinator writes nothing more"))
        except OSError as error:
            self._run.decide(Verdict(verdicts.STORAGE_ERROR, f"the run folder cannot be written: {error}"))
        finally:
            self._reader.stop()
            for task in (decided, *tasks):
                task.cancel()
            await asyncio.gather(decided, *tasks, return_exceptions=True)
        await self._end()
        return self.snapshot()

    def drain(self) -> None:
        """Lease nothing more; what runs may finish. The run ends as Interrupted once no agent is left."""
        self._run.draining = True
        if self._run.verdict is None:
            self._state = snapshot.DRAINING
        self._wake()

    def interrupt(self) -> None:
        """End now: what runs is stopped, what is committed is kept."""
        self._decide(
            Verdict(verdicts.INTERRUPTED, "interrupted; what is committed is kept, and the run can be resumed")
        )

    def worker_gone(self, worker: str) -> None:
        """A worker's agent is known to be dead: others get what it held, at once. No try is lost."""
        self._run.worker_gone(worker)
        self._wake()

    def worker_failed(self, worker: str, message: str) -> None:
        """A worker cannot be run at all: the step fails."""
        self._decide(Verdict("WorkerFailed", f"{worker}: {message}"))

    # --- the agents' calls -----------------------------------------------------------------------------------------

    def register(self, worker: str, boot: str) -> tuple[str, int]:
        """Take in a worker's agent; return the identity under which it leases, and the epoch."""
        agent = self._run.register(worker, boot, self._clock())
        self._wake()
        return agent, self._ledger.epoch

    async def lease(self, agent: str, epoch: int, want: int) -> tuple[list[Grant], dict[str, Any]]:
        """Lease up to `want` mini-batches, waiting a while for some; return them, and orders.

        Raises UnknownAgentError.
        """
        self._check(epoch)
        give_up = self._clock() + _LONG_POLL
        while True:
            changed, now = self._changed, self._clock()
            self._run.agents.heard(agent, now)
            orders = self._orders()
            if orders or now >= give_up:
                return [], orders
            pairs = self._run.grant(agent, want, now)
            if pairs:
                self._state = snapshot.RUNNING
                self._timing.setdefault("first_lease", time.time())
                return self._run.plan.grants(pairs), {}
            try:
                await asyncio.wait_for(changed.wait(), give_up - now)
            except TimeoutError:
                continue

    def report(self, body: dict[str, Any]) -> dict[str, Any]:
        """Take in an agent's report (`wire.report`); return orders. Raises UnknownAgentError."""
        self._check(body["epoch"])
        run, ended = self._run, self._run.ended()
        lost = run.report(body, self._clock())
        if run.ended() != ended:
            self._last_progress = self._timing["last_commit"] = time.time()
        if run.leases.waiting():
            self._wake()
        self._see_verdict()
        orders = self._orders()
        return {**orders, "lost": lost} if lost else orders

    def bye(self, agent: str) -> None:
        """An agent ended and holds nothing any more."""
        self._run.bye(agent)
        self._wake()

    def snapshot(self) -> Snapshot:
        """Return where the run is."""
        run, now = self._run, self._clock()
        counts, ended, verdict = run.leases.counts, run.ended(), run.verdict
        waiting = run.agents.waiting() if verdict is None and not counts[State.LEASED] else ("", "")
        return Snapshot(
            state=self._state,
            run_id=self.job.run_id,
            run_uri=self.job.run_uri,
            output_uri=self.job.output.uri,
            epoch=self._ledger.epoch,
            reason=verdict.reason if verdict else "",
            message=verdict.message if verdict else "",
            waiting_reason=waiting[0],
            waiting_message=waiting[1],
            started=self._timing["started"],
            finished=self._timing.get("finished"),
            last_progress=self._last_progress,
            rate_per_minute=run.accounts.per_minute(ended, now),
            mini_batches=MiniBatchCounts(
                total=len(run.leases) if run.plan.complete else None,
                scheduled=len(run.leases),
                running=counts[State.LEASED],
                succeeded=counts[State.DONE],
                failed=counts[State.FAILED],
                retried=run.leases.retried(),
            ),
            items=ItemCounts(run.accounts.items_ended, run.accounts.items_succeeded, run.accounts.items_failed),
            workers=WorkerCounts(self.job.workers, run.agents.ready()),
            first_error=run.accounts.first_error,
            output_file=self.job.output.file_name if "assembled" in self._timing else None,
            rows=self._written.rows if "assembled" in self._timing else None,
        )

    # --- inside ----------------------------------------------------------------------------------------------------

    def _check(self, epoch: int) -> None:
        if epoch != self._ledger.epoch:
            raise UnknownAgentError(f"this is epoch {self._ledger.epoch}, the agent belongs to epoch {epoch}")

    def _orders(self) -> dict[str, Any]:
        verdict = self._run.verdict
        if verdict is not None:
            return {"finished": True} if verdict.succeeded else {"stop": True}
        return {"drain": True} if self._run.draining else {}

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _decide(self, verdict: Verdict) -> None:
        self._run.decide(verdict)
        self._see_verdict()

    def _see_verdict(self) -> None:
        if self._run.verdict is not None and not self._decided.is_set():
            self._decided.set()
            self._wake()

    def _add(self, lot: list[Slice], record: dict[str, Any]) -> None:
        self._ledger.append({"plan": record})
        if lot:
            self._run.add(lot)
            self._wake()

    def _listed(self, error: Exception | None) -> None:
        self._listing_seconds = time.time() - self._timing["started"]
        if error is None:
            self._run.listed()
        else:
            self._run.decide(_input_verdict(error))
        self._plan_ended.set()
        self._see_verdict()

    async def _flush(self) -> None:
        await asyncio.to_thread(self._ledger.flush)

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self._flush()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._run.tick(self._clock())
            if self._run.leases.waiting():
                self._wake()
            if self._run.draining and not self._run.agents.count():
                self.interrupt()
            self._see_verdict()

    async def _overview(self) -> None:
        overview = ProgressOverview(self._store, time.time)
        metrics = MetricsLog(self._store, prefix=self.job.metrics_name_prefix, clock=time.time)
        while True:
            await asyncio.sleep(_OVERVIEW_SECONDS)
            items = self._run.plan.items_counted()
            await asyncio.to_thread(overview.write, self._progress_line())
            await asyncio.to_thread(metrics.write, self.snapshot(), items_scheduled=items)

    def _progress_line(self) -> str:
        run, now = self._run, time.time()
        ended, elapsed = run.ended(), now - self._timing["started"]
        rate = run.accounts.per_minute(ended, self._clock())
        return progress_line(
            Progress(
                scheduled=len(run.leases),
                scheduling_finished=run.plan.complete,
                scheduling_seconds=elapsed if self._listing_seconds is None else self._listing_seconds,
                items=run.plan.items_scheduled,
                processed=ended,
                elapsed=elapsed,
                remaining=60.0 * (len(run.leases) - ended) / rate if rate and run.plan.complete else None,
            )
        )

    async def _end(self) -> None:
        """Part with the agents, then write what a run leaves behind."""
        verdict = self._run.verdict
        assert verdict is not None
        parted = asyncio.create_task(self._part())
        if verdict.succeeded:
            self._state = snapshot.ASSEMBLING
            try:
                await self._flush()
                self._written = await asyncio.to_thread(
                    write_output, self.job, self._store, self._ledger, expected=self._run.leases.counts[State.DONE]
                )
            except SupersededError as error:
                verdict = Verdict(verdicts.SUPERSEDED, f"{error}; this coordinator writes nothing more")
            except (AssemblyError, OSError, ImportError) as error:
                verdict = Verdict(verdicts.OUTPUT_ERROR, f"the output cannot be written: {error}")
            else:
                if self.job.output.action == APPEND_ROW:
                    self._timing["assembled"] = time.time()
        await parted
        self._run.verdict = verdict
        self._timing["finished"] = time.time()
        self._state = _final_state(verdict)
        if verdict.reason != verdicts.SUPERSEDED:
            await self._write_end(verdict)

    async def _write_end(self, verdict: Verdict) -> None:
        try:
            await self._flush()
            last = replace(self.snapshot(), message=verdict.message)
            await asyncio.to_thread(
                write_end,
                self.job,
                self._store,
                self._ledger,
                self._run.plan,
                last,
                written=self._written,
                timing=self._timing,
                overview=self._progress_line(),
            )
        except SupersededError as error:
            self._run.verdict = Verdict(verdicts.SUPERSEDED, str(error))
        except OSError as error:
            if verdict.succeeded:
                self._run.verdict = Verdict(verdicts.STORAGE_ERROR, f"the run folder cannot be written: {error}")
        self._state = _final_state(self._run.verdict or verdict)

    async def _part(self) -> None:
        """Wait until every agent has taken its leave, or has had its time."""
        give_up = self._clock() + _GOODBYE
        while self._run.agents.count() and self._clock() < give_up:
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), give_up - self._clock())
            except TimeoutError:
                return


def _final_state(verdict: Verdict) -> str:
    if verdict.succeeded:
        return snapshot.SUCCEEDED
    return snapshot.INTERRUPTED if verdict.reason == verdicts.INTERRUPTED else snapshot.FAILED


def _input_verdict(error: Exception) -> Verdict:
    if isinstance(error, PlanChangedError):
        return Verdict(verdicts.PLAN_CHANGED, str(error))
    if isinstance(error, EmptyInputError):
        return Verdict(verdicts.EMPTY_INPUT, str(error))
    if isinstance(error, InputError):
        return Verdict(verdicts.INPUT_ERROR, str(error))
    return Verdict(verdicts.INPUT_ERROR, f"listing the inputs failed: {type(error).__name__}: {error}")


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    """Call a function on the loop, from another thread; in vain when the loop has ended."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
