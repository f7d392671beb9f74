"""A bug while a pipeline runs on this machine is the end of a step, or of the run, with a status that says so."""

import asyncio
import json

import pytest
from pipelines import frozen, script

from longshore_cli import pipeline_run
from longshore_cli.pipeline_folder import PipelineFolder
from longshore_cli.pipeline_run import LocalPipeline
from longshore_coordinator.internal_errors import FILE
from longshore_planner.pipelines.history import History
from longshore_planner.pipelines.records import SUCCEEDED, Outcome


class Attempt:
    """A step's attempt that ends at once; that of the step "broken" by a bug of ours."""

    def __init__(self, step, outputs, **_):
        self.step = step

    async def run(self):
        if self.step.name == "broken":
            raise KeyError("a bug \x1b[31m")
        return Outcome(SUCCEEDED, SUCCEEDED)

    def drain(self):
        """It has ended."""

    kill = drain


@pytest.fixture
def run(tmp_path, monkeypatch, restored_signals):  # noqa: ARG001  (the run handles signals until its process ends)
    """Run a pipeline without starting anything; return its last status, and what is kept in its folder."""
    monkeypatch.setattr(pipeline_run, "make_attempt", Attempt)

    def run(*steps):
        pipeline = LocalPipeline(
            frozen(*steps),
            PipelineFolder(str(tmp_path)),
            records={},
            history=History([]),
            show=lambda _: None,
            previous=None,
        )
        status = asyncio.run(pipeline.run())
        return status, json.loads((tmp_path / "status.json").read_text())

    return run


def test_a_bug_in_a_step_s_attempt_fails_that_step_and_no_other(run, tmp_path, caplog):
    status, kept = run(script("fine"), script("broken"))
    states = {each.name: (each.state, each.reason) for each in status.steps}
    assert states == {"fine": ("Succeeded", "Succeeded"), "broken": ("Failed", "InternalError")}
    assert status.condition("Succeeded").reason == "StepFailed"
    assert kept["conditions"][0]["status"] == "False"
    assert "a bug" in (tmp_path / FILE).read_text()
    assert caplog.records


@pytest.mark.parametrize("where", ["decide", "pipeline_status_once", "ended", "after_stop"])
def test_a_bug_between_steps_ends_the_run_with_a_status(run, tmp_path, monkeypatch, where, caplog):
    real = {name: getattr(pipeline_run, name) for name in ("decide", "pipeline_status", "ended", "after_stop")}
    calls = []

    def bug(*arguments, **named):
        calls.append(1)
        if where != "pipeline_status_once" or len(calls) == 2:
            raise TypeError("a bug")
        return real["pipeline_status"](*arguments, **named)

    monkeypatch.setattr(pipeline_run, where.removesuffix("_once"), bug)
    status, kept = run(script("one"), script("two", "one"))
    assert status.condition("Succeeded").reason == "InternalError"
    assert status.condition("Finished").status == "True"
    assert "internal error: TypeError: a bug" in kept["conditions"][0]["message"]
    assert "a bug" in (tmp_path / FILE).read_text()
    assert caplog.records
