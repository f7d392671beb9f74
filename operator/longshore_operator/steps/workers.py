"""Which of a step's pods are created, deleted, or drained."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from longshore_operator.common.actions import Action, Create, Delete, Drain, Occupy, ReportGone
from longshore_operator.common.pods import is_overdue, was_just_rejected
from longshore_operator.common.pool import Holder
from longshore_operator.manifests import names, pods
from longshore_operator.settings import Settings
from longshore_operator.steps.observed import ObservedStep
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_protocol.snapshot import ASSEMBLING, DRAINING, ENDED, Snapshot


def coordinator(seen: ObservedStep, run: ClusterRun, settings: Settings, *, now: datetime) -> Iterator[Action]:
    """Yield what keeps one coordinator running. Two at a time are safe: only the later one can commit."""
    found = seen.coordinator
    if found is None:
        yield Create(pods.coordinator_pod(run, settings))
    elif found.is_finished:  # evicted, or ended without a verdict
        yield Delete("Pod", found.name, found.uid)
    elif is_overdue(found, now=now):
        yield Delete("Pod", found.name, found.uid, at_once=True)


def workers(
    seen: ObservedStep, run: ClusterRun, settings: Settings, *, is_prepared: bool, now: datetime
) -> Iterator[Action]:
    """Yield what keeps as many workers running as there is work and room for; a busy one is never stopped.

    Without `is_prepared`, the packages of workers are being installed, and none is created.
    """
    answers = isinstance(seen.progress, Snapshot)
    there = seen.workers
    for each in there:
        if is_overdue(each, now=now):
            yield Delete("Pod", each.name, each.uid, at_once=True)
        elif each.lacks_environment and not each.leaving:
            yield Delete("Pod", each.name, each.uid)
        elif each.phase == "Succeeded" and not answers:
            continue  # all work may be done, which its coordinator will report
        elif each.is_finished and not was_just_rejected(each, now=now):
            if answers:  # before there is a new one, which would be taken for dead
                yield from _report_gone(seen, each.name)
            yield Delete("Pod", each.name, each.uid)
    wanted = wanted_workers(seen, run)
    if len(there) < wanted and is_prepared:
        yield from _more(seen, run, settings, missing=min(wanted, allowed(seen, run)) - len(there))
    elif len(there) >= wanted and isinstance(seen.progress, Snapshot):
        staying = [each.name for each in there if not each.leaving and not each.is_finished]
        idle = [each for each in seen.progress.idle_workers if each in staying]
        if seen.endpoint is not None:
            yield from (Drain(each, seen.endpoint) for each in idle[: max(0, len(staying) - wanted)])


def wanted_workers(seen: ObservedStep, run: ClusterRun) -> int:
    """Return how many workers the step can use: never more than mini-batches are left."""
    last = seen.progress
    if not isinstance(last, Snapshot):
        return run.job.workers  # they start with the coordinator
    if last.reason or last.state in (DRAINING, ASSEMBLING, *ENDED):
        return 0  # a reason is that of a verdict: a run that has failed still writes its reports
    counts = last.mini_batches
    if counts.total is None:
        return run.job.workers
    # Without a verdict, a run needs a worker though no mini-batch is left: for shutdown().
    return min(run.job.workers, max(1, counts.total - counts.succeeded - counts.failed))


def allowed(seen: ObservedStep, run: ClusterRun) -> int:
    """Return how many workers the step may have."""
    return run.job.workers if seen.pool is None else seen.pool.allowed(Holder(run.step))


def _report_gone(seen: ObservedStep, *workers: str) -> Iterator[Action]:
    if seen.endpoint is not None:
        for each in workers:
            yield ReportGone(each, seen.endpoint)


def _more(seen: ObservedStep, run: ClusterRun, settings: Settings, *, missing: int) -> Iterator[Action]:
    taken = {each.index for each in seen.workers}
    free = [index for index in range(run.job.workers) if index not in taken][: max(0, missing)]
    if isinstance(seen.progress, Snapshot):
        yield from _report_gone(seen, *(names.worker(run.step, index) for index in free))
    made = tuple(pods.worker_pod(run, settings, index) for index in free)
    if seen.pool is None:
        yield from map(Create, made)
    elif made and seen.pool.max_nodes is not None:
        yield Occupy(seen.pool.compute, seen.pool.max_nodes, made)
