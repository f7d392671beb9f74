"""The `longshore` command: where it starts, what it says of itself, and the system that it refuses."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

import longshore

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(Path(sysconfig.get_path("scripts"), "longshore"))
STARTS = [[SCRIPT], [sys.executable, "-m", "longshore"], [sys.executable, "-m", "longshore_cli"]]
# What the command loads before it looks at the system, without the modules that only Unix has.
ON_WINDOWS = """
import argparse, io, logging, os, pathlib, sys, tempfile
sys.modules.update(dict.fromkeys(["fcntl", "grp", "pwd", "resource", "termios"]))
sys.platform = "win32"
from longshore_cli.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("start", STARTS, ids=["script", "package", "module"])
def test_each_way_to_start_the_command_prints_the_version_of_the_package(start: list[str], tmp_path: Path):
    ended = run([*start, "--version"], tmp_path)
    assert (ended.stdout, ended.returncode) == (f"longshore {longshore.__version__}\n", 0)


@pytest.mark.parametrize("start", STARTS, ids=["script", "package", "module"])
def test_without_a_command_the_help_is_printed_as_an_error(start: list[str], tmp_path: Path):
    ended, asked = run(start, tmp_path), run([*start, "--help"], tmp_path)
    assert (ended.stdout, ended.returncode) == ("", 2)
    assert ended.stderr == asked.stdout
    assert "run a ParallelRunStep" in ended.stderr


def test_the_chart_installs_the_version_of_the_package():
    chart = yaml.safe_load((ROOT / "charts" / "longshore" / "Chart.yaml").read_text())
    assert {chart["version"], chart["appVersion"]} == {longshore.__version__}


def test_type_checkers_read_the_package():
    assert (Path(longshore.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "step.yaml"],
        ["run", "--resume", "runs/1"],
        ["run", "--retry-failed", "runs/1"],
        ["run", "step.yaml", "--explain"],
        ["import", "azureml", "job.yml"],
    ],
    ids=" ".join,
)
def test_on_windows_each_command_names_wsl_and_does_nothing(arguments: list[str], tmp_path: Path):
    ended = run([sys.executable, "-c", ON_WINDOWS, *arguments], tmp_path)
    sentence = "Longshore does not run on Windows; install and run it in WSL (Windows Subsystem for Linux)"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"longshore: {sentence}\n")
    assert not list(tmp_path.iterdir())
