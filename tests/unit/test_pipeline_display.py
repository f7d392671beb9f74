"""What a person sees of a pipeline while it runs."""

import io

from longshore_api.pipeline_status import PipelineRunStatus, PipelineStepStatus, StepColumns
from longshore_cli.pipeline_display import PROGRESS_SECONDS, ChangeLines


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
