"""The page of the variables that scripts see, compared with what scripts of both kinds find."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from manifests import ROOT

PAGE = ROOT / "docs" / "reference" / "script-variables.md"
SCRIPT = """\
import os


def run(mini_batch):
    return sorted(os.environ)


if __name__ == "__main__":
    with open("found.txt", "w") as file:
        file.write("\\n".join(sorted(os.environ)))
    os.replace("found.txt", os.environ["FOUND"])
"""
MODEL = """\
apiVersion: longshore.dev/v1alpha1
kind: Model
metadata: {name: words}
spec: {name: words, version: 1, path: "file:model.txt"}
---
"""
STEP = """\
apiVersion: longshore.dev/v1alpha1
kind: ParallelRunStep
metadata: {name: variables}
spec:
  inputs: [{name: data_in, file: {paths: ["data/*"]}}]
  output: {name: found}
  entryScript: script.py
  models: [{name: words}]
  outputAction: append_row
"""
TASK = """\
apiVersion: longshore.dev/v1alpha1
kind: ScriptStep
metadata: {name: variables}
spec:
  inputs: [{name: data_in, file: {paths: ["data/one.txt"]}}]
  source: {uri: "file:."}
  scriptName: script.py
  params: {rate: "0.5"}
  models: [{name: words}]
  environmentVariables: {FOUND: FOLDER/found.txt}
"""


def found_by(step: str, folder: Path) -> str:
    """Run a step in a folder; return what its script found, a line per variable."""
    (folder / "data").mkdir()
    (folder / "data" / "one.txt").write_text("1")
    (folder / "model.txt").write_text("a model")
    (folder / "script.py").write_text(SCRIPT)
    (folder / "step.yaml").write_text(MODEL + step.replace("FOLDER", str(folder)))
    command = [
        sys.executable,
        "-m",
        "longshore_cli",
        "run",
        str(folder / "step.yaml"),
        "--run-dir",
        str(folder / "run"),
    ]
    environment = dict(os.environ)  # readline, which pytest imports, adds variables behind Python's back
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode in (0, 3), ended.stdout + ended.stderr
    places = (folder / "found.txt", folder / "run" / "found" / "parallel_run_step.txt")
    return next(each for each in places if each.exists()).read_text()


@pytest.mark.parametrize(("title", "step"), [("In a ParallelRunStep", STEP), ("In a ScriptStep", TASK)])
def test_the_page_names_what_a_script_finds_and_nothing_else(title: str, step: str, tmp_path: Path):
    found = set(found_by(step, tmp_path).splitlines()) - (os.environ.keys() - {"PYTHONPATH", "VIRTUAL_ENV"}) - {"FOUND"}
    alike = {re.sub("data_in|rate", "NAME", each) for each in found if not each.startswith("LONGSHORE_")}
    (section,) = (each for each in PAGE.read_text().split("\n## ") if each.startswith(title))
    shown = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert alike == shown - {"CUDA_VISIBLE_DEVICES"}  # of nodes with GPUs
