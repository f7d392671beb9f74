"""Entry scripts as they were written for Azure ML, what each is run on, and what is to come of it: here and in pods.

None of them knows of Longshore, and their images need nothing of it. A new one is an entry of SCRIPTS.
"""

import io
import json
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import joblib
import pandas
from azureml_texts import (
    ABBREVIATES,
    COROUTINE,
    INIT_ONCE,
    NAMING,
    NOT_IDEMPOTENT,
    OWN_FILES,
    QUEUE,
    QUEUE_OF_ROWS,
    SCORES_TABLE,
    SWALLOWS,
    TOTALS_FILE_SIZES,
    TOTALS_INCOME,
    TRAINS_MANY,
    USES_CONTEXT,
    USES_LOGGER,
    USES_RUN,
    WRITES_PARQUET,
    YIELDS,
)

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
    given_up: tuple[int, str] | None = None  # tries of each mini-batch in failed.jsonl, and a pattern of its message

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
        if self.given_up is not None:
            failed = [json.loads(line) for line in (folder / "failed.jsonl").read_text().splitlines()]
            assert {each["attempts"] for each in failed} == {self.given_up[0]}, failed
            assert all(re.fullmatch(self.given_up[1], each["message"]) for each in failed), failed
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


SONGS = {"amy/winter/rock": 1, "amy/summer/rock": 2, "amy/summer/jazz": 4, "bob/winter/rock": 8}
IRIS = {
    "data": {
        "iris.csv": "id,petal.length\n1,1.4\n2,4.7\n3,6.0\n",
        "models/iris.pkl": pickle.dumps(SPECIES),
        "models/iris.joblib": _joblib(SPECIES),
    },
    "inputs": ({"name": "iris", "tabular": {"format": "csv", "paths": ["iris.csv"]}},),
    "packages": True,
}
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
    "own-files": Script(OWN_FILES, spec={"outputAction": "summary_only"}, files={"a.txt.done": "", "b.txt.done": ""}),
    "parquet-of-its-own": Script(
        WRITES_PARQUET,
        data={
            "heart/0.csv": "age\n40\n60\n",
            "heart/1.csv": "age\n70\n",
            "models/heart.pkl": pickle.dumps({False: "healthy", True: "ill"}),
        },
        inputs=({"name": "heart", "file": {"paths": ["heart/*"]}},),
        models={"heart": {"path": "models/heart.pkl", "version": 1}},
        packages=True,
        files={"0.parquet": "age,prediction\n40,healthy\n60,ill\n", "1.parquet": "age,prediction\n70,ill\n"},
    ),
    "dataset-of-mini-batch": Script(
        USES_CONTEXT,
        data={f"sounds/{folder}/{size}.wav": "s" * size for folder in "xy" for size in (1, 2)},
        inputs=({"name": "sounds", "file": {"paths": ["sounds"]}},),
        rows=["0,/x/1.wav,1", "0,/x/2.wav,2", "1,/y/1.wav,1", "1,/y/2.wav,2"],
    ),
    "coroutine": Script(COROUTINE, spec={"miniBatchSize": 1}, rows=["0 a.txt", "1 b.txt"]),
    "queue": Script(
        QUEUE,
        spec={"miniBatchSize": 1, "arguments": ["--amlbi_async_mode", "True"]},
        rows=["a.txt True", "b.txt True"],
    ),
    "rows-as-dicts": Script(
        QUEUE_OF_ROWS,
        data={
            "chats/1.jsonl": '{"messages": [{"content": "a"}]}\n{"id": 2}\n{"messages": [{"content": "c"}]}\n',
            "chats/2.jsonl": '{"messages": [{"content": "d"}]}',
        },
        inputs=({"name": "chats", "file": {"paths": ["chats"]}},),
        spec={
            "miniBatchSize": 1,
            "arguments": [
                *("--amlbi_async_mode", "True", "--amlbi_file_format", "jsonl"),
                *("--amlbi_mini_batch_rows", "2"),
            ],
        },
        rows=["jsonl A of 2", "jsonl nothing of 2", "jsonl C of 1", "jsonl D of 1"],
    ),
    "twice": Script(
        NOT_IDEMPOTENT.format(make="folder.mkdir(exist_ok=True)"),
        spec={"miniBatchSize": 1, "outputAction": "summary_only"},
        files={"a/model": "0", "b/model": "1"},
        logs={"user/stdout/*/process000*": ["saved b\n"], "user/stdout/*/process001*": ["saved b\n"]},
    ),
    "swallows": Script(
        SWALLOWS,
        spec={"arguments": ["--model_name", "absent"]},
        error=("WrongReturn", r"run\(\) returned None; it must return a list.*"),
        logs={
            "user/stdout/*/*": [
                "arguments: ['--model_name']\n",
                (
                    'trouble: Model "absent" is not in spec.models of the step and did not exist when this run began; '
                    "Models that existed: "
                ),
            ]
        },
    ),
    "too-many-tries": Script(
        "def run(mini_batch):\n    raise ValueError('never')\n",
        spec={"runMaxTry": 3},
        error=("UserError", "ValueError: never"),
        given_up=(3, "ValueError: never"),
    ),
    "not-twice": Script(
        NOT_IDEMPOTENT.format(make="folder.mkdir()"),
        spec={
            "miniBatchSize": 1,
            "outputAction": "summary_only",
            "errorThreshold": -1,
            "allowedFailedCount": 0,
            "runMaxTry": 3,
        },
        error=("ProcessDied", "process000 exited with code 7"),
        given_up=(3, r"FileExistsError: \[Errno 17\] File exists: '.*/out/b'"),
        files={"b/model": "1"},  # of the first try
    ),
    # Of what a script takes by parse_known_args(), argparse takes beginnings for the whole, unless told otherwise.
    "abbreviates": Script(
        ABBREVIATES.format("True"),
        spec={"arguments": ["--model", "iris"]},
        error=("UserError", "importing entry.py failed: SystemExit: 2"),
        logs={"user/stderr/*/*": ["argument --model_name: invalid int value: 'iris'"]},
    ),
    "does-not-abbreviate": Script(
        ABBREVIATES.format("False"),
        spec={"arguments": ["--model", "iris"], "miniBatchSize": 1},
        rows=["['--model', 'iris']"] * 2,
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
        error=("WrongReturn", r"run\(\) returned 0 results for 2 items"),
    ),
}
