"""The wheel, built from the source distribution and installed with pip alone into an empty environment."""

import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest
from console_pages import follow
from uv import find_uv_bin

import longshore

CHECKOUT = Path(__file__).parents[2]
STEP = """
apiVersion: longshore.dev/v1alpha1
kind: ParallelRunStep
metadata: {name: sizes}
spec:
  inputs: [{name: texts, file: {paths: [PATHS]}}]
  output: {name: sizes}
  source: {uri: "file:."}
  entryScript: sizes.py
  miniBatchSize: 2
  processCountPerNode: 2
  outputAction: append_row
"""
SCRIPT = """
def init():
    pass


def run(mini_batch):
    return [f"{path.rpartition('/')[2]}: {len(open(path).read())}" for path in mini_batch]
"""
VARIABLES = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}


def run(*command, folder):
    """Run a command as in a fresh shell, where nothing leads to the checkout."""
    words = [str(each) for each in command]
    return subprocess.run(words, cwd=folder, env=VARIABLES, capture_output=True, text=True, timeout=300, check=False)


def build(target, *, source, folder):
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=300)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the source distribution outside of the checkout."""
    folder = tmp_path_factory.mktemp("distribution")
    with tarfile.open(build("sdist", source=CHECKOUT, folder=folder / "sdist")) as packed:
        packed.extractall(folder / "unpacked", filter="data")
    (source,) = (folder / "unpacked").iterdir()
    return build("wheel", source=source, folder=folder / "wheel")


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder with the commands of an environment that has the wheel and what pip installs with it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    commands = folder / "bin"
    pip = [sys.executable, "-m", "pip", "--python", commands / "python", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", wheel], cwd=folder, check=True, capture_output=True, timeout=600)
    return commands


@pytest.fixture(scope="module")
def oldest(wheel, tmp_path_factory):
    """The same with the oldest releases that the wheel's dependencies allow."""
    folder = tmp_path_factory.mktemp("oldest")
    venv.create(folder, symlinks=True)
    command = [find_uv_bin(), "pip", "install", "--quiet", "--python", folder, "--resolution", "lowest-direct", wheel]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
    return folder / "bin"


@pytest.fixture
def folder(tmp_path):
    """A step with its data and script."""
    (tmp_path / "texts").mkdir()
    for number in range(5):
        (tmp_path / "texts" / f"{number}.txt").write_text("x" * number)
    (tmp_path / "sizes.py").write_text(SCRIPT)
    (tmp_path / "step.yaml").write_text(STEP.replace("PATHS", '"texts/*.txt"'))
    return tmp_path


def test_the_package_is_not_the_checkouts(installed, tmp_path):
    ended = run(installed / "python", "-c", "import longshore; print(longshore.__file__)", folder=tmp_path)
    assert Path(ended.stdout).is_relative_to(installed.parent)


def test_the_command_prints_its_version(installed, tmp_path):
    ended = run(installed / "longshore", "--version", folder=tmp_path)
    assert (ended.stdout, ended.stderr) == (f"longshore {longshore.__version__}\n", "")


def test_the_package_is_the_command_too(installed, tmp_path):
    ended = run(installed / "python", "-m", "longshore", "--help", folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("usage: longshore ")


def test_a_step_runs_to_its_end(installed, folder):
    ended = run(installed / "longshore", "run", "step.yaml", "--run-dir", "run", folder=folder)
    assert (ended.returncode, ended.stderr.count("Traceback")) == (0, 0), ended.stderr
    (output,) = (folder / "run").glob("*/parallel_run_step.txt")
    assert output.read_text().splitlines() == [f"{number}.txt: {number}" for number in range(5)]


@pytest.mark.parametrize("environment", ["installed", "oldest"])
def test_the_tutorial_prints_what_its_page_states(environment, request, tmp_path):
    commands = request.getfixturevalue(environment)
    page = (CHECKOUT / "docs" / "start" / "laptop.md").read_text()
    printed = list(follow(page, tmp_path, python=str(commands / "python")))
    assert [(line, found) for line, _, found in printed] == [(line, expected) for line, expected, _ in printed]
    assert sum(line.startswith("longshore ") for line, _, _ in printed) == 3


def test_what_the_environment_lacks_is_named(installed, folder):
    (folder / "step.yaml").write_text(STEP.replace("PATHS", '"s3://bucket/*.txt"'))
    ended = run(installed / "longshore", "run", "step.yaml", "--run-dir", "run", folder=folder)
    remedy = "needs the package s3fs; install it with: pip install 'longshore[s3]'"
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.endswith(f": Access to s3://bucket/*.txt {remedy}\n")
    assert not (folder / "run").exists()
