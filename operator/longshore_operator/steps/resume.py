"""Which run a step with resumeFrom continues, and when it may. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from longshore_api.errors import InvalidDocuments, Problem
from longshore_operator.common.continuations import Continuation, rival
from longshore_operator.common.reasons import WAITING_FOR_STEP
from longshore_operator.common.values import Blocked
from longshore_operator.manifests import names
from longshore_planner.cluster.step_runs import ClusterRun
from longshore_planner.pod_locations import user_location

FIELD = "spec.resumeFrom"


@dataclass(frozen=True)
class EarlierStep:
    """The step that resumeFrom names."""

    name: str
    is_finished: bool
    run: ClusterRun | None = None  # as it was frozen; None: it never began


def run_to_resume(
    step: str, resumed: str, earlier: EarlierStep | None, everyone: Collection[Continuation], *, where: str
) -> ClusterRun | Blocked:
    """Return the run that a step continues, or what it waits for; `earlier` is None where there is no other such step.

    Raises InvalidDocuments when there is nothing to continue.
    """
    if earlier is None:
        missing = "" if resumed == step else names.STEP_KIND
        raise _wrong(where, f"is {resumed!r}: there is no other ParallelRunStep of that name", missing=missing)
    if not earlier.is_finished:
        return Blocked(WAITING_FOR_STEP, f"waiting for {resumed} to end, whose run this step resumes")
    if earlier.run is None:
        raise _wrong(where, f"is {resumed!r}, which never began: there is nothing to resume")
    if before := rival(everyone, resumed, earlier.run.job.run_id, asking=step):
        return Blocked(WAITING_FOR_STEP, f"waiting for {before} to end, which resumes the same run")
    return earlier.run


def check_same_folder(run: ClusterRun, earlier: ClusterRun, resumed: str, *, where: str) -> None:
    """Raise InvalidDocuments unless both runs have the same folder."""
    if earlier.job.run_uri != run.job.run_uri:
        raise _wrong(where, f"is {resumed!r}, whose run is in another Datastore: {user_location(earlier.job.run_uri)}")


def _wrong(where: str, rule: str, *, missing: str = "") -> InvalidDocuments:
    return InvalidDocuments([Problem(where, FIELD, rule, missing)])
