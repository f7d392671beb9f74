"""The state of one run and what agents' calls do to it: no I/O, no event loop, time passed in.

`service` drives it; the ledger records it appends are flushed there.
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
from longshore_coordinator.outage import Gates, Outage
from longshore_coordinator.plan import Plan
from longshore_coordinator.restore import Restored
from longshore_coordinator.verdict import Clocks, Tally, Verdict
from longshore_protocol import errors
from longshore_protocol.job import Job
from longshore_protocol.segments import select_digests
from longshore_protocol.wire import BRINGING, INPUT, STORE, Completion, Deferral, Failure, lease_term

# Seconds between two ticks. What a gap is longer, this process was stopped, or its machine was: no limit counts it.
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
        self.ledger_outage = Outage(job.timeouts.storage)  # nothing is granted that could not be recorded
        self._listing_outage = Outage(job.timeouts.storage)  # whose end the plan's reader decides
        self._gates = Gates()
        self._ledger = ledger
        self._restored = restored
        self._ticked = now
        self._clocks = Clocks()
        self._was_ready = False  # at the last report or tick
        self._listed = 0
        self._has_deferred = False  # in the report that is being taken in
        self._unprepared: set[str] = set()  # agents that failed to fetch what their processes need
        self._init_failures = InitFailures(job)
        self._given_up: set[str] = set()  # workers that cannot be kept running
        self._short_return_fails = verdicts.short_return_fails(job)

    # --- the plan --------------------------------------------------------------------------------------------------

    def add(self, slices: list[Any]) -> None:
        """More mini-batches were cut (`enumerate.Slice`): add them, with what the ledger knows of them."""
        first = len(self.leases)
        self.plan.add(slices)
        self.leases.add(len(slices))
        self._restored.apply(range(first, first + len(slices)), self.leases, self.accounts, self.plan)

    def listing_waits(self, why: str) -> None:
        """Note why the inputs cannot be listed for now; "" when they can."""
        if why:
            self._listing_outage.failed(INPUT, why)
        else:
            self._listing_outage.ended()

    def listed(self) -> None:
        """The inputs are listed to their end."""
        self._listing_outage.ended()
        self.plan.complete = True
        self.judge()

    # --- agents ----------------------------------------------------------------------------------------------------

    def register(self, worker: str, boot: str, now: float) -> str:
        """Take in a worker's agent and return its identity; an earlier agent of the same worker is gone."""
        self.worker_gone(worker)
        return self.agents.join(worker, boot, self._ledger.epoch, now)

    def worker_gone(self, worker: str) -> None:
        """A worker's agent is dead: what it held waits again at once. No try is lost."""
        agent = self.agents.leave(worker)
        if agent is not None:
            self._forget(agent)
            self._lost(self.leases.lose(agent), worker)

    def worker_failed(self, worker: str, why: str) -> None:
        """A worker cannot be kept running: the others go on; the step fails when none is left."""
        self.worker_gone(worker)
        self._given_up.add(worker)
        if len(self._given_up) >= self.job.workers:
            self.decide(Verdict(verdicts.WORKER_FAILED, f"{worker}: {why}"))

    def bye(self, agent: str) -> None:
        """An agent ended in an orderly way: what was still on its way to it waits again."""
        self.agents.bye(agent)
        self._forget(agent)
        self.leases.release(agent)

    def idle_workers(self) -> list[str]:
        """Return the sorted names of the workers that could go at once: they hold nothing, and nothing waits.

        None before the inputs are listed to their end, nor after the verdict, when all go anyway.
        """
        if self.verdict is not None or not self.plan.complete or self.leases.waiting():
            return []
        return sorted(worker for agent, worker in self.agents.workers().items() if not self.leases.held(agent))

    def grant(self, agent: str, want: int, now: float) -> list[tuple[int, int]]:
        """Lease up to `want` mini-batches to an agent, leaving other agents their part; [] when there is none for it.

        An agent gets at most half of an even share of what waits (guided self-scheduling), at least one. While a store
        fails it gets less (`outage`).
        """
        want = 0 if self.ledger_outage else self._gates.allowed(agent, want, held=self.leases.held(agent), now=now)
        if not want:
            return []
        agents = max(self.agents.count(), self.job.workers)
        if agents > 1:
            want = max(1, min(want, math.ceil(self.leases.waiting() / (2 * agents))))
        pairs = self.leases.grant(agent, want, now)
        if pairs and self.first_lease is None:
            self.first_lease = now
        return pairs

    def report(self, body: dict[str, Any], now: float) -> list[int]:
        """Take in an agent's report (`incoming.report`); return the mini-batches it holds no lease on (any more).

        Raises UnknownAgentError.
        """
        agent = body["agent"]
        worker = self.agents.heard(agent, now)
        self._processes(agent, body["processes"], now)
        if self.verdict is not None:
            return []
        deferred = body["deferred"]
        if deferred and any(each["state"] == BRINGING for each in body["processes"]):
            self._unprepared.add(agent)
        for raw in deferred:  # before what completed, which shows that the failure has ended
            self._defer(agent, Deferral(*raw), now)
        if body["completed"]:
            self._complete(agent, worker, body, now)
        for raw in body["failed"]:
            self._fail(agent, worker, Failure(*raw), now)
        for mini_batch, attempt in body["returned"]:
            self.leases.give_back(agent, mini_batch, attempt)
        lost = self.leases.renew(agent, ((held[0], held[1]) for held in body["held"]), now)
        for raw in body["init_failed"]:
            self._init_failed(worker, Failure(*raw))
        if self.agents.moved(agent, body["fetched"]):
            self._clocks.progress = 0.0
        self.judge()
        if self._has_deferred and (verdict := self.outage.verdict()) is not None:
            self.decide(verdict)
        self._has_deferred = False
        return lost

    def tick(self, now: float, *, listed: int = 0) -> None:
        """Take back what expired, measure the pace, and see whether the run has stalled.

        `listed` grows while the inputs are listed, or read for that.
        """
        passed = self._time_since_tick(now)
        self._lost(self.leases.expire(now), "")
        self.accounts.mark(self.ended(), now)
        self._count(passed, now, listed=listed)
        self._judge_workers()
        stalled = verdicts.stalled(self.job, self._clocks)
        if stalled is not None:
            self.decide(stalled)
        self.judge()

    def waiting(self, now: float) -> tuple[str, str]:
        """Return why nothing runs or nothing succeeds, as (reason, sentence); empty when something does."""
        for outage in (self.ledger_outage, self.outage, self._listing_outage):
            if outage:
                return outage.waiting()
        is_idle = self.verdict is None and not self.leases.counts[State.LEASED]
        return self.agents.waiting(now) if is_idle else ("", "")

    # --- the verdict -----------------------------------------------------------------------------------------------

    def ended(self) -> int:
        """Return how many mini-batches are done or failed permanently."""
        return self.leases.counts[State.DONE] + self.leases.counts[State.FAILED]

    def judge(self) -> None:
        """End the run if a threshold is crossed or everything is processed."""
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
            if verdict is not None:
                self.decide(verdict)

    def decide(self, verdict: Verdict) -> None:
        """End the run; the first verdict stands."""
        if self.verdict is None:
            self.verdict = verdict

    # --- inside ----------------------------------------------------------------------------------------------------

    def _processes(self, agent: str, processes: list[dict[str, Any]], now: float) -> None:
        self.agents.set_processes(agent, processes)
        if self.agents.is_ready(agent):
            self._init_failures.ready(self.agents.worker(agent))
        if not self._was_ready and self.agents.ready():
            self._was_ready = self.accounts.ever_ready = True
            self.accounts.began(self.ended(), now)
        if agent in self._unprepared and all(each["state"] != BRINGING for each in processes):
            self._unprepared.discard(agent)  # all is fetched
            self.outage.ended()

    def _time_since_tick(self, now: float) -> float:
        """Return the seconds that count since the last tick; an absence of this process is left out of all times."""
        passed = now - self._ticked
        self._ticked = now
        if passed <= _LONGEST_TICK:
            return passed
        self.leases.postpone(passed - _LONGEST_TICK)
        self.agents.postpone(passed - _LONGEST_TICK)
        return _LONGEST_TICK

    def _count(self, passed: float, now: float, *, listed: int) -> None:
        clocks, counts, is_ready, brings = (
            self._clocks,
            self.leases.counts,
            self.agents.ready(),
            self.agents.brings(now),
        )
        if not is_ready or not len(self.leases):
            self._was_ready = False
        is_outage = self.ledger_outage or self.outage.is_waited_out()
        outstanding = counts[State.WAITING] + counts[State.LEASED] - self.leases.paused(now)
        can_progress = is_ready and outstanding and not self.draining and not is_outage
        clocks.progress = clocks.progress + passed if can_progress else 0.0
        is_unready = self.agents.count() and not is_ready and not brings and not self.draining
        clocks.unready = clocks.unready + passed if is_unready else 0.0
        has_no_limit = self.job.timeouts.first_task_creation is None
        is_cut = len(self.leases) or self.plan.complete or (has_no_limit and listed != self._listed)
        clocks.uncut = 0.0 if is_cut else clocks.uncut + passed
        self._listed = listed
        self.ledger_outage.passed(passed)
        if is_ready or brings:
            self.outage.passed(passed)

    def _forget(self, agent: str) -> None:
        self._gates.open(agent)
        self._unprepared.discard(agent)

    def _defer(self, agent: str, deferral: Deferral, now: float) -> None:
        if deferral.mini_batch >= 0:
            paused_at = now if deferral.origin == INPUT else None
            outcome = self.leases.defer(agent, deferral.mini_batch, deferral.attempt, paused_at=paused_at)
            if outcome is Outcome.REFUSED:
                return
        self._clocks.progress = 0.0
        self._gates.failed(agent, now)
        self.outage.failed(deferral.origin, deferral.message)
        self._has_deferred = True

    def _complete(self, agent: str, worker: str, body: dict[str, Any], now: float) -> None:
        complete, completed, errors = self.leases.complete, self.accounts.completed, self.accounts.errors
        accepted, places = [], []
        for place, raw in enumerate(body["completed"]):
            items, succeeded = raw[5], raw[4]
            if succeeded < items and self._short_return_fails:
                failure = failure_of(Completion(*raw))
                message = f"{failure.message}, and failed mini-batches are counted"
                self._fail(agent, worker, failure._replace(message=message), now)
            elif complete(agent, raw[0], raw[1]) is Outcome.ACCEPTED:
                completed(items=items, succeeded=succeeded)
                if succeeded != items:
                    errors.uneven(worker, raw[0], items=items, succeeded=succeeded)
                accepted.append(raw)
                places.append(place)
        if accepted:
            self._clocks.progress = 0.0
            self._gates.open(agent)
            self.outage.ended()
            digests = body.get("digests", "")
            if len(accepted) < len(body["completed"]):
                digests = select_digests(digests, places)
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
        if failure.category == errors.SYSTEM:  # whoever reports it so: it never costs a try
            self._defer(agent, Deferral(failure.mini_batch, failure.attempt, STORE, failure.message), now)
            return
        outcome = self.leases.fail(agent, failure.mini_batch, failure.attempt)
        if outcome is Outcome.REFUSED:
            return
        self._clocks.progress = 0.0  # a try was used up, and their number is limited
        terminal = outcome is Outcome.EXHAUSTED
        if failure.items < 0:
            failure = failure._replace(items=self.plan.items(failure.mini_batch))
        self.accounts.errors.failed(worker, failure, terminal=terminal)
        self._ledger.append({"tried": {"worker": worker, "terminal": terminal, "failure": failure}})
        if terminal:
            self.accounts.gave_up(failure.items)

    def _lost(self, failed: list[int], worker: str) -> None:
        """Mini-batches whose loss, once too often, was their last try."""
        for mini_batch in failed:
            failure = Failure(
                mini_batch,
                0,
                self.plan.items(mini_batch),
                -1,
                errors.PROCESS_DIED,
                f"lost with its worker {self.leases.losses(mini_batch)} times: it may be what ends workers",
                "",
                0.0,
                0.0,
                "",
            )
            self.accounts.errors.failed(worker, failure, terminal=True)
            self.accounts.gave_up(failure.items)
            self._ledger.append({"tried": {"worker": worker, "terminal": True, "failure": failure}})

    def _init_failed(self, worker: str, failure: Failure) -> None:
        if not self._init_failures.add(worker, failure):
            return
        self.accounts.init_failures += 1
        self.accounts.errors.failed(worker, failure, terminal=False)
        self._ledger.append({"tried": {"worker": worker, "terminal": False, "failure": failure}})
        self._judge_workers()

    def _judge_workers(self) -> None:
        connected = self.agents.workers().values()
        verdict = self._init_failures.verdict(connected, unready=self._clocks.unready)
        if verdict is not None:
            self.decide(verdict)
        if self.agents.ready():
            for worker in self._init_failures.to_replace():
                self.agents.drain(worker)
