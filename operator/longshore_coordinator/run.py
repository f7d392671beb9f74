"""The state of one run and what agents' calls do to it: no I/O, no event loop, time passed in.

`service` drives it; the ledger records it appends are flushed there.
"""

from __future__ import annotations

import math
from typing import Any

from longshore_coordinator import verdict as verdicts
from longshore_coordinator.accounts import Accounts
from longshore_coordinator.agents import Agents
from longshore_coordinator.leases import LeaseStore, Outcome, State
from longshore_coordinator.ledger import Ledger
from longshore_coordinator.plan import Plan
from longshore_coordinator.restore import Restored
from longshore_coordinator.verdict import Tally, Verdict
from longshore_protocol import errors
from longshore_protocol.job import Job
from longshore_protocol.segments import select_digests
from longshore_protocol.wire import Completion, Failure, lease_term


class Run:
    """One run of one job under one coordinator."""

    def __init__(self, job: Job, *, ledger: Ledger, restored: Restored, now: float) -> None:
        self.job = job
        self.leases = LeaseStore(
            max_tries=job.max_tries,
            term=lease_term(job.timeouts),
        )
        self.plan = Plan()
        self.accounts = Accounts()
        self.agents = Agents(wanted=job.workers)
        self.verdict: Verdict | None = None
        self.draining = False
        self.first_lease: float | None = None  # monotonic
        self.last_end: float | None = None  # monotonic: a mini-batch was done or failed for good
        self._ledger = ledger
        self._restored = restored
        self._began = now
        self._ready_since: float | None = None  # monotonic: some process has been past init() since
        self._unready_since: float | None = None  # monotonic: workers are connected, and no process is ready, since
        self._init_failures: set[tuple[str, int, float]] = set()
        self._short_return_fails = verdicts.short_return_fails(job)

    # --- the plan --------------------------------------------------------------------------------------------------

    def add(self, slices: list[Any]) -> None:
        """More mini-batches were cut (`enumerate.Slice`): add them, with what the ledger knows of them."""
        first = len(self.leases)
        self.plan.add(slices)
        self.leases.add(len(slices))
        self._restored.apply(range(first, first + len(slices)), self.leases, self.accounts, self.plan)

    def listed(self) -> None:
        """The inputs are listed to their end."""
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
            self._lost(self.leases.lose(agent), worker)

    def bye(self, agent: str) -> None:
        """An agent ended in an orderly way: what was still on its way to it waits again."""
        self.agents.bye(agent)
        self.leases.release(agent)

    def idle_workers(self) -> list[str]:
        """Return the sorted names of the workers that could go at once: they hold nothing, and nothing waits.

        None before the inputs are listed to their end, nor after the verdict, when all go anyway.
        """
        if self.verdict is not None or not self.plan.complete or self.leases.waiting():
            return []
        return sorted(worker for agent, worker in self.agents.workers().items() if not self.leases.held(agent))

    def grant(self, agent: str, want: int, now: float) -> list[tuple[int, int]]:
        """Lease up to `want` mini-batches to an agent, leaving other agents their part; [] when none waits.

        An agent gets at most half of an even share of what waits (guided self-scheduling), at least one.
        """
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
        if body["completed"]:
            self._complete(agent, worker, body, now)
        for raw in body["failed"]:
            self._fail(agent, worker, Failure(*raw), now)
        for mini_batch, attempt in body["returned"]:
            self.leases.give_back(agent, mini_batch, attempt)
        lost = self.leases.renew(agent, ((held[0], held[1]) for held in body["held"]), now)
        for raw in body["init_failed"]:
            self._init_failed(worker, Failure(*raw))
        self.judge()
        return lost

    def tick(self, now: float) -> None:
        """Take back what expired, measure the pace, and see whether the run has stalled."""
        self._lost(self.leases.expire(now), "")
        self.accounts.mark(self.ended(), now)
        if not self.agents.ready() or not len(self.leases):
            self._ready_since = None  # nothing can finish: this time counts as no lack of progress
        since = None
        if self._ready_since is not None and not self.draining:
            since = now - max(self._ready_since, self.last_end or 0.0)
        waited = now - self._began if not len(self.leases) and not self.plan.complete else None
        if self.agents.ready() or not self.agents.count() or self.draining or self.agents.brings(now):
            self._unready_since = None
        elif self._unready_since is None:
            self._unready_since = now
        connected = None if self._unready_since is None else now - self._unready_since
        stalled = verdicts.stalled(self.job, waited_for_first=waited, since_progress=since, since_connected=connected)
        if stalled is not None:
            self.decide(stalled)
        self.judge()

    # --- the verdict -----------------------------------------------------------------------------------------------

    def ended(self) -> int:
        """Return how many mini-batches are done or failed for good."""
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
                items_succeeded=self.accounts.items_succeeded,
                items_failed=self.accounts.items_failed,
            )
            verdict = verdicts.threshold_crossed(self.job, tally) or verdicts.all_processed(self.job, tally)
            if verdict is not None:
                self.decide(verdict)

    def decide(self, verdict: Verdict) -> None:
        """End the run; the first verdict stands."""
        if self.verdict is None:
            self.verdict = verdict

    # --- inside ----------------------------------------------------------------------------------------------------

    def _processes(self, agent: str, processes: list[dict[str, Any]], now: float) -> None:
        self.agents.set_processes(agent, processes)
        if self._ready_since is None and self.agents.ready():
            self._ready_since = now
            self.accounts.ever_ready = True
            self.accounts.began(self.ended(), now)

    def _complete(self, agent: str, worker: str, body: dict[str, Any], now: float) -> None:
        complete, completed = self.leases.complete, self.accounts.completed
        accepted, places = [], []
        for place, raw in enumerate(body["completed"]):
            items, succeeded = raw[5], raw[4]
            if succeeded < items and self._short_return_fails:
                self._fail(agent, worker, _short_return(Completion(*raw)), now)
            elif complete(agent, raw[0], raw[1]) is Outcome.ACCEPTED:
                completed(items=items, succeeded=succeeded)
                accepted.append(raw)
                places.append(place)
        if accepted:
            self.last_end = now
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
        outcome = self.leases.fail(agent, failure.mini_batch, failure.attempt)
        if outcome is Outcome.REFUSED:
            return
        terminal = outcome is Outcome.EXHAUSTED
        if failure.items < 0:
            failure = failure._replace(items=self.plan.items(failure.mini_batch))
        self.accounts.saw_error(worker, failure)
        self._ledger.append({"tried": {"worker": worker, "terminal": terminal, "failure": failure}})
        if terminal:
            self.last_end = now
            self.accounts.gave_up(failure.items)

    def _lost(self, failed: list[int], worker: str) -> None:
        """Mini-batches whose loss, once too often, was their last try."""
        for mini_batch in failed:
            failure = Failure(
                mini_batch,
                0,
                self.plan.items(mini_batch),
                -1,
                errors.SYSTEM,
                f"lost with its worker {self.leases.losses(mini_batch)} times: it may be what ends workers",
                "",
                0.0,
                0.0,
                "",
            )
            self.accounts.saw_error(worker, failure)
            self.accounts.gave_up(failure.items)
            self._ledger.append({"tried": {"worker": worker, "terminal": True, "failure": failure}})

    def _init_failed(self, worker: str, failure: Failure) -> None:
        if (worker, failure.process, failure.started) in self._init_failures:
            return  # a report that is repeated, because its answer was lost
        self._init_failures.add((worker, failure.process, failure.started))
        self.accounts.init_failures += 1
        self.accounts.saw_error(worker, failure)
        self._ledger.append({"tried": {"worker": worker, "terminal": False, "failure": failure}})
        if not self.accounts.ever_ready and self.accounts.init_failures >= verdicts.init_limit(self.job):
            count = self.accounts.init_failures
            self.decide(
                Verdict(
                    verdicts.INIT_FAILED, f"{count} processes failed before run(), none came through: {failure.message}"
                )
            )


def _short_return(done: Completion) -> Failure:
    message = f"run() returned {done.succeeded} results for {done.items} items, and failed mini-batches are counted"
    return Failure(
        done.mini_batch,
        done.attempt,
        done.items,
        done.process,
        errors.WRONG_RETURN,
        message,
        "",
        done.started,
        done.elapsed,
        "",
    )
