"""A run of some mini-batches, its clock, and the calls of its agents."""

import json
from dataclasses import replace

import jobs

from longshore_coordinator.enumerate import Slice
from longshore_coordinator.leases import State
from longshore_coordinator.ledger import Ledger
from longshore_coordinator.restore import restore
from longshore_coordinator.run import Run
from longshore_coordinator.verdict import counts_empty_returns
from longshore_protocol import errors, wire
from longshore_protocol.job import APPEND_ROW, Timeouts
from longshore_protocol.wire import Completion, Failure

JOB = jobs.job(
    size=2,
    action=APPEND_ROW,
    max_tries=2,
    timeouts=Timeouts(run_invocation=6, task_overhead=4, progress_update=1000),
)
TERM = 10.0
ITEMS = 2
READY = [{"process": "process000", "state": "ready", "mini_batch": None, "seconds": 0.0}]
STARTING = [{"process": "process000", "state": "starting", "mini_batch": None, "seconds": 0.0}]


class Bench:
    """A run of some mini-batches of two files, and its clock."""

    def __init__(self, store, *, mini_batches=4, listed=True, resumed_by_user=None, **changes):
        self.now = 0.0
        self.ledger = Ledger.claim(store, {})
        job = replace(JOB, **changes)
        counts_empty = counts_empty_returns(job)
        restored = restore(self.ledger, resumed_by_user=bool(resumed_by_user), counts_empty=counts_empty)
        self.run = Run(job, ledger=self.ledger, restored=restored, now=self.now)
        for number in range(mini_batches):  # in lots of one: what is restored is laid over each lot
            self.run.add([Slice(0, ITEMS, b'["/in/%d-a","/in/%d-b"]' % (number, number))])
        if listed:
            self.run.finish_listing()

    def agent(self, worker="w0", boot="1"):
        return self.run.register(worker, boot, self.now)

    def grant(self, agent, want=1):
        return self.run.grant(agent, want, self.now)

    def report(self, agent, *, processes=READY, **what):
        body = json.loads(json.dumps(wire.report(agent, self.ledger.epoch, processes=processes, **what)))
        return self.run.report(body, self.now)

    def complete(self, agent, *pairs, succeeded=ITEMS):
        return self.report(agent, segment="s", completed=[completion(*pair, succeeded=succeeded) for pair in pairs])

    def fail(self, agent, *pairs, **what):
        return self.report(agent, failed=[failure(*pair, **what) for pair in pairs])

    def tick(self, seconds, **what):
        """Let time pass, with ticks as often as a coordinator has them or nearly so."""
        for _ in range(int(seconds)):
            self.now += 1.0
            self.run.tick(self.now, **what)

    def sleep(self, seconds):
        """Let time pass in which this process is stopped."""
        self.now += seconds
        self.run.tick(self.now)

    def records(self, kind):
        self.ledger.flush()
        return [each[kind] for each in self.ledger.records() if kind in each]

    def counts(self):
        return {state.name.lower(): self.run.leases.counts[state] for state in State if self.run.leases.counts[state]}


def completion(mini_batch, attempt, *, succeeded=ITEMS):
    return Completion(mini_batch, attempt, 0, 10, succeeded, ITEMS, -1, 0, 1_000_000, 2_000, 1_000, 500)


def failure(mini_batch, attempt, *, items=ITEMS, category=errors.USER_ERROR, message="ValueError: no"):
    return Failure(mini_batch, attempt, items, 0, category, message, "Traceback", 1.0, 0.5, "log")


FULL = "cannot write /run/state/segments/w0: No space left on device"


def defer(bench, agent, *pairs, origin=wire.STORE, message=FULL, **what):
    deferred = [wire.Deferral(*pair, origin, message) for pair in pairs]
    return bench.report(agent, deferred=deferred, **what)


def limited(store, **what):
    return Bench(store, timeouts=Timeouts(first_task_creation=100, progress_update=20), **what)
