"""The next steps of a ParallelRunStep, from all that is known of it.

settled?  ->  clean up, nothing else
no run?   ->  resolve; what is wrong ends it, with nothing started
a run     ->  what it needs, coordinator and workers together; replace what is gone; say how far it is
verdict   ->  the last status, then clean up
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from longshore_api.status import ParallelRunStepStatus
from longshore_operator.build import names, objects, pods
from longshore_operator.plan import statuses
from longshore_operator.plan.actions import Action, Apply, Create, Delete, Issue, Plan, TellGone
from longshore_operator.plan.observed import Observed, Pod
from longshore_operator.settings import Settings
from longshore_planner.cluster import ClusterRun
from longshore_protocol.snapshot import ASSEMBLING, DRAINING, ENDED, Snapshot

POLL = 2.0  # seconds between looks at a run; its status is written no more often
_SOON = 1.0
_GRACE = timedelta(seconds=10)  # for what a step refers to: applied together, it may come a moment later
_NO_VERDICT = ("Interrupted", "Superseded")  # another coordinator goes on


def decide(seen: Observed, settings: Settings, *, now: datetime) -> Plan:
    """Return what to do next."""
    if _is_settled(seen):
        return Plan(tuple(_clean_up(seen)))
    if seen.foreign:
        message = f"{seen.foreign} belongs to somebody else: waiting until it is gone"
        return _not_begun(seen, "NameTaken", message, final=False, now=now)
    run = seen.run or seen.resolved
    if not isinstance(run, ClusterRun):
        final = now - seen.step.created >= _GRACE
        return _not_begun(seen, statuses.INVALID, statuses.sentence(run or ()), final=final, now=now)
    verdict = _verdict(seen)
    if verdict is not None:
        return _with_status(seen, (), statuses.from_snapshot(seen, run, verdict, now=now), look_again=0.0)
    actions = (*_foundations(seen, run), *_coordinator(seen, run, settings), *_workers(seen, run, settings))
    if isinstance(seen.progress, Snapshot) and seen.progress.state not in ENDED:
        status = statuses.from_snapshot(seen, run, seen.progress, now=now)
    else:
        status = statuses.before_snapshot(seen, run, now=now)
    return _with_status(seen, actions, status, look_again=POLL if isinstance(seen.progress, Snapshot) else _SOON)


def _is_settled(seen: Observed) -> bool:
    """Tell whether the step has ended. One of which nothing was started may begin when its spec is changed."""
    status = seen.step.status
    finished = status.condition("Finished") if status else None
    if status is None or finished is None or finished.status != "True":
        return False
    return status.run_id is not None or status.observed_generation == seen.step.generation


def _not_begun(seen: Observed, reason: str, message: str, *, final: bool, now: datetime) -> Plan:
    status = statuses.not_begun(seen.step, reason=reason, message=message, final=final, now=now)
    return _with_status(seen, (), status, look_again=None if final else _SOON)


def _with_status(
    seen: Observed, actions: tuple[Action, ...], status: ParallelRunStepStatus, *, look_again: float | None
) -> Plan:
    return Plan(actions, status, statuses.milestones(seen.step.status, status), look_again)


def _clean_up(seen: Observed) -> Iterator[Action]:
    """Delete what costs or grants something. The run written down and the coordinator's ended pod stay, as records."""
    for each in seen.pods:
        if not each.leaving and (each.index is not None or each.phase not in ("Succeeded", "Running")):
            yield Delete("Pod", each.name, each.uid)
    for kind, uid in seen.objects.items():
        name = names.coordinator(seen.step.name) if kind == "Service" else names.run_objects(seen.step.name)
        yield Delete(kind, name, uid)


def _verdict(seen: Observed) -> Snapshot | None:
    """Return the last snapshot of a run that is over: as asked for, or as its coordinator left it behind."""
    last = seen.progress
    coordinator = seen.coordinator
    if not isinstance(last, Snapshot) and coordinator is not None and coordinator.phase == "Succeeded":
        try:
            last = Snapshot.from_json(coordinator.last_words)
        except (ValueError, KeyError, TypeError):
            return None
    if isinstance(last, Snapshot) and last.state in ENDED and last.reason not in _NO_VERDICT:
        return last
    return None


def _foundations(seen: Observed, run: ClusterRun) -> Iterator[Action]:
    if seen.run is None:
        yield Create(objects.config_map(run))  # first of all: from now on the run is settled
    if "Secret" not in seen.objects:
        yield Issue(run)
    if "Service" not in seen.objects:
        yield Apply(objects.service(run))
    if "NetworkPolicy" not in seen.objects:
        yield Apply(objects.network_policy(run))


def _coordinator(seen: Observed, run: ClusterRun, settings: Settings) -> Iterator[Action]:
    found = seen.coordinator
    if found is None:
        yield Create(pods.coordinator_pod(run, settings))
    elif _is_over(found):  # evicted, or ended without a verdict
        yield Delete("Pod", found.name, found.uid)


def _workers(seen: Observed, run: ClusterRun, settings: Settings) -> Iterator[Action]:
    answers = isinstance(seen.progress, Snapshot)
    for index in range(_wanted(seen, run)):
        found = seen.worker(index)
        if found is not None and (found.leaving or not _is_over(found)):
            continue
        if found is not None and found.phase == "Succeeded" and not answers:
            continue  # it may have ended because all is done: its coordinator will say
        if answers:  # before there is a new one, which would be taken for dead
            yield TellGone(names.worker(run.step, index))
        if found is None:
            yield Create(pods.worker_pod(run, settings, index))
        else:
            yield Delete("Pod", found.name, found.uid)


def _is_over(pod: Pod) -> bool:
    return pod.phase in ("Succeeded", "Failed") and not pod.leaving


def _wanted(seen: Observed, run: ClusterRun) -> int:
    """Return how many workers there should be: never more than mini-batches are left."""
    last = seen.progress
    if not isinstance(last, Snapshot):
        return run.job.workers  # they start with the coordinator
    if last.state in (DRAINING, ASSEMBLING, *ENDED):
        return 0
    counts = last.mini_batches
    if counts.total is None:
        return run.job.workers
    return min(run.job.workers, counts.total - counts.succeeded - counts.failed)
