"""Functions instead of scripts, and a step's script in this process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import longshore
from longshore import (
    Environment,
    FileDataset,
    InvalidArgument,
    Model,
    ParallelRunStep,
    Parameter,
    TabularDataset,
    functions,
)

MODULE = """
import os
from pathlib import Path
from offsets import OFFSET

def load():
    global start
    start = OFFSET

def score(paths):
    return [f"{os.path.basename(each)} {start + int(Path(each).read_text())}" for each in paths]
"""
ENTRY = """
import os
from pathlib import Path
from azureml.core import Model
import beside

def init():
    global factor
    factor = int(os.environ["FACTOR"])

def run(mini_batch, context):
    assert os.path.exists(os.path.join(os.environ["AZUREML_MODEL_DIR"], "weights"))
    if "3.txt" in str(mini_batch):
        raise LookupError("three")
    return [factor * int(Path(each).read_text()) + beside.ZERO for each in mini_batch]
"""


@pytest.fixture(name="folder")
def the_folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for number in range(6):
        (tmp_path / f"data/{number}.txt").write_text(str(number))
    return tmp_path


def test_functions_of_a_module_run_with_the_modules_beside_it(folder: Path, monkeypatch):
    (folder / "lib").mkdir()
    (folder / "lib/scoring.py").write_text(MODULE)
    (folder / "lib/offsets.py").write_text("OFFSET = 10\n")
    monkeypatch.syspath_prepend(str(folder / "lib"))
    import scoring

    run = longshore.parallel_run(scoring.score, "data/*.txt", init=scoring.load, mini_batch_size=2)
    table = run.wait(show=False, timeout=60).outputs["results"].to_pandas(names=["file", "value"])
    assert (run.name, list(table["value"])) == ("score", [10, 11, 12, 13, 14, 15])


def test_nested_functions_run_by_value_and_share_their_globals(folder: Path):
    half, model = 2, {}

    def load():
        model["half"] = half

    def halve(rows):
        rows["b"] = rows["a"] // model["half"]
        return rows

    (folder / "t.csv").write_text("a\n2\n4\n")
    run = longshore.parallel_run(halve, TabularDataset("t.csv"), init=load, name="halves", output="out")
    table = run.wait(show=False, timeout=60).outputs["out"].to_pandas()
    assert (run.name, table.values.tolist()) == ("halves", [[2, 1], [4, 2]])


@pytest.mark.usefixtures("folder")
def test_another_python_is_refused_before_anything_starts(tmp_path: Path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 3 7\n")
    python.chmod(0o755)
    message = rf"environment 'old': the functions are pickled by Python 3\.{sys.version_info[1]}, which Python 3\.7"
    with pytest.raises(InvalidArgument, match=message):
        longshore.parallel_run(lambda batch: batch, "data", environment=Environment("old", python=str(python)))


@pytest.mark.usefixtures("folder")
def test_another_python_is_refused_in_the_step_too(monkeypatch):
    monkeypatch.setattr(functions, "_PYTHON", (3, 7))
    run = longshore.parallel_run(lambda batch: batch, "data")
    with pytest.raises(longshore.RunFailed, match=r"pickled by Python 3\.7, and this step runs Python 3\."):
        run.wait(show=False, timeout=60)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(ImportError, match=r"needs the package cloudpickle.*pip install 'longshore\[functions\]'"):
        longshore.parallel_run(lambda batch: batch, "data")


# A step's script in this process


@pytest.fixture(name="step")
def the_step(folder: Path) -> ParallelRunStep:
    (folder / "code").mkdir()
    (folder / "code/score.py").write_text(ENTRY)
    (folder / "code/beside.py").write_text("ZERO = 0\n")
    (folder / "model").mkdir()
    (folder / "model/weights").touch()
    return ParallelRunStep(
        "score",
        "score.py",
        source="code",
        inputs={"numbers": FileDataset("data/*.txt")},
        output="scores",
        models=[Model("weights", "model")],
        environment_variables={"FACTOR": Parameter("factor", 2)},
        mini_batch_size=2,
    )


def test_a_script_runs_in_this_process_and_leaves_it_as_it_was(step: ParallelRunStep):
    before = os.getcwd(), sys.argv, sys.path, dict(os.environ)
    assert longshore.debug(step) == [[0, 2]]
    assert longshore.debug(step, parameters={"factor": 5}) == [[0, 5]]
    assert (os.getcwd(), sys.argv, sys.path, dict(os.environ)) == before


def test_an_error_of_the_script_is_raised_where_it_happens(step: ParallelRunStep):
    with pytest.raises(LookupError, match="three") as caught:
        longshore.debug(step, 2)
    assert caught.traceback[-1].path.name == "score.py"


def test_rows_are_tables_as_in_a_step(folder: Path):
    (folder / "rows.py").write_text("def run(rows):\n    return list(rows['a'])\n")
    (folder / "t.csv").write_text("a\n1\n2\n")
    step = ParallelRunStep("rows", "rows.py", inputs={"t": TabularDataset("t.csv")}, mini_batch={"rows": 1})
    assert longshore.debug(step, 5) == [[1], [2]]


def test_what_cannot_run_in_this_process_is_named(step: ParallelRunStep, folder: Path):
    remote = step.replace(inputs={"numbers": FileDataset("s3://bucket/a.txt")})
    with pytest.raises(InvalidArgument, match=r"s3://bucket/a\.txt is not on this machine"):
        longshore.debug(remote)
    (folder / "code/score.py").write_text("async def run(batch):\n    return batch\n")
    with pytest.raises(InvalidArgument, match="entry_script is asynchronous"):
        longshore.debug(step)
    with pytest.raises(InvalidArgument, match=r'models\["other"\]\.name is \'other\': there is no such Model'):
        longshore.debug(step.replace(models=["other"]))
