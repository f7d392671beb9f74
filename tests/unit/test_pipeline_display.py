"""What a person sees of a pipeline while it runs."""

import io
from datetime import UTC, datetime

import pytest
from pipelines import frozen, script

from longshore_api.pipeline_status import PipelineRunStatus, PipelineStepStatus, StepColumns
from longshore_cli.pipeline_display import PROGRESS_SECONDS, ChangeLines, summary
from longshore_planner.pipelines.decide import Decision, Verdict
from longshore_planner.pipelines.records import Record
from longshore_planner.pipelines.status import pipeline_status


def status(current, *, state="Running"):
    return PipelineRunStatus(
        observed_generation=1,
        conditions=[],
        pipeline="nightly",
        steps=[
            PipelineStepStatus(name="score", state=state, reason="ScriptFailed", attempts=1, not_reused="it never ran")
        ],
        columns=StepColumns(current=current),
    )


def test_progress_is_a_line_every_ten_seconds_and_a_change_one_at_once():
    stream, now = io.StringIO(), 100.0
    lines = ChangeLines(stream, clock=lambda: now)
    for seconds, done in (
        (0, 0),
        (1, 5),
        (PROGRESS_SECONDS, 30),
        (1, 40),
        (PROGRESS_SECONDS, 40),
        (PROGRESS_SECONDS, 40),
    ):
        now += seconds
        lines(status(f"score ({done}/50)"))
    lines(status("", state="Failed"))

    assert [line.partition(" ")[2] for line in stream.getvalue().splitlines()] == [
        "score: running: it never ran",
        "running: score (30/50)",
        "running: score (40/50)",
        "score: failed in -: ScriptFailed",
    ]


def test_steps_without_mini_batches_have_no_progress():
    stream, now = io.StringIO(), 100.0
    lines = ChangeLines(stream, clock=lambda: now)
    for _ in range(3):
        now += PROGRESS_SECONDS
        lines(status("train"))
    assert len(stream.getvalue().splitlines()) == 1


WHY = "square succeeded with too many failed items: 7 of 8 succeeded; 1 of 8 items failed (12.5 %): /in/7"
ENDS = {  # the reason, what is said of the run, the state of its step, and how often the sentence is on the screen
    "too many failed items": ("SucceededWithFailures", WHY, "Succeeded", 1),
    "internal error": ("InternalError", "internal error: KeyError: 'x'", "Running", 1),
    "a cancelled run": ("Cancelled", "the run was cancelled", "Skipped", 1),
    "a step that failed": ("StepFailed", "square failed: ValueError: no. See there", "Failed", 0),
    "success": ("Succeeded", "", "Succeeded", 0),
}


@pytest.mark.parametrize(("reason", "why", "state", "times"), ENDS.values(), ids=ENDS)
def test_why_a_run_ended_is_reported_once(reason, why, state, times):
    pipeline, now = frozen(script("square")), datetime(2026, 1, 1, tzinfo=UTC)
    message = "ValueError: no. See there" if state == "Failed" else ""
    record = Record("square", state, reason="ScriptFailed", message=message, attempts=1, started=1.0, ended=2.0)
    decision = Decision({"square": record}, verdict=Verdict(reason, why))
    text = summary(pipeline_status(pipeline, decision, started=now, now=now, previous=None))
    assert text.count(why) == times or not why
    assert text.count("ValueError: no. See there") == (state == "Failed")
    assert text.startswith(f"test: {reason}. Steps completed: ")
