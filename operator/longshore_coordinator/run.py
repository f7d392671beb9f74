"""The state of one run and the operations of its agents. No I/O and no event loop; the time is an argument.

`service` calls it and flushes the ledger records that it appends.
"""

from __future__ import annotations

import math
from typing import Any

from longshore_coordinator import verdict as verdicts
from longshore_coordinator.accounts import Accounts
from longshore_coordinator.agents import Agents
from longshore_coordinator.error_log import failure_of
from longshore_coordinator.init_failures import InitFailures
from longshore_coordinator.leases import LeaseStore, Outcome, State
from longshore_coordinator.ledger import Ledger
from longshore_coordinator.outage import GrantBackoff, Outage
from longshore_coordinator.plan import Plan
from longshore_coordinator.restore import Restored
from longshore_coordinator.verdict import Clocks, Tally, Verdict
from longshore_protocol import errors
from longshore_protocol.job import Job
from longshore_protocol.segments import select_digests
from longshore_protocol.wire import DOWNLOADING, INPUT, STORE, Completion, Deferral, Failure, lease_term

# Seconds between two ticks. In a longer gap, this process or its machine was suspended, and no timeout counts the rest.
_LONGEST_TICK = 2.0


class Run:
    """One run of one job under one coordinator."""

    def __init__(self, job: Job, *, ledger: Ledger, restored: Restored, now: float) -> None:
        self.job = job
        self.leases = LeaseStore(
            max_tries=job.max_tries,
            term=lease_term(job.timeouts),
        )
        self.plan = Plan()
        self.accounts = Accounts(errors=restored.errors)
        self.agents = Agents(wanted=job.workers)
        self.verdict: Verdict | None = None
        self.draining = False
        self.first_lease: float | None = None  # monotonic
        self.outage = Outage(job.timeouts.storage)
        self.ledger_outage = Outage(job.timeouts.storage)  # nothing is granted while the ledger cannot be written
        self._listing_outage = Outage(job.timeouts.storage)  # its limit is checked by the plan's reader
        self._backoff = GrantBackoff()
        self.shutdowns = restored.shutdowns
        self.registered = ""  # what the run registers, packed, once it has succeeded
        self.code = ""  # digest of the source, "" if unknown
        self._ledger = ledger
        self._restored = restored
        self._ticked = now
        self._clocks = Clocks()
        self._was_ready = False  # whether a worker was ready at the last report or tick
        self._listed = 0  # `listed` at the last tick
        self._has_deferred = False  # whether the current report defers a mini-batch
        self._unprepared: set[str] = set()  # agents that failed to download data before init()
        self._init_failures = InitFailures(job)
        self._abandoned: set[str] = set()  # workers that cannot be kept running
        self._short_return_fails = verdicts.short_return_fails(job)

    # --- the plan --------------------------------------------------------------------------------------------------

    def add(self, slices: list[Any]) -> None:
        """Add mini-batches (`enumerate.Slice`), with the state that the ledger has recorded."""
        first = len(self.leases)
        self.plan.add(slices)
        self.leases.add(len(slices))
        self._restored.apply(range(first, first + len(slices)), self.leases, self.accounts, self.plan)

    def set_listing_error(self, message: str) -> None:
        """Record why the inputs cannot be listed at present; "" if they can."""
        if message:
            self._listing_outage.record_failure(INPUT, message)
        else:
            self._listing_outage.record_success()

    def finish_listing(self) -> None:
        """Record that all inputs are listed."""
        self._listing_outage.record_success()
        self.plan.complete = True
        self.judge()

    # --- agents ----------------------------------------------------------------------------------------------------

    def register(self, worker: str, boot: str, now: float) -> str:
        """Register a worker's agent, replacing an earlier one; return its identity."""
        self.worker_gone(worker)
        return self.agents.register(worker, boot, self._ledger.epoch, now)

    def worker_gone(self, worker: str) -> None:
        """Expire all leases of a worker whose agent has died. No try is counted."""
        agent = self.agents.remove(worker)
        if agent is not None:
            self._reset_agent(agent)
            self._record_losses(self.leases.expire_all(agent), worker)

    def worker_failed(self, worker: str, message: str) -> None:
        """Abandon a worker that cannot be kept running; the step fails if none is left."""
        self.worker_gone(worker)
        self._abandoned.add(worker)
        if len(self._abandoned) >= self.job.workers:
            self.decide(Verdict(verdicts.WORKER_FAILED, f"{worker}: {message}"))

    def deregister(self, agent: str) -> None:
        """Deregister an agent that has shut down gracefully and release its leases."""
        self.agents.deregister(agent)
        self._reset_agent(agent)
        self.leases.release_all(agent)

    def idle_workers(self) -> list[str]:
        """Return the sorted names of the workers that can be removed: they have no leases, and no mini-batch waits.

        Empty before all inputs are listed, and after the verdict, when all workers end anyway.
        """
        if self.verdict is not None or not self.plan.complete or self.leases.waiting():
            return []
        workers = self.agents.workers().items()
        return sorted(worker for agent, worker in workers if not self.leases.leased_to(agent))

    def grant(self, agent: str, capacity: int, now: float) -> list[tuple[int, int]]:
        """Grant an agent leases of up to `capacity` mini-batches; return (mini-batch, attempt) pairs.

        An agent gets at least one and at most half of an even share of the waiting mini-batches (guided
        self-scheduling), and fewer while a store fails (see `outage`).
        """
        if self.ledger_outage:
            return []
        capacity = self._backoff.limit(agent, capacity, leased=self.leases.leased_to(agent), now=now)
        if not capacity:
            return []
        agents = max(self.agents.count(), self.job.workers)
        if agents > 1:
            capacity = max(1, min(capacity, math.ceil(self.leases.waiting() / (2 * agents))))
        pairs = self.leases.grant(agent, capacity, now)
        if pairs and self.first_lease is None:
            self.first_lease = now
        return pairs

    def report(self, body: dict[str, Any], now: float) -> list[int]:
        """Apply an agent's report (`incoming.report`); return the mini-batches of which it has no lease.

        Raises UnknownAgentError.
        """
        agent = body["agent"]
        worker = self.agents.record_call(agent, now)
        self._set_processes(agent, body["processes"], now)
        self._record_shutdowns(worker, body)
        if self.verdict is not None:
            return []
        deferred = body["deferred"]
        if deferred and any(each["state"] == DOWNLOADING for each in body["processes"]):
            self._unprepared.add(agent)
        for raw in deferred:  # before the completions, which end an outage
            self._defer(agent, Deferral(*raw), now)
        if body["completed"]:
            self._complete(agent, worker, body, now)
        for raw in body["failed"]:
            self._fail(agent, worker, Failure(*raw), now)
        for mini_batch, attempt in body["returned"]:
            self.leases.release(agent, mini_batch, attempt)
        lost = self.leases.renew(agent, ((lease[0], lease[1]) for lease in body["held"]), now)
        for raw in body["init_failed"]:
            self._record_init_failure(worker, Failure(*raw))
        if self.agents.record_fetched(agent, body["fetched"]):
            self._clocks.progress = 0.0
        self.judge()
        if self._has_deferred and (verdict := self.outage.verdict()) is not None:
            self.decide(verdict)
        self._has_deferred = False
        return lost

    def tick(self, now: float, *, listed: int = 0) -> None:
        """Expire leases, sample the rate and decide whether the run has stalled.

        `listed` is a counter that grows while the inputs are listed and read.
        """
        passed = self._time_since_tick(now)
        self._record_losses(self.leases.expire(now), "")
        self.accounts.sample_rate(self.ended(), now)
        self._advance_clocks(passed, now, listed=listed)
        self._judge_workers()
        stalled = verdicts.stalled(self.job, self._clocks)
        if stalled is not None:
            self.decide(stalled)
        self.judge()

    def waiting(self, now: float) -> tuple[str, str]:
        """Return why nothing runs or nothing succeeds, as (reason, message); empty strings if something does."""
        for outage in (self.ledger_outage, self.outage, self._listing_outage):
            if outage:
                return outage.waiting()
        is_idle = self.verdict is None and not self.leases.counts[State.LEASED]
        return self.agents.waiting(now) if is_idle else ("", "")

    # --- the verdict -----------------------------------------------------------------------------------------------

    def ended(self) -> int:
        """Return the number of mini-batches that are done or have failed permanently."""
        return self.leases.counts[State.DONE] + self.leases.counts[State.FAILED]

    def judge(self) -> None:
        """Decide the verdict if a threshold is crossed or all mini-batches are finished."""
        if self.verdict is None:
            counts = self.leases.counts
            tally = Tally(
                total=len(self.leases),
                listed=self.plan.complete,
                done=counts[State.DONE],
                failed=counts[State.FAILED],
                items=self.accounts.items_ended,
                items_succeeded=self.accounts.items_succeeded,
                items_failed=self.accounts.items_failed,
                counts_items=self.accounts.counts_items,
            )
            verdict = verdicts.threshold_crossed(self.job, tally)
            verdict = verdict or verdicts.all_processed(
                self.job, tally, lambda: self.plan.names(self.accounts.errors.examples(), limit=verdicts.NAMED_ITEMS)
            )
            if verdict is not None and not (verdict.succeeded and self._awaits_shutdown()):
                self.decide(verdict)

    def set_registrations(self, verdict: Verdict) -> Verdict:
        """Set what a successful run registers; return another verdict if that is impossible."""
        if self.shutdowns.is_owed(self.job):
            record = {"tries": 1}
            self.shutdowns.restore(record)
            self._ledger.append({"shutdown": record})
            text = "every worker was lost before its shutdown() ended; resume the run"
            return Verdict(verdicts.INTERRUPTED, text)
        try:
            self.registered = self.shutdowns.packed(self.job)
        except ValueError as error:
            return Verdict(verdicts.REGISTRATION_FAILED, str(error))
        return verdict

    def decide(self, verdict: Verdict) -> None:
        """End the run with a verdict, unless it has one already."""
        if self.verdict is None:
            self.verdict = verdict

    # --- inside ----------------------------------------------------------------------------------------------------

    def _awaits_shutdown(self) -> bool:
        """Return whether a worker has to be ready for shutdown() first: those of an earlier epoch were lost in it."""
        return self.shutdowns.is_owed(self.job) and not self.agents.ready()

    def _record_shutdowns(self, worker: str, body: dict[str, Any]) -> None:
        if not self.shutdowns.defined and any(each.get("shuts_down") is True for each in body["processes"]):
            self.shutdowns.defined = True
            self._ledger.append({"shutdown": {"defined": True}})
        record = self.shutdowns.of_agent(worker, body["registered"], body["shutdowns"])
        if record is not None:
            self._ledger.append({"shutdown": record})

    def _set_processes(self, agent: str, processes: list[dict[str, Any]], now: float) -> None:
        self.agents.set_processes(agent, processes)
        if self.agents.is_ready(agent):
            self._init_failures.ready(self.agents.worker(agent))
        if not self._was_ready and self.agents.ready():
            self._was_ready = self.accounts.ever_ready = True
            self.accounts.start_rate(self.ended(), now)
        if agent in self._unprepared and all(each["state"] != DOWNLOADING for each in processes):
            self._unprepared.discard(agent)  # its downloads have finished
            self.outage.record_success()

    def _time_since_tick(self, now: float) -> float:
        """Return the seconds since the last tick, without time for which this process was suspended.

        Extends all deadlines by that time.
        """
        passed = now - self._ticked
        self._ticked = now
        if passed <= _LONGEST_TICK:
            return passed
        self.leases.postpone(passed - _LONGEST_TICK)
        self.agents.postpone(passed - _LONGEST_TICK)
        return _LONGEST_TICK

    def _advance_clocks(self, passed: float, now: float, *, listed: int) -> None:
        """Add `passed` seconds to the clocks of what stands still, and reset those of what has progressed."""
        clocks, counts = self._clocks, self.leases.counts
        is_ready, downloads = self.agents.ready(), self.agents.downloads(now)
        if not is_ready or not len(self.leases):
            self._was_ready = False
        is_outage = self.ledger_outage or self.outage.is_waited_out()
        outstanding = counts[State.WAITING] + counts[State.LEASED] - self.leases.paused(now)
        can_progress = is_ready and outstanding and not self.draining and not is_outage
        clocks.progress = clocks.progress + passed if can_progress else 0.0
        is_unready = self.agents.count() and not is_ready and not downloads and not self.draining
        clocks.unready = clocks.unready + passed if is_unready else 0.0
        has_no_limit = self.job.timeouts.first_task_creation is None
        is_cut = len(self.leases) or self.plan.complete or (has_no_limit and listed != self._listed)
        clocks.uncut = 0.0 if is_cut else clocks.uncut + passed
        self._listed = listed
        self.ledger_outage.add_time(passed)
        if is_ready or downloads:
            self.outage.add_time(passed)

    def _reset_agent(self, agent: str) -> None:
        self._backoff.reset(agent)
        self._unprepared.discard(agent)

    def _defer(self, agent: str, deferral: Deferral, now: float) -> None:
        if deferral.mini_batch >= 0:
            paused_at = now if deferral.origin == INPUT else None
            outcome = self.leases.defer(agent, deferral.mini_batch, deferral.attempt, paused_at=paused_at)
            if outcome is Outcome.REFUSED:
                return
        self._clocks.progress = 0.0
        self._backoff.record_failure(agent, now)
        self.outage.record_failure(deferral.origin, deferral.message)
        self._has_deferred = True

    def _complete(self, agent: str, worker: str, body: dict[str, Any], now: float) -> None:
        complete, record_completion = self.leases.complete, self.accounts.record_completion
        errors = self.accounts.errors
        accepted, indices = [], []
        for index, raw in enumerate(body["completed"]):
            items, succeeded = raw[5], raw[4]
            if succeeded < items and self._short_return_fails:
                failure = failure_of(Completion(*raw))
                cause = "errorThreshold and a limit of failed mini-batches are both set"
                message = f"{failure.message}; this fails the mini-batch because {cause}"
                self._fail(agent, worker, failure._replace(message=message), now)
            elif complete(agent, raw[0], raw[1]) is Outcome.ACCEPTED:
                record_completion(items=items, succeeded=succeeded)
                if succeeded != items:
                    errors.record_uneven_return(worker, raw[0], items=items, succeeded=succeeded)
                accepted.append(raw)
                indices.append(index)
        if accepted:
            self._clocks.progress = 0.0
            self._backoff.reset(agent)
            self.outage.record_success()
            digests = body.get("digests", "")
            if len(accepted) < len(body["completed"]):
                digests = select_digests(digests, indices)
            self._ledger.append(
                {
                    "done": {
                        "worker": worker,
                        "segment": body["segment"],
                        "bytes": body.get("bytes", -1),
                        "digests": digests,
                        "headers": body["headers"],
                        "mini_batches": accepted,
                    }
                }
            )

    def _fail(self, agent: str, worker: str, failure: Failure, now: float) -> None:
        if failure.category == errors.SYSTEM:  # never costs a try
            self._defer(agent, Deferral(failure.mini_batch, failure.attempt, STORE, failure.message), now)
            return
        outcome = self.leases.fail(agent, failure.mini_batch, failure.attempt)
        if outcome is Outcome.REFUSED:
            return
        self._clocks.progress = 0.0  # a failed try is progress, because the number of tries is limited
        terminal = outcome is Outcome.EXHAUSTED
        if failure.items < 0:
            failure = failure._replace(items=self.plan.items(failure.mini_batch))
        self.accounts.errors.record_failure(worker, failure, terminal=terminal)
        self._ledger.append({"tried": {"worker": worker, "terminal": terminal, "failure": failure}})
        if terminal:
            self.accounts.record_failure(failure.items)

    def _record_losses(self, failed: list[int], worker: str) -> None:
        """Record the failures of mini-batches whose last try was the loss of their worker."""
        for mini_batch in failed:
            failure = Failure(
                mini_batch,
                0,
                self.plan.items(mini_batch),
                -1,
                errors.PROCESS_DIED,
                f"lost with its worker {self.leases.losses(mini_batch)} times; it may be the cause of the losses",
                "",
                0.0,
                0.0,
                "",
            )
            self.accounts.errors.record_failure(worker, failure, terminal=True)
            self.accounts.record_failure(failure.items)
            self._ledger.append({"tried": {"worker": worker, "terminal": True, "failure": failure}})

    def _record_init_failure(self, worker: str, failure: Failure) -> None:
        if not self._init_failures.add(worker, failure):
            return
        self.accounts.init_failures += 1
        self.accounts.errors.record_failure(worker, failure, terminal=False)
        self._ledger.append({"tried": {"worker": worker, "terminal": False, "failure": failure}})
        self._judge_workers()

    def _judge_workers(self) -> None:
        connected = self.agents.workers().values()
        verdict = self._init_failures.verdict(connected, unready=self._clocks.unready)
        if verdict is not None:
            self.decide(verdict)
        if self.agents.ready():
            for worker in self._init_failures.take_workers_to_replace():
                self.agents.drain(worker)
