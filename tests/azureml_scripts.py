"""Entry scripts as they were written for Azure ML, what each is run on, and what is to come of it: here and in pods.

None of them knows of Longshore, and their images need nothing of it. A new one is an entry of SCRIPTS.
"""

import io
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import joblib
import pandas

FILES = {"data/a.txt": "a.txt", "data/b.txt": "b.txt"}
SPECIES = {1: "setosa", 5: "versicolor", 6: "virginica"}


@dataclass(frozen=True)
class Script:
    """An entry script and all around it."""

    text: str
    data: Mapping[str, str | bytes] = field(default_factory=lambda: FILES)  # files of the default Datastore
    inputs: Sequence[Mapping[str, Any]] = ({"name": "files", "file": {"paths": ["data/*"]}},)
    spec: Mapping[str, Any] = field(default_factory=dict)  # of the step; what is None is left out
    beside: Mapping[str, str] = field(default_factory=dict)  # other files of its source
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # the specs of Models, by name
    packages: bool = False  # pandas, pyarrow and joblib, beside Python
    # What is to come of it. In texts, {run_id} and {step} stand for what they are called.
    rows: Sequence[str] | None = None
    left_out: int = 0  # items that are missing in the results, or failed
    files: Mapping[str, str] = field(default_factory=dict)  # of the output folder; tables as CSV
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict)  # what stands in logs of a pattern
    # Where it fails: the first error's category and a pattern of its whole message; the step's, if there was no error.
    error: tuple[str, str] | None = None

    def step(self, **around: Any) -> dict[str, Any]:
        """Return the spec of its step."""
        spec = {
            "inputs": list(self.inputs),
            "output": {"name": "out"},
            "entryScript": "entry.py",
            "models": [{"name": name} for name in self.models],
            "miniBatchSize": 2,
            "outputAction": "append_row",
            "resourceMonitorIntervalSeconds": 0,
            **({} if self.error is None else {"errorThreshold": 0, "runMaxTry": 1}),
            **self.spec,
            **around,
        }
        return {name: value for name, value in spec.items() if value is not None}

    def check(self, status, folder, *, step):
        """See that a step of it, with this status and run folder, came to what it was to."""
        (succeeded,) = (each for each in status["conditions"] if each["type"] == "Succeeded")
        error = status.get("firstError", {})
        if self.error is None:
            assert succeeded["status"] == "True", (succeeded, error)
            assert status["progress"]["items"]["failed"] == self.left_out
        else:
            assert succeeded["status"] == "False", succeeded
            category, message = error.get("category", succeeded["reason"]), error.get("message", succeeded["message"])
            assert category == self.error[0], (succeeded, error)
            assert re.fullmatch(self.error[1], message), (succeeded, error)
        if self.rows is not None:
            assert (folder / "out" / status["output"]["file"]).read_text().splitlines() == list(self.rows)
        for name, expected in self.files.items():
            assert _text(folder / "out" / name) == expected, name
        for pattern, expected in self.logs.items():
            found = "".join(each.read_text() for each in sorted(folder.glob(f"logs/{pattern}")))
            for line in expected:
                assert line.format(run_id=status["runId"], step=step) in found, (pattern, found)


def _text(path):
    return pandas.read_parquet(path).to_csv(index=False) if path.suffix == ".parquet" else path.read_text()


def _joblib(value):
    held = io.BytesIO()
    joblib.dump(value, held)
    return held.getvalue()


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
SONGS = {"amy/winter/rock": 1, "amy/summer/rock": 2, "amy/summer/jazz": 4, "bob/winter/rock": 8}

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
IRIS = {
    "data": {
        "iris.csv": "id,petal.length\n1,1.4\n2,4.7\n3,6.0\n",
        "models/iris.pkl": pickle.dumps(SPECIES),
        "models/iris.joblib": _joblib(SPECIES),
    },
    "inputs": ({"name": "iris", "tabular": {"format": "csv", "paths": ["iris.csv"]}},),
    "packages": True,
}

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
MANY = {
    "data": {
        f"sales/{number}.csv": "Store,Brand,Quantity,Price\n"
        + "".join(f"store{number},brand,{each},1\n" for each in quantities)
        for number, quantities in enumerate(["13", "x", "57"])  # of three series, one cannot be read
    },
    "inputs": ({"name": "sales", "file": {"paths": ["sales/*"]}},),
    "spec": {
        "arguments": [
            *("--target_column", "Quantity", "--group_columns", "Store", "Brand"),
            *("--drop_columns", "Price"),
        ]
    },
    "packages": True,
}
NAMING = {"naming.py": "def model_name(columns, row):\n    return '_'.join(str(row[c]) for c in columns)\n"}

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
import os
from pathlib import Path

import pandas as pd


def init():
    global output_path
    output_path = os.environ["AZUREML_BI_OUTPUT_PATH"]


def run(mini_batch):
    for file_path in mini_batch:
        data = pd.read_csv(file_path)
        data["prediction"] = data["x"] * 2
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

YIELDS = """
def run(mini_batch):
    for file in mini_batch:
        yield file
"""

SCRIPTS = {
    "logger": Script(
        USES_LOGGER,
        rows=["a.txt", "b.txt"],
        files={"own-a.txt": "mine"},
        logs={
            "user/entry_script_log/*/process000.log.txt": [
                *("|init in process000\n", "|run 2 files\n", "|in a process of its own\n")
            ]
        },
    ),
    "init-once": Script(INIT_ONCE, rows=["a.txt after 1 init()", "b.txt after 1 init()"], spec={"miniBatchSize": 1}),
    "keys-of-files": Script(
        TOTALS_FILE_SIZES,
        data={f"songs/{name}.wav": "x" * size for name, size in SONGS.items()},
        inputs=({"name": "songs", "file": {"paths": ["songs"], "partitionFormat": "{user}/{season}/{genres}.wav"}},),
        spec={"partitionKeys": ["user", "genres"], "miniBatchSize": None},
        rows=["amy:jazz:4", "amy:rock:3", "amy:rock:3", "bob:rock:8"],
        logs={"user/entry_script_log/*/*": ["2 files of {{'user': 'amy', 'genres': 'rock'}}"]},
    ),
    "keys-of-rows": Script(
        TOTALS_INCOME,
        data={"income.csv": "state,year,income\nor,2025,1\nwa,2025,2\nor,2025,4\nwa,2026,8\n"},
        inputs=({"name": "income", "tabular": {"format": "csv", "paths": ["income.csv"]}},),
        spec={"partitionKeys": ["state", "year"], "miniBatchSize": None},
        packages=True,
        rows=["or 2025 5 0", "wa 2025 2 1", "wa 2026 8 2"],
        left_out=1,
    ),
    "model-by-argument": Script(
        SCORES_TABLE,
        **IRIS,
        spec={
            "miniBatchSize": "10MB",
            "arguments": ["--model_name", "iris", "--append_row_dataframe_header", "True"],
        },
        models={"iris": {"path": "models/iris.pkl", "version": 2}},
        rows=["id petal.length species", "1 1.4 setosa", "2 4.7 versicolor", "3 6.0 virginica"],
        logs={"user/entry_script_log/*/process000.log.txt": ["init() is called."]},
    ),
    "run-and-joblib": Script(
        USES_RUN,
        **IRIS,
        spec={"miniBatchSize": "10MB", "arguments": ["--model", "iris-joblib"]},
        models={"iris-joblib": {"path": "models/iris.joblib", "version": 2}},
        rows=["1 setosa", "2 versicolor", "3 virginica"],
        logs={"user/stdout/*/*": ["{run_id} {run_id} {step} ['iris']\nrows: 3\n"]},
    ),
    "many-models": Script(
        TRAINS_MANY,
        **MANY,
        beside=NAMING,
        rows=["store0_brand 2.0", "store2_brand 6.0"],
        left_out=1,
        files={"2.model": "6.0"},
        logs={"user/stdout/*/*": ["mean: 6.0\n"]},
    ),
    "own-files": Script(
        OWN_FILES, spec={"outputAction": "summary_only"}, left_out=2, files={"a.txt.done": "", "b.txt.done": ""}
    ),
    "parquet-of-its-own": Script(
        WRITES_PARQUET,
        data={"numbers/0.csv": "x\n1\n2\n", "numbers/1.csv": "x\n3\n"},
        inputs=({"name": "numbers", "file": {"paths": ["numbers/*"]}},),
        spec={"outputAction": "summary_only"},
        packages=True,
        files={"0.parquet": "x,prediction\n1,2\n2,4\n", "1.parquet": "x,prediction\n3,6\n"},
    ),
    "swallows": Script(
        SWALLOWS,
        spec={"arguments": ["--model_name", "absent"]},
        error=("WrongReturn", r"run\(\) returned None; it must return a list.*"),
        logs={
            "user/stdout/*/*": [
                "arguments: ['--model_name']\n",
                "trouble: There is no model absent. The step's models are: none.",
            ]
        },
    ),
    "generator": Script(YIELDS, error=("WrongReturn", r"run\(\) in entry\.py is a generator \(it uses yield\).*")),
    "no-sibling": Script(
        TRAINS_MANY,
        **MANY,
        error=("UserError", "importing entry.py failed: ModuleNotFoundError: No module named 'naming'"),
    ),
    "no-argument": Script(
        TRAINS_MANY,
        **{**MANY, "spec": {"arguments": ["--group_columns", "Store"]}},
        beside=NAMING,
        error=("UserError", "importing entry.py failed: SystemExit: 2"),
        logs={"user/stderr/*/*": ["the following arguments are required: --target_column"]},
    ),
    "nothing-to-append": Script(
        "def run(mini_batch):\n    return []\n",
        spec={"errorThreshold": -1},
        error=("NoResultToAppend", r"no succeeded mini-batch item was returned from run\(\): .*"),
    ),
}
