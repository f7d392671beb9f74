"""Entry scripts as they were written for Azure ML, importing its packages, run unmodified where none is installed."""

import pickle
import venv
from dataclasses import replace

import pytest
from azureml_scripts import SCRIPTS
from azureml_texts import SCORES_TABLE

from longshore_run import metrics


@pytest.fixture
def azureml(longshore):
    """Run one step of a script over two files, or over what the spec says."""

    def run(script, /, **spec):
        longshore.data("a.txt", "b.txt")
        longshore.write("code/entry.py", script)
        longshore.manifest(*spec.pop("documents", ()), longshore.step("entry.py", source={"uri": "code"}, **spec))
        return longshore.run()

    return run


@pytest.fixture
def came_of(longshore):
    """Run a script of SCRIPTS, or one like it."""

    def run(script, name):
        for file, content in script.data.items():
            longshore.write(file, content)
        for file, content in {"entry.py": script.text, **script.beside}.items():
            longshore.write(f"code/{file}", content)
        models = [longshore.document("Model", model, **spec) for model, spec in script.models.items()]
        step = longshore.document("ParallelRunStep", name, **script.step(source={"uri": "code"}))
        longshore.manifest(*models, step)
        return longshore.run()

    return run


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_unmodified_and_comes_to_what_it_is_to(came_of, name):
    ended = came_of(SCRIPTS[name], name)
    assert ended.stdout, ended.stderr
    SCRIPTS[name].check(ended.status, ended.run_dir, step=name)


def test_what_the_logger_gets_is_not_printed(came_of):
    assert "run 2 files" not in came_of(SCRIPTS["logger"], "logger").logs("user/stdout/*/*")


def test_too_many_that_are_left_out_fail_the_step(came_of):
    script = SCRIPTS["many-models"]
    ended = came_of(replace(script, spec={**script.spec, "errorThreshold": 0}), "many-models")
    assert (ended.code, ended.reason) == (1, "ErrorThresholdExceeded")


def test_a_model_that_the_step_does_not_list_is_reported_with_those_that_it_does(azureml, longshore):
    longshore.write("models/iris.pkl", pickle.dumps({}))
    model = longshore.document("Model", "iris", path="models/iris.pkl", version=2)
    models = {"documents": [model], "models": [{"name": "iris"}]}
    ended = azureml(SCORES_TABLE, **models, arguments=["--model_name", "digits"])
    assert ended.code == 1
    assert ended.first_error["message"] == (
        'init() failed: ModelNotFoundException: Model "digits" is not in spec.models of the step and did not exist '
        "when this run began; Models that existed: iris."
    )


def test_what_only_the_real_packages_can_do_is_reported_with_what_to_do_instead(azureml):
    ended = azureml("""
from azureml.core import ComputeTarget, Environment
from azureml.core.compute import AmlCompute


def run(mini_batch):
    return [ComputeTarget(None, "gpu")]
""", errorThreshold=0)  # fmt: skip
    assert ended.code == 1
    assert ended.first_error["message"] == (
        "NotInsideAStep: azureml.core.ComputeTarget is not available inside a Longshore step: set computeTarget and "
        "environment in the step's document."
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


REGISTERS = """
import os

from azureml.core import Run
from azureml.core.model import Model


def run(mini_batch):
    run = Run.get_context()
    with open("model.pkl", "w") as file:
        file.write("model")
    {call}
    return mini_batch
"""
NOT_YET = (
    "is not available in init() and run(), because a mini-batch may run again: call it in shutdown(), or in a script "
    "step after this one."
)
KEPT = "is not available inside a Longshore step: write files to the output folder, or to ./outputs of a script step."


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("Model.register(run.experiment.workspace, 'model.pkl', 'sales')", f"Model.register {NOT_YET}"),
        ("run.register_model('sales', 'outputs/model.pkl')", f"Run.register_model {NOT_YET}"),
        ("run.upload_file('outputs/model.pkl', 'model.pkl')", f"Run.upload_file {KEPT}"),
    ],
)
def test_run_neither_registers_nor_uploads_and_states_what_to_do_instead(azureml, call, message):
    ended = azureml(REGISTERS.format(call=call), errorThreshold=0, runMaxTry=1)
    assert ended.first_error["message"].partition(": ")[2] == message


# --- script steps -------------------------------------------------------------------------------------------------

SCRIPT_STEP = """
import argparse
import os
import subprocess
import sys

from azureml.core import Dataset, Run
from azureml.core.dataset import Dataset as same
from azureml.core.model import Model
from azureml.core.run import Run as same_run, _OfflineRun
from azureml.core.workspace import Workspace

run = Run.get_context()
assert same is Dataset and same_run is Run and not isinstance(run, _OfflineRun)
with Dataset.get_by_name(run.experiment.workspace, "numbers").mount() as mounted:
    numbers = [int(open(os.path.join(mounted.mount_point, each)).read()) for each in os.listdir(mounted.mount_point)]
assert run.input_datasets["numbers"] == sys.argv[1], run.input_datasets["numbers"]
with open(os.path.join(run.output_datasets["total"], "total.txt"), "w") as file:
    file.write(str(sum(numbers)))
run.log("total", sum(numbers))
run.log_table("each", {"number": sorted(numbers)})
run.upload_file("outputs/kept/script.py", __file__)
run.upload_folder("folder", os.path.dirname(os.path.abspath(__file__)) + "/outputs/kept")
run.parent.log("who", "{} of {} in {}".format(run.id, run.parent.id, run.experiment.name))
child = "from azureml.core import Run; Run.get_context().log('of a child', 1)"
subprocess.run([sys.executable, "-c", child], check=True, cwd="/")
"""


def test_the_script_of_a_pipelines_step_finds_its_run_and_its_data(longshore):
    longshore.write("data/a.txt", "3")
    longshore.write("data/b.txt", "4")
    longshore.write("code/total.py", SCRIPT_STEP)
    step = {
        "source": {"uri": "file:code"},
        "scriptName": "total.py",
        "inputs": [{"name": "numbers", "file": {"paths": ["data"]}}],
        "outputs": [{"name": "total"}],
        "arguments": ["$(inputs.numbers)"],
    }
    longshore.manifest(longshore.document("Pipeline", "sums", steps=[{"name": "total", "script": step}]))
    ended = longshore.run()
    assert ended.code == 0, ended.stdout
    folder = ended.run_dir / "steps" / "total"
    assert (folder / "total" / "total.txt").read_text() == "7"
    run_id = ended.status["runId"]
    found = metrics.read(str(folder / "logs" / "metrics.jsonl"))
    table = [{"number": 3}, {"number": 4}]
    assert found == {"total": 7, "each": table, "who": f"{run_id}-total of {run_id} in sums", "of a child": 1}
    assert (folder / "outputs/kept/script.py").read_text() == SCRIPT_STEP
    assert (folder / "outputs/folder/script.py").read_text() == SCRIPT_STEP
