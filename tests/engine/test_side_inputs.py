"""Data that every worker has whole before init(): side inputs, and inputs whose mode is download."""

from uuid import uuid4

import pytest
from object_stores import BUCKET

from longshore_storage.store import open_store

SCRIPT = """
import os
import sys

from azureml.core import Dataset, Run

WORDS, LABELS = sys.argv[1:3]


def init():
    global words, labels
    with open(WORDS) as file:
        words = file.read().split()
    labels = sorted(os.listdir(LABELS))
    run = Run.get_context()
    assert run.input_datasets["words"] == WORDS, run.input_datasets["words"]
    assert os.environ["AZUREML_DATAREFERENCE_labels"] == LABELS
    assert len(Dataset.get_by_name(run.experiment.workspace, "labels").to_path()) == 2


def run(mini_batch):
    return ["{} {} {}".format(os.path.basename(each), words, labels) for each in mini_batch]
"""
ROWS = [f"{name}.txt ['one', 'two'] ['a.txt', 'b.txt']" for name in "pqrst"]


def step_of(longshore, words, labels, **spec):
    longshore.write("code/entry.py", SCRIPT)
    side = [{"name": "words", "file": {"paths": [words]}}, {"name": "labels", "file": {"paths": [labels]}}]
    return longshore.step(
        "entry.py",
        source={"uri": "code"},
        sideInputs=side,
        arguments=["$(inputs.words)", "$(inputs.labels)"],
        nodeCount=2,
        miniBatchSize=1,
        errorThreshold=0,
        **spec,
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
def test_side_inputs_and_downloads_of_a_store_are_brought_once_to_each_worker(longshore):
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
        text = "input files: 5 files of 5 bytes are on this worker"
        assert ended.log(f"sys/node/worker-{worker}/agent.txt").count(text) == 1


def test_a_side_input_that_is_not_there_fails_the_run_with_its_name(longshore):
    longshore.data("p.txt")
    longshore.write("side/words.txt", "one two")
    longshore.manifest(step_of(longshore, "side/words.txt", "side/labels"))
    ended = longshore.run()
    assert ended.code == 1
    assert "the side input labels cannot be brought" in ended.stderr + ended.succeeded["message"]
    assert "side/labels" in ended.stderr + ended.succeeded["message"]


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
