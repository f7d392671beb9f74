"""The status of a run: its conditions, columns and sentence, and the way back to records."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pipelines import frozen, script

from longshore_api import PipelineRunStatus
from longshore_planner.pipelines.decide import decide
from longshore_planner.pipelines.frozen import Options
from longshore_planner.pipelines.history import History
from longshore_planner.pipelines.records import Origin, Record
from longshore_planner.pipelines.status import Detail, earlier_steps, pipeline_status, records_of

NAMES = ("aaa", "bbb", "ccc", "ddd", "eee")
PIPELINE = frozen(*map(script, NAMES), parameters=[{"name": "share", "type": "number", "default": 0.5}])
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
AT = BEGAN.timestamp()
ORIGIN = Origin("run-0", "ccc", "/runs/run-0")


def record(name, state, **more):
    return Record(name, state=state, started=AT, parts=PIPELINE.step(name).parts, **more)


RECORDS = {
    "aaa": record("aaa", "Succeeded", ended=AT + 9, attempts=2, outputs={"out": "/a"}, metrics={"accuracy": 0.9}),
    "bbb": record("bbb", "Failed", ended=AT + 5, attempts=1, reason="ScriptFailed", message="ValueError: no"),
    "ccc": record("ccc", "Succeeded", reason="Reused", reused_from=ORIGIN, outputs={"out": "/c"}, ended=AT),
    "ddd": record("ddd", "Running", attempts=1, not_reused="code changed: ddd.py"),
    "eee": record("eee", "Running", attempts=1),
}


def status(records, *, previous=None, now=BEGAN, details=None, **options):
    decision = decide(PIPELINE, records, history=History(), options=Options(**options), now=now.timestamp())
    return pipeline_status(PIPELINE, decision, started=BEGAN, now=now, previous=previous, details=details or {})


def ending(**states):
    return {name: replace(each, state=states.get(name, each.state), ended=AT + 20) for name, each in RECORDS.items()}


def truths(found):
    return {each.type: (each.status, each.reason) for each in found.conditions}


def test_a_run_that_goes_on_states_how_far_it_is():
    found = status(RECORDS)
    assert truths(found) == {
        "Succeeded": ("Unknown", "Running"),
        "Ready": ("False", "Running"),
        "Stalled": ("False", "Running"),
        "Finished": ("False", "Running"),
    }
    assert found.condition("Succeeded").message == "Steps completed: 3 (failed 1, reused 1), running: ddd and eee"
    assert (found.columns.steps, found.columns.current) == ("2/5", "ddd, eee")
    assert found.completion_time is None
    assert found.parameters == {"share": 0.5}


@pytest.mark.parametrize(
    ("states", "reason", "message"),
    [
        (
            {"ddd": "Succeeded", "eee": "Succeeded"},
            "StepFailed",
            "Steps completed: 5 (failed 1, reused 1). bbb failed: ValueError: no",
        ),
        (dict.fromkeys(NAMES, "Succeeded"), "Succeeded", "Steps completed: 5 (reused 1)"),
        ({"ddd": "Cancelled", "eee": "Cancelled"}, "Cancelled", None),
    ],
)
def test_a_run_that_ended_states_how(states, reason, message):
    found = status(ending(**states))
    good = reason == "Succeeded"
    assert truths(found) == {
        "Succeeded": (str(good), reason),
        "Ready": (str(good), reason),
        "Stalled": (str(not good), reason),
        "Finished": ("True", reason),
    }
    assert message is None or found.condition("Succeeded").message == message
    assert found.completion_time == BEGAN


@pytest.mark.parametrize(
    ("stalled", "expected"),
    [((), ("False", "Running")), (("ddd",), ("False", "Running")), (("ddd", "eee"), ("True", "StepStalled"))],
)
def test_a_run_is_stalled_when_no_step_goes_on(stalled, expected):
    details = {name: Detail("", waits="refused", is_stalled=name in stalled) for name in ("ddd", "eee")}
    assert truths(status(RECORDS, details=details))["Stalled"] == expected
    ended = status(ending(**dict.fromkeys(NAMES, "Succeeded")), details=details)
    assert truths(ended)["Stalled"] == ("False", "Succeeded")


WITH_FAILURES = "SucceededWithFailures"


@pytest.mark.parametrize(
    ("reasons", "message"),
    [
        ({"bbb": WITH_FAILURES}, "bbb succeeded with too many failed items: 2 of 8 items failed"),
        ({"ccc": "ReusedWithFailures"}, "ccc succeeded with too many failed items: 2 of 8 items failed"),
        (
            {"bbb": WITH_FAILURES, "ddd": WITH_FAILURES, "eee": WITH_FAILURES},
            "bbb succeeded with too many failed items: 2 of 8 items failed; so did ddd and eee",
        ),
    ],
)
def test_a_run_with_a_step_with_failed_items_has_succeeded_and_reports_it(reasons, message):
    records = ending(**dict.fromkeys(NAMES, "Succeeded"))
    for name, reason in reasons.items():
        records[name] = replace(records[name], reason=reason, message="2 of 8 items failed")
    found = status(records)
    assert truths(found) == {
        "Succeeded": ("True", WITH_FAILURES),
        "Ready": ("True", WITH_FAILURES),
        "Stalled": ("False", WITH_FAILURES),
        "Finished": ("True", WITH_FAILURES),
    }
    assert found.condition("Succeeded").message == f"Steps completed: 5 (reused 1). {message}"
    assert records_of(PipelineRunStatus.model_validate_json(found.to_json())) == records


def test_a_run_that_reuses_a_step_with_failed_items_reports_them():
    records = ending(**dict.fromkeys(NAMES, "Succeeded"))
    records["aaa"] = replace(records["aaa"], reason=WITH_FAILURES, message="2 of 8 items failed")
    found = {each.origin.step: each.failures for each in earlier_steps(status(records))}
    assert (found["aaa"], found["bbb"]) == ("2 of 8 items failed", "")


def test_a_suspended_run_has_neither_succeeded_nor_failed():
    waiting = {name: Record(name) for name in NAMES}
    assert truths(status(waiting, suspend=True))["Succeeded"] == ("Unknown", "Suspended")


def test_conditions_and_the_end_keep_their_time_while_they_are_the_same():
    later = BEGAN.replace(hour=5)
    over = status(ending(ddd="Succeeded", eee="Succeeded"))
    again = status(ending(ddd="Succeeded", eee="Succeeded"), previous=over, now=later)
    assert again == over


def test_a_status_is_read_back_as_the_records_that_it_was_made_of():
    found = PipelineRunStatus.model_validate_json(status(RECORDS).to_json())
    assert records_of(found) == RECORDS


def test_the_steps_that_others_may_reuse_are_those_that_succeeded_themselves():
    found = list(earlier_steps(status(RECORDS)))
    assert [each.origin for each in found] == [Origin("run-1", "aaa", "/runs/run-1")]
    assert found[0].outputs == {"out": "/a"}
    assert found[0].parts == PIPELINE.step("aaa").parts
