"""A run folder that a pipeline cannot use is named in one sentence, and is no error of Longshore itself."""

import errno
import os
import subprocess
import sys

import pytest
import yaml
from manifests import resource
from pipelines import script

from longshore_api.errors import InvalidDocuments
from longshore_cli.__main__ import main
from longshore_cli.folders import earlier_folder
from longshore_cli.pipeline_folder import LOCK, PipelineFolder


@pytest.fixture
def manifest(tmp_path):
    """A pipeline of one script."""
    (tmp_path / "only.py").write_text("")
    spec = {"steps": [script("only")]}
    content = resource("Pipeline", "p", spec)
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(content))
    (tmp_path / "file").write_text("in the way")
    return path


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def below_a_file(folder, _):
    return folder / "file" / "run", "Not a directory"


def in_proc(_, __):
    return "/proc/run", "/proc/run"


def no_room_for_the_code(folder, patch):
    patch.setattr("longshore_cli.pipeline_sources._free_name", full)
    return folder / "run", "No space left on device"


def no_room_for_the_pipeline(folder, patch):
    patch.setattr(PipelineFolder, "write_frozen", full)
    return folder / "run", "No space left on device"


def no_room_for_the_status(folder, patch):
    patch.setattr(PipelineFolder, "write_status", full)
    return folder / "run", "No space left on device"


PLACES = [below_a_file, in_proc, no_room_for_the_code, no_room_for_the_pipeline, no_room_for_the_status]


@pytest.mark.usefixtures("restored_signals")
@pytest.mark.parametrize("place", PLACES)
def test_a_run_folder_that_cannot_be_used_is_reported(manifest, tmp_path, monkeypatch, capsys, place):
    folder, cause = place(tmp_path, monkeypatch)
    assert main(["run", str(manifest), "--run-dir", str(folder)]) == 1
    told = capsys.readouterr().err
    assert f"longshore: the run folder {folder} cannot be used: " in told
    assert cause in told
    assert "internal error" not in told


def test_a_run_folder_that_cannot_be_used_any_more_is_reported_when_its_run_is_resumed(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "pipeline.json").write_text("{}")
    (run / LOCK).mkdir()
    assert main(["run", "--resume", str(run)]) == 1
    told = capsys.readouterr().err
    assert f"longshore: the run folder {run} cannot be used: " in told


@pytest.mark.parametrize("about", ["[]", "null", "3", '"x"', '{"step": "s"}', "{", ""])
def test_a_folder_whose_record_is_none_has_no_run(tmp_path, about):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "run.json").write_text(about)
    with pytest.raises(InvalidDocuments, match="the folder contains no run"):
        earlier_folder(str(tmp_path))


@pytest.mark.usefixtures("restored_signals")
def test_a_command_in_the_process_of_a_test_leaves_its_other_children(manifest, tmp_path, monkeypatch):
    folder, _ = no_room_for_the_status(tmp_path, monkeypatch)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as server:
        assert main(["run", str(manifest), "--run-dir", str(folder)]) == 1
        server.communicate(b"\n")
    assert server.returncode == 0
