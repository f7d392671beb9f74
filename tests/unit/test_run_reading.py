"""Runs as readers see them: states from statuses, logs and failures from folders, and commands in the background."""

from __future__ import annotations

import json
import os
import signal
import sys
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from longshore.changes import Changes
from longshore.html import run_table
from longshore_api.errors import InvalidDocuments
from longshore_api.pipeline_status import PipelineRunStatus
from longshore_cli.folders import new_folder
from longshore_cli.pipeline_folder import PipelineFolder
from longshore_planner.documents import FOLDER_ANNOTATION, load
from longshore_runs.local import LocalRun
from longshore_runs.outputs import files, to_pandas
from longshore_runs.processes import Background, start
from longshore_runs.records import Progress, RunState, StepState, pipeline_state
from longshore_runs.step_folder import Rows, StepFolder

NOW = "2026-01-01T00:00:00Z"


def pipeline_status(status: str, reason: str, *steps: dict[str, Any], **fields: Any) -> PipelineRunStatus:
    condition = {"type": "Succeeded", "status": status, "reason": reason}
    raw = {
        "observedGeneration": 1,
        "conditions": [{**condition, "lastTransitionTime": NOW, "observedGeneration": 1}],
        "pipeline": "nightly",
        "steps": list(steps),
        "columns": {},
        "runUri": "/runs/a",
        **fields,
    }
    return PipelineRunStatus.model_validate(raw)


@pytest.mark.parametrize(
    ("status", "reason", "started", "expected"),
    [
        ("Unknown", "Pending", None, "Pending"),
        ("Unknown", "WaitingForReferences", None, "Pending"),
        ("Unknown", "Running", NOW, "Running"),
        ("Unknown", "Suspended", NOW, "Suspended"),
        ("False", "Interrupted", NOW, "Suspended"),
        ("True", "SucceededWithFailures", NOW, "Succeeded"),
        ("False", "StepFailed", NOW, "Failed"),
        ("False", "Cancelled", NOW, "Cancelled"),
    ],
)
def test_a_condition_becomes_a_state(status: str, reason: str, started: str | None, expected: str):
    raw = pipeline_status(status, reason, startTime=started)
    assert pipeline_state(raw, run_id="a", details={}).state == expected


def test_a_reused_step_is_read_where_it_ran():
    origin = {"runId": "b", "step": "prepare", "runUri": "/runs/b"}
    status = pipeline_status(
        "True", "Succeeded",
        {"name": "clean", "state": "Succeeded", "reusedFrom": origin},
        {"name": "train", "state": "Failed"},
        {"name": "test", "state": "Pending"},
    )  # fmt: skip
    state = pipeline_state(status, run_id="a", details={})
    assert [each.uri for each in state.steps] == ["/runs/b/steps/prepare", "/runs/a/steps/train", "/runs/a/steps/test"]
    assert str(state.progress) == "2/3, 1 failed"


@pytest.fixture(name="folder")
def the_folder(tmp_path: Path) -> StepFolder:
    for name, text in {
        "logs/user/stdout/worker-0/process000.stdout.txt": "a\nb\nc",
        "logs/user/stderr/worker-0/process000.stderr.txt": "",
        "logs/user/error/worker-0/process000.txt": "mini-batch 1, attempt 1: x\n  one\nmini-batch 11, attempt 1: y\n",
        "logs/sys/node/worker-0/process000.txt": "mini-batch 1, attempt 1, DONE\nmini-batch 11, attempt 1\n",
        "state/ledger/000001-000001.jsonl": '{"replayed":{}}\n'
        '{"plan":{"settings":{"output format":"csv","output header":true,"output separator":";"}}}\n',
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return StepFolder(str(tmp_path))


def test_complete_lines_follow_as_they_are_written(folder: StepFolder):
    positions: dict[str, int] = {}
    assert [each.text for each in folder.follow(positions)] == ["a", "b"]
    log = Path(folder.uri, "logs/user/stdout/worker-0/process000.stdout.txt")
    with log.open("a") as file:
        file.write("c\nd")
    assert [tuple(each) for each in folder.follow(positions)] == [("worker-0/process000", "cc")]
    assert [each.text for each in folder.follow(positions)] == []
    assert [each.text for each in folder.remainders(positions)] == ["d"]
    assert [each.text for each in folder.remainders(positions)] == []


def test_a_line_without_end_is_cut(folder: StepFolder):
    Path(folder.uri, "logs/user/stdout/worker-0/process000.stdout.txt").write_text("x" * 200_000)
    assert sum(len(each.text) for each in folder.follow({})) == 200_000


def test_one_mini_batch_is_not_another_whose_number_begins_like_it(folder: StepFolder):
    assert [each.text for each in folder.mini_batch_log(1)] == [
        "mini-batch 1, attempt 1, DONE",
        "mini-batch 1, attempt 1: x",
        "  one",
    ]


def test_the_format_of_rows_is_that_of_the_plan(folder: StepFolder, tmp_path: Path):
    assert folder.rows() == Rows("csv", header=True, separator=";")
    assert StepFolder(str(tmp_path / "none")).rows() == Rows()


def test_failures_of_a_million_mini_batches_take_little_memory(tmp_path: Path):
    line = {"miniBatch": 1, "items": ["a"], "category": "UserError", "message": "m" * 100}
    with (tmp_path / "failed.jsonl").open("w") as file:
        file.writelines(json.dumps({**line, "miniBatch": number}) + "\n" for number in range(50_000))
    tracemalloc.start()
    try:
        assert sum(1 for _ in StepFolder(str(tmp_path)).failures()) == 50_000
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("a.csv", "x,y\n1,2\n", None),
        ("a.tsv", "x\ty\n1\t2\n", None),
        ("a.jsonl", '{"x":1,"y":2}\n', None),
        ("rows", "x;y\n1;2\n", Rows("csv", header=True, separator=";")),
    ],
)
def test_tables_are_read_in_their_format(name: str, text: str, rows: Rows | None, tmp_path: Path):
    (tmp_path / name).write_text(text)
    assert files(str(tmp_path)) == [str(tmp_path / name)]
    assert to_pandas([str(tmp_path / name)], rows).to_dict("list") == {"x": [1], "y": [2]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("model.bin", "", "a table's name must end with one of .csv"),
        ("rows.txt", "a\nb c\n", "pass its separator, as in to_pandas(sep=':')"),
    ],
)
def test_what_is_no_table_is_refused_with_a_remedy(name: str, text: str, message: str, tmp_path: Path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r"must end|separator") as caught:
        to_pandas([str(tmp_path / name)], None)
    assert message in str(caught.value)


def test_an_empty_output_is_an_empty_table(tmp_path: Path):
    (tmp_path / "rows.txt").touch()
    assert to_pandas([str(tmp_path / "rows.txt")], Rows()).empty
    assert to_pandas([], None).empty


# Commands in the background


def test_a_command_in_the_background_is_no_child_and_writes_to_the_log(tmp_path: Path):
    log = tmp_path / "a log.txt"
    found = start(["--version"], log=str(log), folder=str(tmp_path))
    while found.is_alive():
        found.wait(1)
    with pytest.raises(ChildProcessError):
        os.waitpid(found.pid, 0)
    assert log.read_text().startswith("longshore ")


def test_a_process_that_has_the_number_of_an_earlier_one_is_another():
    own = Background.of(os.getpid())
    assert own is not None
    assert own.is_alive()
    other = Background(own.pid, own.started - 100)
    assert not other.is_alive()
    other.send(signal.SIGKILL)  # would end this test


def test_the_lock_of_a_pipeline_names_its_command_and_a_refused_one_leaves_it(tmp_path: Path):
    folder = PipelineFolder(str(tmp_path))
    with folder.lock():
        assert (tmp_path / ".lock").read_text() == str(os.getpid())
        with pytest.raises(InvalidDocuments, match="another command is running it"), folder.lock():
            pass
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_a_pipeline_whose_command_has_exited_is_suspended(tmp_path: Path):
    status = pipeline_status("Unknown", "Running", startTime=NOW).to_json()
    (tmp_path / "pipeline.json").write_text("{}")
    (tmp_path / "status.json").write_text(status)
    (tmp_path / ".lock").write_text(str(os.getpid()))
    assert LocalRun(str(tmp_path)).state().state == "Running"
    (tmp_path / ".lock").write_text("999999999")
    state = LocalRun(str(tmp_path)).state()
    assert (state.state, state.message) == ("Suspended", "Its command has exited; resume() continues the run.")
    with pytest.raises(RuntimeError, match=r"use longshore run --resume"):
        LocalRun(str(tmp_path)).resume()


# What the command takes from Python


def test_a_folder_named_after_a_run_has_its_id():
    now = datetime.now(UTC)
    assert new_folder("a/run-20260101-000000-00ff", now=now).run_id == "run-20260101-000000-00ff"
    assert new_folder("a/mine", now=now).run_id != "mine"


@pytest.mark.parametrize(("named", "expected"), [("/elsewhere", "/elsewhere"), ("relative", ""), (1, "")])
def test_relative_paths_start_from_the_folder_that_a_document_names(named: Any, expected: str, tmp_path: Path):
    text = {
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "ScriptStep",
        "metadata": {"name": "train", "annotations": {FOLDER_ANNOTATION: named} if isinstance(named, str) else {}},
        "spec": {"scriptName": "a.py"},
    }
    (tmp_path / "step.yaml").write_text(json.dumps(text))
    (document,) = load([tmp_path / "step.yaml"])
    assert document.folder == (expected or str(tmp_path))


def test_readers_of_states_import_no_table_and_no_engine():
    import subprocess

    code = "import longshore_runs.local, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"pandas", "aiohttp", "asyncio", "longshore_cli", "longshore_coordinator", "fsspec"} & set(loaded) == set()


# Runs as text and as a table


def test_a_reason_for_waiting_is_printed_once(capsys):
    changes = Changes()
    waiting = RunState("a", "nightly", "Pending", "WaitingForReferences", "Dataset x does not exist.")
    for state in (RunState("a", "nightly", "Pending", "Pending"), waiting, waiting):
        changes.update(state)
    changes.update(RunState("a", "nightly", "Running", "Running"))
    lines = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["nightly: WaitingForReferences: Dataset x does not exist."]


def test_a_table_escapes_texts_of_scripts_and_labels_its_bars():
    steps = (
        StepState("score", "Running", progress=Progress(2, 1, 4), message="<b>waits</b>"),
        StepState("train", "Succeeded", reused_from="run-1"),
    )
    table = run_table(RunState("a", "<nightly>", "Running", steps=steps))
    assert "<caption>&lt;nightly&gt;: Running (<code>a</code>)</caption>" in table
    assert '<progress max="4" value="2" aria-label="2 of 4 finished"></progress> 2/4, 1 failed' in table
    assert "&lt;b&gt;waits&lt;/b&gt;" in table
    assert "reused from run-1" in table
