"""Code frozen for a run, what inputs hold, and earlier runs found beside a run's folder."""

import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pipelines import frozen, script

from longshore_agent import source_copies
from longshore_api.errors import InvalidDocuments
from longshore_cli.pipeline_folder import PipelineFolder, is_pipeline
from longshore_cli.pipeline_sources import copy_code, look_at_contents
from longshore_planner.pipelines.decide import decide
from longshore_planner.pipelines.frozen import Options
from longshore_planner.pipelines.history import History
from longshore_planner.pipelines.status import pipeline_status


@pytest.fixture
def code(tmp_path):
    """A source folder, and a function that freezes it for the steps of a pipeline."""
    source = tmp_path / "code"
    (source / "lib").mkdir(parents=True)
    (source / "train.py").write_text("print('train')")
    (source / "lib" / "util.py").write_text("x = 1")

    def freeze(*names):
        steps = [replace(frozen(script(name)).steps[0], source=str(source)) for name in names]
        return copy_code(steps, str(tmp_path / "run" / "sources"))

    freeze.source = source
    return freeze


def test_code_is_copied_and_told_file_by_file(code):
    step = code("train")["train"]
    assert sorted(step.parts["code"]) == ["lib/util.py", "train.py"]
    copy = step.job["source_uri"]
    (code.source / "train.py").write_text("print('something else')")
    with open(os.path.join(copy, "train.py")) as file:
        assert file.read() == "print('train')"


def test_steps_of_one_source_share_a_copy(code):
    steps = code("train", "test")
    assert steps["train"].job["source_uri"] == steps["test"].job["source_uri"]


def test_only_the_file_that_changed_has_another_digest(code):
    before = code("train")["train"].parts["code"]
    os.utime(code.source / "lib" / "util.py", (1, 1))  # a time is no content
    (code.source / "train.py").write_text("print('something else')")
    after = code("train")["train"].parts["code"]
    assert {name for name in before if before[name] != after[name]} == {"train.py"}


def test_what_is_ignored_is_no_code(code):
    (code.source / ".amlignore").write_text("lib/\n.amlignore\n")
    assert list(code("train")["train"].parts["code"]) == ["train.py"]


def test_a_source_that_is_not_there_is_refused(code):
    (code.source / "train.py").unlink()
    step = replace(frozen(script("only")).steps[0], source="/no/such/folder")
    with pytest.raises(InvalidDocuments, match=r"source /no/such/folder: cannot be read: No such file or directory"):
        copy_code([step], str(code.source / "copies"))


def test_a_source_that_holds_data_is_refused(code, monkeypatch):
    monkeypatch.setattr(source_copies, "LARGEST", 10)
    with pytest.raises(InvalidDocuments, match=r"name what is no code in a file \.amlignore"):
        code("train")


def test_contents_change_with_the_files_behind_an_input(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.csv").write_text("1")
    pipeline = frozen(script("only", inputs=[{"name": "rows", "file": {"paths": [f"{data}/*.csv"]}}]))

    def contents():
        return look_at_contents(pipeline.steps)["only"].parts["contents"]

    first = contents()
    assert contents() == first
    (data / "other.txt").write_text("2")
    assert contents() == first
    (data / "b.csv").write_text("2")
    assert contents().keys() == first.keys() == {"rows"}
    assert contents() != first


def finished_run(parent, run_id):
    """A folder with a run of which the one step has succeeded."""
    folder = PipelineFolder(str(parent / run_id))
    pipeline = replace(frozen(script("only"), run_id=run_id), run_uri=folder.path)
    output = os.path.join(folder.path, "steps", "only", "out")
    os.makedirs(output)
    begun = decide(pipeline, {}, history=History(), options=Options(), now=0.0)
    done = {"only": replace(begun.records["only"], state="Succeeded", outputs={"out": output}, ended=1.0)}
    over = decide(pipeline, done, history=History(), options=Options(), now=1.0)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    folder.keep(pipeline)
    folder.keep_status(pipeline_status(pipeline, over, started=now, now=now, previous=None))
    return folder, pipeline.steps[0].parts | {"steps": {}}


def test_runs_are_remembered_by_the_folders_beside_them(tmp_path):
    folder, parts = finished_run(tmp_path, "run-1")
    beside = PipelineFolder(str(tmp_path / "run-2"))
    assert beside.history().equal(parts, step="only").origin.run_id == "run-1"
    assert folder.history().equal(parts, step="only") is None  # itself
    assert is_pipeline(folder.path)
    assert not is_pipeline(beside.path)


def test_outputs_that_were_deleted_are_not_taken(tmp_path):
    folder, parts = finished_run(tmp_path, "run-1")
    os.rmdir(os.path.join(folder.path, "steps", "only", "out"))
    assert PipelineFolder(str(tmp_path / "run-2")).history().equal(parts, step="only") is None


def test_a_folder_that_cannot_be_read_is_no_run(tmp_path):
    folder, parts = finished_run(tmp_path, "run-1")
    with open(os.path.join(folder.path, "status.json"), "w") as file:
        file.write("{")
    assert PipelineFolder(str(tmp_path / "run-2")).history().equal(parts, step="only") is None
    with pytest.raises(InvalidDocuments, match="the run in it cannot be read"):
        folder.read()


def test_a_run_that_was_moved_does_not_go_on_elsewhere(tmp_path):
    folder, _ = finished_run(tmp_path, "run-1")
    os.rename(folder.path, tmp_path / "moved")
    with pytest.raises(InvalidDocuments, match="the run in it was begun in"):
        PipelineFolder(str(tmp_path / "moved")).read()


def test_a_run_is_one_commands_at_a_time(tmp_path):
    folder = PipelineFolder(str(tmp_path))
    with folder.held(), pytest.raises(InvalidDocuments, match="another command runs it"), folder.held():
        pass
    with folder.held():
        pass
