"""The pod that reads sources and inputs before a run begins: created, reported, replaced, deleted.

The name of the pod contains the digest of its survey. So an operator finds the current result after any restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from longshore_operator.common.actions import Action, Create, Delete, Ensure
from longshore_operator.common.pods import is_overdue, observed_pod
from longshore_operator.common.values import Blocked, Pod
from longshore_operator.manifests import names
from longshore_operator.manifests.subject import Subject
from longshore_operator.manifests.survey import survey_map, survey_pod
from longshore_operator.settings import Settings
from longshore_planner.pipelines.survey import Survey, describe, is_result_of
from longshore_protocol.survey import SurveyResult

READING = "ReadingSources"

_PAUSE = timedelta(seconds=10)  # between pods that end without a word: the next one may fare no better
_REPORTED = (0, 1)  # exit codes of the survey itself, whose termination message is then its report


def pod_of_survey(raw: Mapping[str, Any]) -> Pod:
    """Return what there is to know of a survey's pod."""
    codes = [
        each.get("state", {}).get("terminated", {}).get("exitCode")
        for each in raw.get("status", {}).get("containerStatuses", [])
    ]
    pod = observed_pod(raw, index=None)
    return pod if all(each in _REPORTED for each in codes) else replace(pod, last_words="")


def outcome(survey: Survey, run: str, pods: Iterable[Pod]) -> SurveyResult | str | None:
    """Return the result of a run's survey, or the sentence with which it failed; None while it runs."""
    pod = _named(pods, names.survey(run, survey.digest))
    if pod is None or not pod.is_finished:
        return None
    try:
        found = SurveyResult.unpack(pod.last_words)
    except ValueError:
        return pod.last_words.strip() or None if pod.phase == "Failed" else None
    return found if is_result_of(survey, found) else None


def waits_for(survey: Survey, run: str, pods: Iterable[Pod]) -> Blocked:
    """Return why a run does not begin yet."""
    name = names.survey(run, survey.digest)
    pod = _named(pods, name)
    if pod is not None and pod.blocked is not None:
        return pod.blocked
    if pod is not None and pod.is_finished:
        why = " ".join(filter(None, [pod.reason, pod.message])) or "no reason reported"
        return Blocked(READING, f"pod {name} exited without a result ({why}); starting a new one")
    return Blocked(READING, f"pod {name} {describe(survey)}, before anything is started")


def surveying(
    survey: Survey, run: Subject, pods: Sequence[Pod], settings: Settings, *, now: datetime
) -> Iterator[Action]:
    """Yield what keeps the survey's pod running, and deletes those of other surveys: they copy to the same places."""
    name = names.survey(run.name, survey.digest)
    for each in pods:
        if each.name != name or each.leaving or (each.is_finished and now >= each.created + _PAUSE):
            yield from cleared([each], now=now)
    if not pods:
        yield Ensure(survey_map(run, survey))
        yield Create(survey_pod(run, survey, settings))


def cleared(pods: Iterable[Pod], *, now: datetime) -> Iterator[Action]:
    """Yield what deletes pods."""
    for each in pods:
        if not each.leaving:
            yield Delete("Pod", each.name, each.uid)
        elif is_overdue(each, now=now):
            yield Delete("Pod", each.name, each.uid, at_once=True)


def _named(pods: Iterable[Pod], name: str) -> Pod | None:
    return next((each for each in pods if each.name == name), None)
