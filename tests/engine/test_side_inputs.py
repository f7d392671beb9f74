"""Data that every worker has whole before init(): side inputs, inputs whose mode is download, and models."""

import os
import signal
from uuid import uuid4

import pytest
from commands import wait_until
from s3_server import BUCKET

from longshore_storage.store import open_store

SCRIPT = """
import os
import sys
import time

from azureml.core import Dataset, Run

WORDS, LABELS = sys.argv[1:3]
GATE = sys.argv[3]  # no mini-batch ends before so many things are in it


def init():
    global words, labels
    with open(WORDS) as file:
        words = file.read().split()
    labels = sorted(os.listdir(LABELS))
    run = Run.get_context()
    assert run.input_datasets["words"] == WORDS, run.input_datasets["words"]
    assert os.environ["AZUREML_DATAREFERENCE_labels"] == os.environ["labels"] == LABELS
    assert len(Dataset.get_by_name(run.experiment.workspace, "labels").to_path()) == 2
    open(os.path.join(GATE, str(os.getppid())), "w").close()  # the worker's host


def run(mini_batch):
    while len(os.listdir(GATE)) < 2:
        time.sleep(0.01)
    return ["{} {} {}".format(os.path.basename(each), words, labels) for each in mini_batch]
"""
ROWS = [f"{name}.txt ['one', 'two'] ['a.txt', 'b.txt']" for name in "pqrst"]


def step_of(longshore, words, labels, **spec):
    longshore.write("code/entry.py", SCRIPT)
    (longshore.folder / "gate").mkdir()
    fields = {"nodeCount": 2, **spec}
    side = [{"name": "words", "file": {"paths": [words]}}, {"name": "labels", "file": {"paths": [labels]}}]
    return longshore.step(
        "entry.py",
        source={"uri": "code"},
        sideInputs=side,
        arguments=["$(inputs.words)", "$(inputs.labels)", str(longshore.folder / "gate")],
        miniBatchSize=1,
        errorThreshold=0,
        **fields,
    )


def test_side_inputs_are_paths_on_every_worker_before_init(longshore):
    longshore.data(*(f"{name}.txt" for name in "pqrst"))
    longshore.write("side/words.txt", "one two")
    longshore.data("a.txt", "b.txt", under="side/labels")
    longshore.manifest(step_of(longshore, "side/words.txt", "side/labels"))
    ended = longshore.run()
    assert ended.code == 0, ended.first_error
    assert ended.rows == ROWS


@pytest.mark.usefixtures("s3")
def test_side_inputs_and_downloads_of_a_store_are_downloaded_once_to_each_worker(longshore):
    url = f"s3://{BUCKET}/{uuid4().hex}"
    store = open_store(url)
    for name in "pqrst":
        store.put(f"data/{name}.txt", name.encode())
    store.put("side/words.txt", b"one two")
    for name in ("a.txt", "b.txt"):
        store.put(f"side/labels/{name}", b"x")
    inputs = [{"name": "files", "file": {"paths": [f"{url}/data"]}, "mode": "download"}]
    longshore.manifest(step_of(longshore, f"{url}/side/words.txt", f"{url}/side/labels", inputs=inputs))
    ended = longshore.run()
    assert ended.code == 0, ended.first_error
    assert ended.rows == ROWS
    for worker in (0, 1):
        text = 'input "files": downloaded 5 files, 5 bytes'
        assert ended.log(f"sys/node/worker-{worker}/agent.txt").count(text) == 1


@pytest.mark.usefixtures("s3")
def test_an_agent_that_is_started_again_goes_on_with_what_is_there(longshore):
    longshore.data(*(f"{name}.txt" for name in "pqrst"))
    store = open_store(f"s3://{BUCKET}/{uuid4().hex}")
    for name in ("words.txt", "labels/a.txt", "labels/b.txt"):
        store.put(name, b"one two")
    longshore.manifest(step_of(longshore, store.child("words.txt"), store.child("labels"), nodeCount=1))
    command = longshore.start()
    wait_until(lambda: os.listdir(longshore.folder / "gate"))
    store.delete("")
    (agent,) = longshore.processes("longshore_agent")
    os.kill(agent, signal.SIGKILL)
    wait_until(lambda: [pid for pid in longshore.processes("longshore_agent") if pid != agent])
    longshore.write("gate/opened", "")
    ended = command.wait()
    longshore.nothing_is_left_running()
    assert ended.code == 0, ended.first_error
    assert ended.rows == ROWS


def test_a_side_input_that_is_not_there_fails_the_run_with_its_name(longshore):
    longshore.data("p.txt")
    longshore.write("side/words.txt", "one two")
    longshore.manifest(step_of(longshore, "side/words.txt", "side/labels"))
    ended = longshore.run()
    assert ended.code == 1
    assert 'side input "labels" cannot be downloaded' in ended.stderr + ended.succeeded["message"]
    assert "side/labels" in ended.stderr + ended.succeeded["message"]
    assert ended.first_error["category"] == "DataError"
    assert os.listdir(longshore.folder / "gate") == []


def test_an_argument_that_names_no_side_input_is_refused(longshore):
    longshore.data("p.txt")
    step = step_of(longshore, "side/words.txt", "side/labels")
    step["spec"]["arguments"] = ["$(inputs.files)"]
    longshore.manifest(step)
    ended = longshore.run()
    assert ended.code == 2
    assert "spec.arguments[0] refers to inputs.files" in ended.stderr


WRITES = """
import os
import sys

for name in ("a.txt", "b.txt"):
    with open(os.path.join(sys.argv[1], name), "w") as file:
        file.write("one two")
"""


def test_what_another_step_wrote_may_be_a_side_input(longshore):
    longshore.data(*(f"{name}.txt" for name in "pqrst"))
    longshore.write("side/words.txt", "one two")
    longshore.write("code/write.py", WRITES)
    write = {
        "source": {"uri": "code"},
        "scriptName": "write.py",
        "arguments": ["$(outputs.labels)"],
        "outputs": [{"name": "labels"}],
    }
    spec = step_of(longshore, "side/words.txt", "side/labels")["spec"]
    spec["sideInputs"][1] = {"name": "labels", "from": "$(steps.write.outputs.labels)"}
    steps = [{"name": "write", "script": write}, {"name": "score", "parallelRun": spec}]
    longshore.manifest(longshore.document("Pipeline", "words", steps=steps))
    ended = longshore.run()
    assert ended.code == 0, ended.stderr
    [rows] = longshore.folder.glob("run/**/parallel_run_step.txt")
    assert rows.read_text().splitlines() == ROWS


MODELS = """
import os
from azureml.core import Model

def init():
    global said
    paths = [Model.get_model_path("iris"), Model.get_model_path("iris", 9), Model.get_model_path("net")]
    said = [os.path.basename(paths[0]), os.path.basename(paths[1]), str(os.path.isdir(paths[2]))]
    said += sorted(os.listdir("azureml-models/iris")) + [open(path).read() for path in paths[:2]]
    said.append(open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "iris.pkl")).read())
    said += [open("azureml-models/iris/9/iris.pkl").read(), open("azureml-models/net/1/a/w").read()]

def run(mini_batch):
    return [" ".join(said) for path in mini_batch]
"""


@pytest.mark.parametrize("kind", ["here", "store"])
def test_versions_of_a_model_are_side_by_side_and_one_file_is_that_file(longshore, request, kind):
    longshore.data("0.txt")
    longshore.write("code/script.py", MODELS)
    url = f"s3://{BUCKET}/{uuid4().hex}"
    files = {"9/iris.pkl": "nine", "10/iris.pkl": "ten", "net/a/w": "w", "net/b": "b"}
    if kind == "store":
        request.getfixturevalue("s3")
    for name, text in files.items():
        if kind == "store":
            open_store(url).put(name, text.encode())
        else:
            longshore.write(f"models/{name}", text)
    base = url if kind == "store" else "models"
    documents = [
        longshore.document("Model", f"iris-{version}", name="iris", version=version, path=f"{base}/{version}/iris.pkl")
        for version in (9, 10)
    ]
    documents.append(longshore.document("Model", "net", version=1, path=f"{base}/net"))
    models = [{"name": "iris", "version": 9}, {"name": "iris"}, {"name": "net"}]
    longshore.manifest(longshore.step("script.py", source={"uri": "file:code"}, models=models), *documents)
    ended = longshore.run()
    assert ended.code == 0, ended.stderr
    assert ended.rows == ["iris.pkl iris.pkl True 10 9 ten nine nine nine w"]
