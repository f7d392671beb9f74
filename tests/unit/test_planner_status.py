"""From the coordinator's snapshot to the status."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from longshore_api.status import ParallelRunStepStatus
from longshore_planner.status import duration, step_status
from longshore_protocol.snapshot import Device, FirstError, ItemCounts, MiniBatchCounts, Snapshot, WorkerCounts

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
RUNNING = Snapshot(
    state="Running",
    run_id="r1",
    run_uri="/runs/1",
    output_uri="/runs/1/o",
    epoch=1,
    started=NOW.timestamp() - 60,
    last_progress=NOW.timestamp(),
    rate_per_minute=120.04,
    mini_batches=MiniBatchCounts(total=400, scheduled=400, running=4, succeeded=97, failed=3, retried=5),
    items=ItemCounts(total=1000, succeeded=960, failed=40),
    workers=WorkerCounts(wanted=2, ready=1),
)
FAILED = replace(
    RUNNING,
    state="Failed",
    reason="ErrorThresholdExceeded",
    message="40 items failed, errorThreshold is 10.",
    finished=NOW.timestamp(),
    first_error=FirstError("UserError", "KeyError: 'x'", worker="worker-0", mini_batch=7, traceback="…"),
)


def status(snapshot: Snapshot, previous: ParallelRunStepStatus | None = None, now: datetime = NOW):
    return step_status(snapshot, previous=previous, now=now)


def truths(snapshot: Snapshot) -> dict[str, str]:
    return {each.type: each.status for each in status(snapshot).conditions}


@pytest.mark.parametrize(
    ("state", "succeeded", "ready", "stalled", "finished"),
    [
        ("Pending", "Unknown", "False", "False", "False"),
        ("Running", "Unknown", "False", "False", "False"),
        ("Draining", "Unknown", "False", "False", "False"),
        ("Assembling", "Unknown", "False", "False", "False"),
        ("Succeeded", "True", "True", "False", "True"),
        ("Failed", "False", "False", "True", "True"),
        ("Interrupted", "False", "False", "True", "True"),
    ],
)
def test_all_conditions_are_there_from_the_first_visit(
    state: str, succeeded: str, ready: str, stalled: str, finished: str
):
    expected = {"Succeeded": succeeded, "Ready": ready, "Stalled": stalled, "Finished": finished}
    assert truths(replace(RUNNING, state=state)) == expected


def test_the_reason_of_succeeded_is_the_state_or_why_it_ended_or_why_it_waits():
    def reason(snapshot: Snapshot) -> tuple[str, str]:
        condition = status(snapshot).condition("Succeeded")
        assert condition is not None
        return condition.reason, condition.message

    assert reason(RUNNING) == ("Running", "")
    assert reason(FAILED) == ("ErrorThresholdExceeded", "40 items failed, errorThreshold is 10.")
    waiting = replace(RUNNING, state="Pending", waiting_reason="Initializing", waiting_message="init() still runs.")
    assert reason(waiting) == ("Initializing", "init() still runs.")
    assert reason(replace(waiting, state="Succeeded")) == ("Succeeded", "")
    assert reason(replace(RUNNING, state="Assembling", reason="Succeeded")) == ("Assembling", "")  # not there yet
    assert reason(replace(FAILED, state="Draining"))[0] == "ErrorThresholdExceeded"


def test_the_transition_time_moves_only_when_a_condition_changes():
    before = status(RUNNING)
    later = NOW + timedelta(minutes=5)
    after = status(FAILED, before, later)
    moved = {each.type: each.last_transition_time for each in after.conditions}
    assert moved == {"Succeeded": later, "Ready": NOW, "Stalled": later, "Finished": later}


def test_the_json_object_is_that_of_the_custom_resource():
    assert status(FAILED).to_dict() == {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": type_,
                "status": truth,
                "reason": "ErrorThresholdExceeded",
                "message": "40 items failed, errorThreshold is 10.",
                "lastTransitionTime": "2026-07-01T12:00:00Z",
                "observedGeneration": 1,
            }
            for type_, truth in (("Succeeded", "False"), ("Ready", "False"), ("Stalled", "True"), ("Finished", "True"))
        ],
        "progress": {
            "miniBatches": {"total": 400, "scheduled": 400, "running": 4, "succeeded": 97, "failed": 3, "retried": 5},
            "items": {"total": 1000, "succeeded": 960, "failed": 40},
            "workers": {"wanted": 2, "ready": 1},
            "ratePerMinute": 120.0,
            "lastProgressTime": "2026-07-01T12:00:00Z",
            "columns": {"done": "100/400", "failed": "3", "rate": "120/min", "eta": "", "workers": "1/2"},
        },
        "firstError": {
            "category": "UserError",
            "message": "KeyError: 'x'",
            "miniBatch": 7,
            "pod": "worker-0",
            "traceback": "…",
        },
        "output": {"uri": "/runs/1/o"},
        "startTime": "2026-07-01T11:59:00Z",
        "completionTime": "2026-07-01T12:00:00Z",
        "runId": "r1",
        "runUri": "/runs/1",
    }


def test_a_status_reads_back_what_it_wrote():
    before = status(FAILED)
    assert ParallelRunStepStatus.model_validate_json(before.to_json()) == before


def test_what_remains_is_reported_at_the_present_rate():
    progress = status(RUNNING).progress
    assert (progress.estimated_remaining_seconds, progress.columns.eta) == (150, "2m30s")


def test_nothing_is_foretold_while_the_inputs_are_being_listed():
    listing = replace(RUNNING, mini_batches=replace(RUNNING.mini_batches, total=None))
    progress = status(listing).progress
    assert (progress.estimated_remaining_seconds, progress.columns.eta, progress.columns.done) == (None, "", "100/?")
    assert not listing.listed


@pytest.mark.parametrize(
    ("rate", "shown"), [(None, ""), (0.0, "0/min"), (0.25, "0.2/min"), (9.96, "10/min"), (1234.5, "1234/min")]
)
def test_rates_show_fractions_only_when_low(rate: float | None, shown: str):
    assert status(replace(RUNNING, rate_per_minute=rate)).progress.columns.rate == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0s"), (59, "59s"), (60, "1m0s"), (3600, "1h0m"), (11100, "3h5m"), (187200, "2d4h")]
)
def test_durations_are_shown_in_two_units(seconds: int, shown: str):
    assert duration(seconds) == shown


IDLE = replace(RUNNING, idle_workers=("w-0", "w-1"))
ON_GPUS = replace(RUNNING, devices=(Device("w-0", "gpu:0", 2), Device("w-1", "gpu:GPU-a,GPU-b", 1)))


def test_the_status_states_what_workers_compute_on_once_it_is_known():
    assert status(ON_GPUS).to_dict()["devices"] == [
        {"worker": "w-0", "device": "gpu:0", "processes": 2},
        {"worker": "w-1", "device": "gpu:GPU-a,GPU-b", "processes": 1},
    ]
    assert "devices" not in status(RUNNING).to_dict()


@pytest.mark.parametrize("snapshot", [RUNNING, FAILED, IDLE, ON_GPUS, Snapshot("Pending", "r", "/r", "/r/o", 1)])
def test_a_snapshot_survives_its_json(snapshot: Snapshot):
    assert Snapshot.from_json(snapshot.to_json()) == snapshot


@pytest.mark.parametrize("text", ["{}", "[]", "null", '"text"', "1", "{", '{"state": "Running"}'])
def test_what_is_no_snapshot_is_refused(text: str):
    with pytest.raises(ValueError, match=r"Snapshot|Expecting"):
        Snapshot.from_json(text)
