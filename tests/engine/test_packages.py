"""Environments with packages in local runs: built before the first mini-batch, once, and seen by scripts alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from package_index import package_index
from releases import OTHERS, interpreter

ROOT = Path(__file__).parents[2]
WORD = "hunter2-hunter2"
SCORE = """\
import json, os, sys

import alpha
from azureml.core import Run


def init():
    Run.get_context().log("started", 1)


def run(mini_batch):
    seen = {"alpha": alpha.VERSION, "python": "%d.%d" % sys.version_info[:2], "environment": dict(os.environ)}
    return [json.dumps(seen) for path in mini_batch]
"""
TASK = """\
import sys
import alpha
from azureml.core import Run
open(sys.argv[1] + "/seen.txt", "w").write(alpha.VERSION)
Run.get_context().log("alpha", alpha.VERSION)
"""


@pytest.fixture
def index(tmp_path):
    with package_index(tmp_path / "index") as index:
        index.wheel("alpha")
        yield index


@pytest.fixture
def packaged(longshore, index):
    """A step whose script imports a package of the index."""
    longshore.data("a", "b")
    longshore.write("code/score.py", SCORE)
    longshore.variables |= {"LONGSHORE_CACHE": str(longshore.folder / "cache"), "UV_HTTP_RETRIES": "0"}

    def manifest(*documents, **packages):
        given = {"pip": ["alpha"], "indexUrl": index.url, **packages}
        step = longshore.step("score.py", source={"uri": "code"}, environment={"name": "packaged"})
        longshore.manifest(*(documents or (step,)), longshore.document("Environment", "packaged", packages=given))

    manifest()
    longshore.packaged = manifest
    return longshore


def fresh(longshore, name, **options):
    return longshore.run("--run-dir", f"runs/{name}", **options)


def rows(longshore, name):
    written = longshore.folder / "runs" / name / "out" / "parallel_run_step.txt"
    return [json.loads(row) for row in written.read_text().splitlines()]


def test_an_explanation_names_the_packages_and_builds_nothing(packaged, index):
    packaged.packaged(pip=["alpha", "beta==2"])
    explained = packaged.run("--explain", json=False)
    assert explained.code == 0, explained.stderr
    assert f"of {sys.executable} with alpha, beta==2" in explained.stdout
    assert index.requests == []


def test_a_script_sees_its_packages_and_the_second_run_builds_nothing(packaged, index):
    first = fresh(packaged, "1", json=False)
    assert first.code == 0, first.stderr
    lines = [re.sub(r"^\d\d:\d\d:\d\d | \(\d+ s\)$", "", line) for line in first.stdout.splitlines()]
    assert lines[:2] == [
        "test-step: preparing environment: resolving 1 requirement",
        "test-step: preparing environment: installing 1 package: alpha",
    ]
    assert re.fullmatch(r"test-step: environment ready after \d+\.\d s", lines[2])
    assert [each["alpha"] for each in rows(packaged, "1")] == ["1.0", "1.0"]
    asked = len(index.requests)
    second = fresh(packaged, "2", json=False)
    assert second.code == 0, second.stderr
    assert "preparing environment" not in second.stdout
    assert len(index.requests) == asked


def test_commands_that_start_together_build_once(packaged, index):
    commands = [packaged.start("--run-dir", f"runs/{number}") for number in range(3)]
    assert [each.wait().code for each in commands] == [0, 0, 0]
    assert index.downloads("alpha") == 1


def test_the_steps_of_a_pipeline_share_an_environment_and_reused_ones_need_none(packaged, index):
    packaged.write("task/task.py", TASK)
    score = {
        "inputs": [{"name": "files", "file": {"paths": ["data/*"]}}],
        "output": {"name": "out"},
        "source": {"uri": "code"},
        "entryScript": "score.py",
        "outputAction": "append_row",
        "resourceMonitorIntervalSeconds": 0,
        "environment": {"name": "packaged"},
    }
    task = {
        "source": {"uri": "task"},
        "scriptName": "task.py",
        "arguments": ["$(outputs.seen)"],
        "outputs": [{"name": "seen"}],
        "environment": {"name": "packaged"},
    }
    steps = [{"name": "score", "parallelRun": score}, {"name": "task", "script": task}]
    packaged.packaged(packaged.document("Pipeline", "both", steps=steps))
    first = fresh(packaged, "1")
    assert first.code == 0, first.stderr
    assert index.downloads("alpha") == 1
    assert [each["metrics"] for each in first.status["steps"] if each["name"] == "task"] == [{"alpha": "1.0"}]
    shutil.rmtree(packaged.folder / "cache")
    index.status = 500
    second = fresh(packaged, "2")
    assert second.code == 0, second.stderr
    assert all("reusedFrom" in each for each in second.status["steps"])
    assert not (packaged.folder / "cache").exists()
    packaged.packaged(packaged.document("Pipeline", "both", steps=steps), pip=["alpha>=1"])
    third = fresh(packaged, "3", json=False)
    assert third.code == 1
    assert "score: running: the environment's packages changed from alpha to alpha>=1" in third.stdout


@pytest.mark.parametrize("retries", [0, 3])
def test_an_unknown_package_ends_a_step_in_the_words_of_the_resolver_and_costs_no_try(packaged, retries):
    packaged.packaged(pip=["alpha", "nowhere"])
    words = "The packages cannot be resolved: Because nowhere was not found in the package registry and you require"
    alone = fresh(packaged, "1")
    assert alone.code == 2
    assert f"spec.environment cannot be prepared: {words}" in alone.stderr
    assert not (packaged.folder / "runs").exists()
    packaged.write("task/task.py", TASK)
    task = {"source": {"uri": "task"}, "scriptName": "task.py", "environment": {"name": "packaged"}}
    steps = [{"name": "task", "script": task, "retries": retries}]
    packaged.packaged(packaged.document("Pipeline", "one", steps=steps), pip=["alpha", "nowhere"])
    ended = fresh(packaged, "2")
    assert ended.code == 1
    (step,) = ended.status["steps"]
    assert (step["state"], step["reason"], step["attempts"]) == ("Failed", "EnvironmentFailed", 1)
    assert step["message"].startswith(words)


def test_an_index_that_cannot_be_reached_fails_the_command_and_not_the_document(packaged, index):
    index.status = 503
    ended = fresh(packaged, "1")
    assert ended.code == 1
    assert "spec.environment cannot be prepared: The package index cannot be reached: " in ended.stderr
    index.status = 200
    assert fresh(packaged, "1").code == 0


def test_credentials_of_the_index_are_in_no_environment_log_or_status(packaged, index):
    index.credentials = f"me:{WORD}"
    packaged.packaged(secretRef={"name": "index"})
    denied = fresh(packaged, "0")
    assert denied.code == 2
    assert "LONGSHORE_INDEX_USERNAME and LONGSHORE_INDEX_PASSWORD" in denied.stderr
    packaged.variables |= {"LONGSHORE_INDEX_USERNAME": "me", "LONGSHORE_INDEX_PASSWORD": WORD}
    ended = fresh(packaged, "1")
    assert ended.code == 0, ended.stderr
    environment = rows(packaged, "1")[0]["environment"]
    assert environment["PATH"]
    assert [name for name, value in environment.items() if WORD in value] == []
    assert WORD not in ended.stdout + ended.stderr
    for folder, _, names in os.walk(packaged.folder):
        assert [name for name in names if WORD.encode() in Path(folder, name).read_bytes()] == []


@pytest.mark.parametrize("release", [OTHERS[0], OTHERS[-1]])
def test_a_version_of_python_is_any_interpreter_of_it_on_the_machine(packaged, release):
    folder = str(Path(interpreter(release)).parent)
    packaged.variables["PATH"] = f"{folder}:{os.environ['PATH']}"
    packaged.packaged(python=release)
    ended = fresh(packaged, "1")
    assert ended.code == 0, ended.stderr
    assert rows(packaged, "1")[0]["python"] == release


def test_a_table_needs_pandas_among_the_packages(packaged):
    packaged.write("rows/a.csv", "x\n1\n")
    inputs = [{"name": "rows", "tabular": {"paths": ["rows/*.csv"]}}]
    step = packaged.step("score.py", source={"uri": "code"}, environment={"name": "packaged"}, inputs=inputs)
    packaged.packaged({**step, "spec": {**step["spec"], "miniBatchSize": 1024}})
    ended = fresh(packaged, "1")
    assert ended.code == 2
    rule = "needs the package pandas; add it to spec.packages of the Environment"
    assert f'Tabular input "rows" {rule}' in ended.stderr


def test_a_killed_command_leaves_no_builder(packaged, index):
    index.gate.clear()
    command = packaged.start("--run-dir", "runs/1")
    packaged.wait_until(index.asked.is_set)
    command.signal(9)
    packaged.nothing_is_left_running()
    command.wait()
    index.gate.set()
    assert fresh(packaged, "1").code == 0


def test_the_digits_are_scored_with_packages_in_the_place_of_an_image(longshore):
    """From the real package index."""
    example = shutil.copytree(ROOT / "deploy" / "examples" / "digits", longshore.folder / "digits")
    subprocess.run([sys.executable, "prepare.py"], cwd=example, check=True)
    step, *others = [yaml.safe_load(part) for part in (example / "step.yaml").read_text().split("\n---\n")]
    others += yaml.safe_load_all((example / "digits.yaml").read_text())
    for each in others:
        if each["kind"] == "Environment":
            each["spec"] = {"packages": {"pip": ["scikit-learn", "pillow"]}, "variables": each["spec"]["variables"]}
    (example / "digits.yaml").write_text(yaml.safe_dump_all([step, *others]))
    longshore.variables["LONGSHORE_CACHE"] = str(longshore.folder / "cache")
    first = longshore.run("--run-dir", "runs/1", paths=["digits/digits.yaml"], json=False, patience=300.0)
    assert first.code == 0, first.stderr
    assert "environment ready" in first.stdout
    second = longshore.run("--run-dir", "runs/2", paths=["digits/digits.yaml"], json=False, patience=60.0)
    assert "1297 succeeded" in second.stdout
    assert "environment" not in second.stdout
