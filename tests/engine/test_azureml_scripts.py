"""Entry scripts as they were written for Azure ML, importing its packages, run unmodified where none is installed."""

import pickle
import venv

import joblib
import pandas
import pytest

from longshore_run import metrics

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


# --- the run, the model by joblib ---------------------------------------------------------------------------------

USES_RUN = """
import argparse

import joblib
import pandas as pd
from azureml.core import Dataset, Run, Workspace
from azureml.core.model import Model

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
args, unknown = parser.parse_known_args()


def init():
    global current_run, model
    current_run = Run.get_context(allow_offline=False)
    workspace = current_run.experiment.workspace
    assert workspace.name and Workspace.from_config().name
    model = joblib.load(Model.get_model_path(model_name=args.model, _workspace=workspace))
    assert Dataset.get_by_name(workspace, "iris").take(1).to_pandas_dataframe().shape == (1, 2)
    print(current_run.id, current_run.parent.id, current_run.experiment.name, list(current_run.input_datasets))


def run(mini_batch):
    current_run.log("rows", len(mini_batch))
    mini_batch = mini_batch.astype({"petal.length": float})
    species = [model[round(each)] for each in mini_batch["petal.length"]]
    return pd.DataFrame({"id": mini_batch["id"], "species": species})
"""


def test_a_script_that_asks_for_its_run_gets_it(azureml, longshore, iris):
    joblib.dump({1: "setosa", 5: "versicolor", 6: "virginica"}, longshore.folder / "models" / "iris_model.pkl")
    ended = azureml(USES_RUN, **{**iris, "arguments": ["--model", "iris"]})
    assert ended.code == 0, ended.first_error
    assert ended.rows == ["1 setosa", "2 versicolor", "3 virginica"]
    run_id = ended.status["runId"]
    assert ended.logs("user/stdout/worker-0/*") == f"{run_id} {run_id} test-step ['iris']\nrows: 3\n"


# --- arguments at module level, a sibling, failed items left out, files of its own --------------------------------

TRAINS_MANY = """
import argparse
import os
from pathlib import Path

import pandas as pd
from azureml.core import Run
from naming import model_name

parser = argparse.ArgumentParser("split")
parser.add_argument("--target_column", type=str, required=True)
parser.add_argument("--group_columns", type=str, nargs="*", required=True)
parser.add_argument("--drop_columns", type=str, nargs="*", default=[])
args, _ = parser.parse_known_args()
current_run = None


def init():
    global current_run
    current_run = Run.get_context()


def run(input_data):
    result = []
    for file in input_data:
        child = current_run.child_run(name=Path(file).stem)
        try:
            data = pd.read_csv(file).drop(columns=args.drop_columns)
            mean = data[args.target_column].mean()
            child.log("mean", mean)
            result.append([model_name(args.group_columns, data.iloc[0]), float(mean)])
            with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], Path(file).stem + ".model"), "w") as out:
                out.write(str(mean))
        except Exception as error:
            child.log("error", str(error))
        finally:
            child.complete()
    return pd.DataFrame(result, columns=["model", "mean"])
"""


@pytest.fixture
def many(longshore):
    """Three series of sales, of which one cannot be read."""
    longshore.write(
        "code/naming.py", "def model_name(columns, row):\n    return '_'.join(str(row[c]) for c in columns)\n"
    )
    for number, quantities in enumerate(["1\n3", "x", "5\n7"]):
        rows = "".join(f"store{number},brand,{each},1\n" for each in quantities.split())
        longshore.write(f"sales/{number}.csv", "Store,Brand,Quantity,Price\n" + rows)
    columns = ["--group_columns", "Store", "Brand", "--drop_columns", "Price"]
    return {
        "inputs": [{"name": "sales", "file": {"paths": ["sales/*"]}}],
        "arguments": ["--target_column", "Quantity", *columns],
    }


def test_arguments_at_module_level_are_complete_and_what_is_left_out_of_a_result_is_counted(azureml, many):
    ended = azureml(TRAINS_MANY, **many)
    assert ended.code == 0, ended.first_error
    assert ended.rows == ["store0_brand 2.0", "store2_brand 6.0"]
    assert ended.items == {"total": 3, "succeeded": 2, "failed": 1}
    assert (ended.run_dir / "out" / "2.model").read_text() == "6.0"
    assert "mean: 6.0\n" in ended.logs("user/stdout/worker-0/*")


def test_too_many_that_are_left_out_fail_the_step(azureml, many):
    ended = azureml(TRAINS_MANY, **many, errorThreshold=0)
    assert (ended.code, ended.reason) == (1, "ErrorThresholdExceeded")


def test_a_sibling_that_is_missing_is_told_by_its_name(azureml, longshore, many):
    (longshore.folder / "code" / "naming.py").unlink()
    ended = azureml(TRAINS_MANY, **many)
    assert ended.code == 1
    assert ended.first_error["message"] == ("importing entry.py failed: ModuleNotFoundError: No module named 'naming'")


def test_an_argument_that_is_missing_is_told_in_the_scripts_own_words(azureml, many):
    ended = azureml(TRAINS_MANY, **{**many, "arguments": ["--group_columns", "Store"]})
    assert ended.code == 1
    assert ended.first_error["message"] == "importing entry.py failed: SystemExit: 2"
    assert "the following arguments are required: --target_column" in ended.logs("user/stderr/worker-0/*")


OWN_FILES = """
import os

from azureml_user.parallel_run import EntryScript


def run(mini_batch):
    for file in mini_batch:
        with open(os.path.join(EntryScript().output_dir, os.path.basename(file) + ".done"), "x"):
            pass
    return []
"""


def test_a_script_that_writes_its_own_files_may_return_an_empty_list(azureml):
    ended = azureml(OWN_FILES, outputAction="summary_only")
    assert ended.code == 0, ended.first_error
    assert sorted(each.name for each in (ended.run_dir / "out").iterdir()) == ["a.txt.done", "b.txt.done"]


WRITES_PARQUET = """
import glob
import os
import pickle
from pathlib import Path

import pandas as pd


def init():
    global model, output_path
    output_path = os.environ["AZUREML_BI_OUTPUT_PATH"]
    files = glob.glob(os.path.join(os.environ["AZUREML_MODEL_DIR"], "*")) or [os.environ["AZUREML_MODEL_DIR"]]
    with open(files[0], "rb") as file:
        model = pickle.load(file)


def run(mini_batch):
    for file_path in mini_batch:
        data = pd.read_csv(file_path)
        data["prediction"] = data["age"].map(lambda age: model[age > 50])
        data.to_parquet(os.path.join(output_path, Path(file_path).stem + ".parquet"))
    return mini_batch
"""


def test_predictions_may_be_written_as_parquet_beside_the_steps_own_file(azureml, longshore):
    for number, ages in enumerate(["40\n60", "70"]):
        longshore.write(f"heart/part{number}.csv", f"age\n{ages}\n")
    longshore.write("models/heart.pkl", pickle.dumps({False: "healthy", True: "ill"}))
    ended = azureml(
        WRITES_PARQUET,
        documents=[longshore.document("Model", "heart", path="models/heart.pkl", version=1)],
        inputs=[{"name": "heart", "file": {"paths": ["heart/*"]}}],
        models=[{"name": "heart"}],
        miniBatchSize=1,
        appendRowFileName="predictions.csv",
    )
    assert ended.code == 0, ended.first_error
    assert (ended.run_dir / "out/predictions.csv").read_text().count("heart/part") == 2
    tables = [pandas.read_parquet(ended.run_dir / f"out/part{number}.parquet") for number in (0, 1)]
    assert [list(each["prediction"]) for each in tables] == [["healthy", "ill"], ["ill"]]


SWALLOWS = """
import sys

from azureml.core.model import Model


def init():
    print("arguments:", [each for each in sys.argv if each.startswith("--model")])


def run(mini_batch):
    try:
        Model.get_model_path("absent")
        return mini_batch
    except Exception as error:
        print("trouble:", error)
"""


def test_a_script_that_swallows_its_exception_and_returns_none_fails_for_that(azureml):
    ended = azureml(SWALLOWS, errorThreshold=0, arguments=["--model_name", "absent"], runMaxTry=1)
    assert ended.code == 1
    assert ended.first_error["category"] == "WrongReturn"
    assert "None" in ended.first_error["message"]
    out = ended.logs("user/stdout/worker-0/*")
    assert "arguments: ['--model_name']\n" in out
    assert "trouble: There is no model absent. The step's models are: none." in out


@pytest.mark.parametrize("allow", [True, False])
def test_an_argument_that_is_another_ones_beginning_clashes_as_argparse_has_it(azureml, allow):
    """Of what a script takes by parse_known_args(), argparse takes beginnings for the whole, unless told otherwise."""
    ended = azureml(f"""
import argparse

parser = argparse.ArgumentParser(allow_abbrev={allow})
parser.add_argument("--model_name", type=int, default=0)
args, rest = parser.parse_known_args()


def run(mini_batch):
    return [rest]
""", arguments=["--model", "iris"])  # fmt: skip
    if allow:
        assert ended.first_error["message"] == "importing entry.py failed: SystemExit: 2"
        assert "argument --model_name: invalid int value: 'iris'" in ended.logs("user/stderr/worker-0/*")
    else:
        assert ended.rows == ["['--model', 'iris']"]


NOT_IDEMPOTENT = """
import os
from pathlib import Path

from azureml_user.parallel_run import EntryScript


def run(mini_batch, context):
    for each in mini_batch:
        folder = Path(EntryScript().output_dir, Path(each).stem)
        {make}
        (folder / "model").write_text(context.minibatch_index)
        print("saved", folder.name)
    if context.attempt == 1 and Path(each).stem == "b":
        os._exit(7)  # its work is done, and nobody hears of it
    return []
"""


def test_a_second_try_finds_what_the_first_wrote_and_a_script_that_minds_fails_by_its_own_error(azureml):
    script = NOT_IDEMPOTENT.format(make="folder.mkdir()")
    ended = azureml(script, miniBatchSize=1, outputAction="summary_only", allowedFailedCount=0)
    assert (ended.code, ended.reason) == (1, "AllowedFailedCountExceeded")
    assert ended.first_error["message"] == "process000 ended by itself with exit code 7"
    (failed,) = ended.failed
    assert (failed["attempts"], failed["category"]) == (3, "UserError")
    assert failed["message"] == f"FileExistsError: [Errno 17] File exists: '{ended.run_dir}/out/b'"
    assert (ended.run_dir / "out/b/model").read_text() == "1"  # the work of the first try


def test_a_script_that_writes_to_the_same_place_again_succeeds_at_its_second_try(azureml):
    script = NOT_IDEMPOTENT.format(make="folder.mkdir(exist_ok=True)")
    ended = azureml(script, miniBatchSize=1, outputAction="summary_only", allowedFailedCount=0)
    assert ended.code == 0, ended.first_error
    assert ended.mini_batches == {"total": 2, "scheduled": 2, "succeeded": 2, "retried": 1}
    assert ended.logs("user/stdout/worker-0/*").count("saved b\n") == 2


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
NAMED = "what is written below an output is named, for later steps, by the path of a Model or a Dataset document."
KEPT = "what is to be kept is written below the output folder, or to ./outputs of a script step."


@pytest.mark.parametrize(
    ("call", "name", "alternative"),
    [
        ("Model.register(run.experiment.workspace, 'model.pkl', 'sales')", "Model.register", NAMED),
        ("run.register_model('sales', 'outputs/model.pkl')", "Run.register_model", NAMED),
        ("run.upload_file('outputs/model.pkl', 'model.pkl')", "Run.upload_file", KEPT),
    ],
)
def test_what_registers_or_uploads_is_told_what_to_do_instead(azureml, call, name, alternative):
    ended = azureml(REGISTERS.format(call=call), errorThreshold=0, runMaxTry=1)
    assert (
        ended.first_error["message"] == f"NotInsideAStep: {name} is not there inside a step of Longshore: {alternative}"
    )


# --- the second argument ------------------------------------------------------------------------------------------

USES_CONTEXT = """
import os
import time


def run(mini_batch, mini_batch_context):
    assert time.time() < mini_batch_context.deadline < time.time() + 60
    dataset = mini_batch_context.dataset
    with dataset.mount() as mounted:
        sizes = [os.path.getsize(mounted.mount_point + path) for path in dataset.to_path()]
    assert [os.path.getsize(each) for each in dataset.skip(1).download()] == sizes[1:]
    return [f"{mini_batch_context.minibatch_index},{path},{size}" for path, size in zip(dataset.to_path(), sizes)]
"""


def test_the_context_has_the_files_of_the_mini_batch_as_a_dataset(azureml, longshore):
    for name in ("x/1.wav", "x/2.wav", "y/1.wav", "y/2.wav"):
        longshore.write(f"songs/{name}", "s" * int(name[2]))
    ended = azureml(USES_CONTEXT, inputs=[{"name": "songs", "file": {"paths": ["songs"]}}])
    assert ended.code == 0, ended.first_error
    assert ended.rows == ["0,/x/1.wav,1", "0,/x/2.wav,2", "1,/y/1.wav,1", "1,/y/2.wav,2"]


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
