"""The texts of entry scripts as they were written for Azure ML; `azureml_scripts` has what they are run on."""

# --- the logger, files of its own, a process of its own ------------------------------------------------------------

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

# --- once in each process ------------------------------------------------------------------------------------------

INIT_ONCE = """
import os


class Counter:
    _instance = None

    def __new__(cls):
        if cls._instance is None:
            cls._instance = super().__new__(cls)
            cls._instance.calls = 0
        return cls._instance


def init():
    global called
    called = 0
    Counter().calls += 1
    called += 1


def run(mini_batch):
    assert (called, Counter().calls) == (1, 1)
    return ["{} after {} init()".format(os.path.basename(file), called) for file in mini_batch]
"""

# --- partition keys: two arguments, the second with their values ---------------------------------------------------

TOTALS_FILE_SIZES = """
import os

from azureml_user.parallel_run import EntryScript


def init():
    EntryScript().logger.info("init")


def run(mini_batch, mini_batch_context):
    keys = mini_batch_context.partition_key_value
    EntryScript().logger.info("%s files of %s", len(mini_batch), keys)
    total = sum(os.path.getsize(file) for file in mini_batch)
    return ["{}:{}:{}".format(keys["user"], keys["genres"], total)] * len(mini_batch)
"""

TOTALS_INCOME = """
def run(mini_batch, context):
    keys = context.partition_key_value
    mini_batch = mini_batch.groupby(list(keys), as_index=False)["income"].sum()
    assert len(mini_batch) == 1
    assert {name: mini_batch[name][0] for name in keys} == keys, (mini_batch, keys)
    mini_batch["index"] = context.minibatch_index
    return mini_batch
"""

# --- a table, a model by its name, arguments, a DataFrame ----------------------------------------------------------

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

# --- the run, the model by joblib ----------------------------------------------------------------------------------

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

# --- arguments at module level, a sibling, failed items left out, files of its own ---------------------------------

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

# --- files of its own alone ----------------------------------------------------------------------------------------

OWN_FILES = """
import os

from azureml_user.parallel_run import EntryScript


def run(mini_batch):
    for file in mini_batch:
        with open(os.path.join(EntryScript().output_dir, os.path.basename(file) + ".done"), "x"):
            pass
    return []
"""

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

# --- what is to fail -----------------------------------------------------------------------------------------------

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

ABBREVIATES = """
import argparse

parser = argparse.ArgumentParser(allow_abbrev={})
parser.add_argument("--model_name", type=int, default=0)
args, rest = parser.parse_known_args()


def run(mini_batch):
    return [rest]
"""

YIELDS = """
def run(mini_batch):
    for file in mini_batch:
        yield file
"""

NAMING = {"naming.py": "def model_name(columns, row):\n    return '_'.join(str(row[c]) for c in columns)\n"}

# --- the second argument -------------------------------------------------------------------------------------------

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

# --- many mini-batches at once: each of two waits for the other ------------------------------------------------------

COROUTINE = """
import asyncio
import os

flights = set()


async def init():
    global together
    together = asyncio.Event()


async def run(mini_batch, mini_batch_context):
    flights.add(mini_batch_context.minibatch_index)
    if len(flights) == 2:
        together.set()
    await together.wait()
    return ["{} {}".format(mini_batch_context.minibatch_index, os.path.basename(each)) for each in mini_batch]
"""

QUEUE = """
import argparse
import os
import threading
from concurrent.futures import ThreadPoolExecutor

parser = argparse.ArgumentParser()
parser.add_argument("--amlbi_async_mode", dest="async_mode", default="False")
args, _ = parser.parse_known_args()
flights = {}


def init():
    global pool, together
    pool, together = ThreadPoolExecutor(2), threading.Barrier(2)


def score(mini_batch):
    together.wait()
    return ["{} {}".format(os.path.basename(each), args.async_mode) for each in mini_batch]


def enqueue(mini_batch, mini_batch_context):
    flights[mini_batch_context.minibatch_index] = (mini_batch_context, pool.submit(score, mini_batch))


def check_all_tasks_processed():
    return not flights


def get_processing_batch_number():
    return len(flights)


def get_finished_batch_result():
    found = {}
    for index, (context, future) in list(flights.items()):
        if future.done():
            del flights[index]
            error = future.exception()
            found[index] = {"ret": [] if error else future.result(), "mini_batch_context": context, "exception": error}
    return found
"""

QUEUE_OF_ROWS = """
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--amlbi_file_format", default=None)
args, _ = parser.parse_known_args()
finished = {}


def enqueue(mini_batch, mini_batch_context):
    texts = [row["messages"][-1]["content"].upper() if "messages" in row else "nothing" for row in mini_batch]
    finished[mini_batch_context.minibatch_index] = {
        "ret": ["{} {} of {}".format(args.amlbi_file_format, text, len(mini_batch)) for text in texts],
        "mini_batch_context": mini_batch_context,
        "exception": None,
    }


def check_all_tasks_processed():
    return not finished


def get_processing_batch_number():
    return len(finished)


def get_finished_batch_result():
    found = dict(finished)
    finished.clear()
    return found
"""
