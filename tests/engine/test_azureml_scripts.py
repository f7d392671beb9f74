"""Entry scripts as they were written for Azure ML, importing its packages, run unmodified where none is installed."""

import pickle
import venv

import pytest

USES_LOGGER = """
import logging
import multiprocessing
import os
import sys

from azureml_user.parallel_run import EntryScript


def init():
    logger = EntryScript().logger
    logger.setLevel(logging.DEBUG)
    logger.debug("init in %s", EntryScript().agent_name)


def square(pair):
    script, number = pair
    script.logger.info("in a process of its own")
    return number * number


def run(mini_batch):
    script = EntryScript()
    script.logger.info(f"run {len(mini_batch)} files")
    with open(os.path.join(script.output_dir, f"own-{os.path.basename(mini_batch[0])}"), "w") as file:
        file.write("mine")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(square, [(script, 3)]) == [9]
    return [os.path.basename(each) for each in mini_batch]
"""


@pytest.fixture
def azureml(longshore):
    """Run one step of a script over two files, or over what the spec says."""

    def run(script, /, **spec):
        longshore.data("a.txt", "b.txt")
        longshore.write("code/entry.py", script)
        longshore.manifest(*spec.pop("documents", ()), longshore.step("entry.py", source={"uri": "code"}, **spec))
        return longshore.run()

    return run


def test_the_entry_scripts_logger_writes_into_the_runs_logs(azureml):
    ended = azureml(USES_LOGGER)
    assert ended.code == 0, ended.first_error
    assert ended.rows == ["a.txt", "b.txt"]
    assert (ended.run_dir / "out" / "own-a.txt").read_text() == "mine"
    log = ended.log("user/entry_script_log/worker-0/process000.log.txt")
    for line in ("init in process000", "run 2 files", "in a process of its own"):
        assert f"|{line}\n" in log
    assert "run 2 files" not in ended.logs("user/stdout/worker-0/*")


# --- a table, a model by its name, arguments, a DataFrame --------------------------------------------------------

SCORES_TABLE = """
import argparse
import pickle

from azureml.core.model import Model
from azureml_user.parallel_run import EntryScript


def init():
    global model
    EntryScript().logger.info("init() is called.")
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_name", dest="model_name", required=True)
    args, _ = parser.parse_known_args()
    with open(Model.get_model_path(args.model_name), "rb") as file:
        model = pickle.load(file)


def run(input_data):
    input_data = input_data.reset_index(drop=True)
    input_data["species"] = [model[round(each)] for each in input_data["petal.length"]]
    assert input_data.shape[0] == len(input_data)
    return input_data
"""
IRIS = {"tabular": {"format": "csv", "paths": ["iris.csv"]}, "name": "iris"}


@pytest.fixture
def iris(longshore):
    """The parts of a step that scores a table with a model."""
    longshore.write("iris.csv", "id,petal.length\n1,1.4\n2,4.7\n3,6.0\n")
    longshore.write("models/iris_model.pkl", pickle.dumps({1: "setosa", 5: "versicolor", 6: "virginica"}))
    return {
        "documents": [longshore.document("Model", "iris", path="models/iris_model.pkl", version=2)],
        "inputs": [IRIS],
        "miniBatchSize": "10MB",
        "models": [{"name": "iris"}],
        "arguments": ["--model_name", "iris", "--append_row_dataframe_header", "True"],
    }


def test_a_table_is_scored_with_a_model_that_is_named_by_an_argument(azureml, iris):
    ended = azureml(SCORES_TABLE, **iris)
    assert ended.code == 0, ended.first_error
    assert ended.rows == ["id petal.length species", "1 1.4 setosa", "2 4.7 versicolor", "3 6.0 virginica"]
    assert "init() is called." in ended.log("user/entry_script_log/worker-0/process000.log.txt")


def test_a_model_that_the_step_does_not_list_is_told_with_those_that_it_does(azureml, iris):
    ended = azureml(SCORES_TABLE, **{**iris, "arguments": ["--model_name", "digits"]})
    assert ended.code == 1
    assert ended.first_error["message"].startswith(
        "init() failed: ModelNotFoundException: There is no model digits. The step's models are: iris (version 2)."
    )


def test_what_only_the_real_packages_can_do_is_told_with_what_to_do_instead(azureml):
    ended = azureml("""
from azureml.core import ComputeTarget, Environment
from azureml.core.compute import AmlCompute


def run(mini_batch):
    return [ComputeTarget(None, "gpu")]
""", errorThreshold=0)  # fmt: skip
    assert ended.code == 1
    assert ended.first_error["message"] == (
        "NotInsideAStep: azureml.core.ComputeTarget is not there inside a step of Longshore: where a step runs is said "
        "in its document: computeTarget and environment."
    )


def test_the_real_package_wins_where_it_is_installed(azureml, longshore):
    """An interpreter whose site-packages hold an `azureml.core`, and no `azureml_user`."""
    venv.create(longshore.folder / "environment", with_pip=False, symlinks=True)
    (site,) = (longshore.folder / "environment").glob("lib/python*/site-packages")
    longshore.write(site / "azureml/core/__init__.py", "class Model:\n    get_model_path = 'the real one'\n")
    ended = azureml(
        "from azureml.core import Model\nfrom azureml_user.parallel_run import EntryScript\n\n\n"
        "def run(mini_batch):\n    return [Model.get_model_path, EntryScript().agent_name]\n",
        documents=[longshore.document("Environment", "own", python="environment/bin/python")],
        environment={"name": "own"},
    )
    assert ended.code == 0, ended.first_error
    assert ended.rows == ["the real one", "process000"]
