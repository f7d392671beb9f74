"""A script that asks for everything by name that it does not declare, and the documents and data that it expects.

An entry script calls it in init(), a script step as its script. What it found is one JSON line.
"""

from __future__ import annotations

from typing import Any

from manifests import resource

CALLS = """
import json, os

from azureml.core import Dataset, Datastore, Model, Run, Workspace


def read(path):
    with open(path) as file:
        return file.read()


def names(folder):
    walk = os.walk(folder)
    return sorted(os.path.relpath(os.path.join(where, each), folder) for where, _, files in walk for each in files)


def refused(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except Exception as error:
        return "{}: {}".format(type(error).__name__, error)
    return "it worked"


def by_name(mark):
    ws = Run.get_context().experiment.workspace
    model, words = Model(ws, name="digits"), Dataset.get_by_name(ws, name="words")
    found = {
        "model": read(Model.get_model_path("digits", _workspace=ws)),
        "first": read(Model.get_model_path("digits", version=1)),
        "tags": [model.name, model.version, model.tags, model.properties, model.description],
        "list": [[each.name, each.version] for each in Model.list(ws, tags=["stage"])],
        "models": sorted(ws.models),
        "copied": read(model.download(target_dir="copies", exist_ok=True)),
        "words": words.to_path(),
        "download": sorted(read(each) for each in words.download("words", overwrite=True)),
        "taken": [read(each) for each in words.take(1).download(overwrite=True)],
        "datasets": sorted(ws.datasets),
        "default": [ws.get_default_datastore().name, Datastore.get(ws, "workspaceblobstore").name],
        "datastores": sorted(ws.datastores),
    }
    with words.mount() as mounted:
        found["mounted"] = [names(mounted.mount_point), words.version, words.tags]
    found["rows"] = Dataset.get_by_name(ws, "rows", version=2).to_pandas_dataframe().x.tolist()
    store = Datastore.get(ws, "store")
    found["got"] = [store.download("got", prefix="words", overwrite=True), names("got")]
    os.makedirs("out/sub", exist_ok=True)
    for name in ("a.txt", "sub/b.txt"):
        with open(os.path.join("out", name), "w") as file:
            file.write(mark)
    made = store.upload(src_dir="out", target_path="made/" + mark, overwrite=True)
    store.upload_files(["out/a.txt"], target_path="files/" + mark, overwrite=True)
    store.upload_files(["out/a.txt"], target_path="words")
    back = store.download("back", made.path_on_datastore, overwrite=True)
    found["made"] = [made.path_on_datastore, store.path("x").path_on_datastore, back]
    found["refused"] = [
        refused(Model.get_model_path, "none"),
        refused(Model, ws, name="hidden"),
        refused(Dataset.get_by_name, ws, "secret"),
        refused(Datastore.get, ws, "other"),
        refused(store.upload_files, ["out/a.txt"], target_path="longshore/x/state", overwrite=True),
        refused(store.download, "got", prefix="../other"),
    ]
    text = json.dumps(dict(os.environ)) + read(os.environ["LONGSHORE_CONTEXT"])
    found["secrets"] = [each for each in SECRETS if each in text]
    return found
"""
ENTRY = (
    CALLS
    + """
def init():
    print("FOUND " + json.dumps(by_name("entry")))


def run(mini_batch):
    return [os.path.basename(each) for each in mini_batch]
"""
)
SCRIPT = CALLS + 'print("FOUND " + json.dumps(by_name("script")))\n'
FILES = {
    "models/1.bin": "old",
    "models/2.bin": "new",
    "words/a.txt": "one",
    "words/deep/b.txt": "two",
    "rows/1.csv": "x;y\n1;2\n",
    "rows/2.csv": "x;y\n3;4\n",
}  # of the Datastore `store`


_REFUSED = """
ModelNotFoundException: Model "none" is not in spec.models of the step and did not exist when this run began; \
Models that existed: digits, hidden.
UserErrorException: Model "hidden" version 1 is in Datastore "other", which is not among those that this step may use \
(store); add "other" to spec.datastores of the step.
UserErrorException: Dataset "secret" version 1 is in Datastore "other", which is not among those that this step may \
use (store); add "other" to spec.datastores of the step.
UserErrorException: Datastore "other" is not among those that this step may use (store); add "other" to \
spec.datastores of the step.
UserErrorException: The path "longshore/x/state" of Datastore "store" is part of a run, where a script may write to \
its outputs only; choose another path.
UserErrorException: The path "../other" does not stay below Datastore "store"; write it without "..".
""".strip().splitlines()


def documents() -> list[dict[str, Any]]:
    """Return the Models and Datasets; the test adds the Datastores `store`, the default one, and `other`."""
    return [
        resource("Model", "digits-1", {"name": "digits", "datastore": "store", "path": "models/1.bin"}),
        resource(
            "Model",
            "digits-2",
            {
                "name": "digits",
                "version": 2,
                "datastore": "store",
                "path": "models/2.bin",
                "tags": {"stage": "test"},
                "properties": {"rows": "5"},
                "description": "Digits.",
            },
        ),
        resource("Model", "hidden", {"datastore": "other", "path": "m.bin"}),
        resource("Dataset", "words", {"tags": {"language": "en"}, "file": {"datastore": "store", "paths": ["words"]}}),
        resource(
            "Dataset",
            "rows-2",
            {
                "name": "rows",
                "version": 2,
                "tabular": {"datastore": "store", "paths": ["rows/*.csv"], "separator": ";"},
            },
        ),
        resource("Dataset", "secret", {"file": {"datastore": "other", "paths": ["x"]}}),
    ]


def expected(mark: str, *, declared: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what the script finds; `declared` are the names of the step's own inputs."""
    return {
        "model": "new",
        "first": "old",
        "tags": ["digits", 2, {"stage": "test"}, {"rows": "5"}, "Digits."],
        "list": [["digits", 2]],
        "models": ["digits"],
        "copied": "new",
        "words": ["/a.txt", "/deep/b.txt"],
        "download": ["one", "two"],
        "taken": ["one"],
        "datasets": sorted(["rows", "words", *declared]),
        "default": ["store", "store"],
        "datastores": ["store"],
        "mounted": [["a.txt", "deep/b.txt"], 1, {"language": "en"}],
        "rows": [1, 3],
        "got": [2, ["words/a.txt", "words/deep/b.txt"]],
        "made": [f"made/{mark}", "x", 2],
        "refused": list(_REFUSED),
        "secrets": [],
    }


def made(mark: str) -> dict[str, str]:
    """Return the files that the script uploads to `store`, by their paths there."""
    return {
        f"made/{mark}/a.txt": mark,
        f"made/{mark}/sub/b.txt": mark,
        f"files/{mark}/a.txt": mark,
        "words/a.txt": "one",
    }
