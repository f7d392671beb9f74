"""Temporary folders of commands: gone at the end, and gone at the next start where a command was killed."""

import os
import subprocess
import sys

import pytest

from longshore_cli.scratch import scratch_folder, socket_folder

KILLED = """
import os, signal
from longshore_cli.scratch import scratch_folder
with scratch_folder("run") as folder:
    (folder / "large").write_text("x")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Let temporary folders be made in a folder of the test's own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def killed_command():
    """Let a command be killed that has a folder; return the folder."""
    return subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()


def test_a_folder_is_deleted_at_the_end(temporary):
    with scratch_folder("run") as folder:
        (folder / "file").write_text("x")
    assert os.listdir(temporary) == []


def test_what_a_killed_command_left_is_deleted_at_the_next_start():
    left = killed_command()
    assert os.path.exists(f"{left}/large")

    with scratch_folder("run"):
        assert not os.path.exists(left)


def test_the_folder_of_a_living_command_stays():
    with scratch_folder("run") as first, scratch_folder("source"):
        assert first.is_dir()


@pytest.mark.parametrize("name", ["longshore-notes", "longshore-dataset-abc", "other"])
def test_a_folder_that_is_no_commands_stays(temporary, name):
    (temporary / name).mkdir()
    with scratch_folder("run"):
        pass
    assert os.listdir(temporary) == [name]


def test_a_link_is_not_followed(temporary):
    left = killed_command()
    os.rename(left, temporary / "elsewhere")
    (temporary / "longshore-run-link").symlink_to(temporary / "elsewhere")

    with scratch_folder("run"):
        pass

    assert (temporary / "elsewhere" / "large").exists()


def test_sockets_are_in_the_scratch_folder_where_its_path_is_short(tmp_path):
    short = tmp_path.parent
    with socket_folder(short, longest="s") as folder:
        assert folder == short


def test_sockets_of_a_long_path_are_in_a_short_one_and_leave_nothing(tmp_path):
    long = tmp_path / ("x" * 120)
    with socket_folder(long, longest="worker-12.sock") as folder:
        assert len(str(folder / "worker-12.sock")) <= 103  # as many as macOS takes
        assert folder.is_dir()
    assert not folder.exists()
