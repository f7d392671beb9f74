"""Steps in pods without a volume: data, code and results lie in an object store, and rows come from a database."""

import json

import pytest
from localcluster import install
from s3_server import BUCKET
from servers import CREDENTIALS, PASSWORD, Database, ObjectStore
from squares import RUN
from steps import ITEMS, STEP

SCALE, WORDS = 3, ("zero", "one", "two")
SCORE = """
import argparse, os

def init():
    global scale, words
    parser = argparse.ArgumentParser()
    parser.add_argument("--words")
    words = open(parser.parse_known_args()[0].words).read().split()
    scale = int(open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "scale.txt")).read())
    assert not [name for name in os.environ if name.startswith("AWS")]

def run(mini_batch):
    return [row(path) for path in mini_batch]

def row(path):
    number = int(open(path).read())
    return "%s %d %s" % (os.path.basename(path), scale * number, words[number % len(words)])
"""
ROWS = """
def run(mini_batch):
    return ["%d %d" % (row.id, row.id * row.price) for row in mini_batch.itertuples()]
"""
PREPARE = """
import os, sys
for index, number in enumerate(open(sys.argv[1]).read().split()):
    open(os.path.join(sys.argv[2], "%03d.txt" % index), "w").write(number)
"""
EXPECTED = "".join(f"{index:03d}.txt {SCALE * index} {WORDS[index % 3]}\n" for index in range(ITEMS))


@pytest.fixture(scope="module")
def store(place, shared_namespace, servers_image):
    """The object store with all data and code, and a Datastore for it, in a namespace without volumes."""
    install.start(place)
    store = ObjectStore(shared_namespace, servers_image)
    store.put({f"in/{index:03d}.txt": str(index) for index in range(ITEMS)})
    store.put({"words.txt": " ".join(WORDS), "models/scale/scale.txt": str(SCALE), "numbers.txt": "1 2 3"})
    store.put({"code/score.py": SCORE, "code/prepare.py": PREPARE})
    apply = shared_namespace.apply
    apply("Datastore", "bucket", uri=f"s3://{BUCKET}", secretRef={"name": "key"}, default=True)
    apply("Environment", "plain", image="docker.io/library/python:3.11-slim", python="python3")
    apply("Dataset", "files", file={"paths": ["in/*.txt"]})
    apply("Dataset", "words", file={"paths": ["words.txt"]})
    apply("Dataset", "numbers", file={"paths": ["numbers.txt"]})
    apply("Model", "scale", path="models/scale/scale.txt")
    return store


def _step(**changes):
    return {
        "inputs": [{"name": "files", "dataset": "files"}],
        "sideInputs": [{"name": "words", "dataset": "words"}],
        "models": [{"name": "scale"}],
        "arguments": ["--words", "$(inputs.words)"],
        "output": {"name": "rows"},
        "source": {"uri": f"s3://{BUCKET}/code"},
        "entryScript": "score.py",
        "environment": {"name": "plain"},
        "nodeCount": 2,
        "miniBatchSize": 4,
        "outputAction": "append_row",
        "appendRowFileName": "rows.txt",
        **changes,
    }


def _ended(kubectl, resource):
    """Wait until it has ended; return the condition that says how, and its status."""

    kubectl.eventually(lambda: kubectl.conditions(resource).get("Finished", {}).get("status") == "True", patience=180.0)
    return kubectl.conditions(resource)["Succeeded"], kubectl.read(resource)["status"]


def _output(store, status, file="rows.txt"):
    prefix = f"s3://{BUCKET}/"
    (text,) = store.get(f"{status['output']['uri'].removeprefix(prefix)}/{file}").values()
    return text


def _says_no_secret(kubectl, store):
    told = json.dumps(kubectl.get("parallelrunsteps,pipelineruns,scriptsteps,events,configmaps"))
    told += json.dumps(store.get("longshore/"))  # the runs' folders, with their logs
    pods = kubectl.get("pods", "--selector=app.kubernetes.io/managed-by=longshore")
    for pod in pods:
        for each in pod["spec"]["containers"]:
            told += kubectl("logs", pod["metadata"]["name"], f"--container={each['name']}")
    assert pods
    for secret in (PASSWORD, CREDENTIALS["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in told


@pytest.mark.parametrize("mode", ["mount", "download"])
def test_files_a_model_and_a_side_input_of_a_store_are_downloaded_to_pods_and_the_output_is_there(
    store, shared_namespace, mode
):
    files = {"name": "files", "dataset": "files", "mode": mode}
    shared_namespace.apply("ParallelRunStep", mode, **_step(inputs=[files]))
    condition, status = _ended(shared_namespace, f"{STEP}/{mode}")
    assert condition["status"] == "True", condition
    assert _output(store, status) == EXPECTED
    assert not [each for each in shared_namespace.get("pods") if "persistentVolumeClaim" in json.dumps(each)]
    _says_no_secret(shared_namespace, store)


def test_rows_of_a_database_are_scored_in_pods(store, shared_namespace, servers_image, tables_image):
    database = Database(shared_namespace, servers_image)
    database.execute("CREATE TABLE orders AS SELECT i AS id, i % 7 AS price FROM generate_series(1, 1000) AS i")
    shared_namespace("create", "configmap", "rows", f"--from-literal=score.py={ROWS}")
    query = {"format": "sql", "datastore": "sales", "query": "SELECT * FROM orders", "splitBy": "id"}
    changes = {
        "inputs": [{"name": "orders", "tabular": query}],
        "sideInputs": [],
        "models": [],
        "arguments": [],
        "source": {"configMap": "rows"},
        "environment": {"name": "tables"},
        "miniBatch": {"rows": 100},
    }
    spec = {name: value for name, value in _step(**changes).items() if name != "miniBatchSize"}
    shared_namespace.apply("Datastore", "sales", uri=database.uri, secretRef={"name": "login"})
    shared_namespace.apply("Environment", "tables", image=tables_image)
    shared_namespace.apply("ParallelRunStep", "orders", **spec)
    condition, status = _ended(shared_namespace, f"{STEP}/orders")
    assert condition["status"] == "True", condition
    assert _output(store, status) == "".join(f"{number} {number * (number % 7)}\n" for number in range(1, 1001))
    assert status["progress"]["miniBatches"]["total"] == 10
    _says_no_secret(shared_namespace, store)


def test_a_pipeline_with_code_and_data_in_a_store_runs_and_is_reused(store, shared_namespace):
    prepare = {
        "source": {"uri": f"s3://{BUCKET}/code"},
        "scriptName": "prepare.py",
        "arguments": ["$(inputs.numbers)", "$(outputs.files)"],
        "inputs": [{"name": "numbers", "dataset": "numbers"}],
        "outputs": [{"name": "files"}],
        "environment": {"name": "plain"},
    }
    score = _step(inputs=[{"name": "files", "from": "$(steps.prepare.outputs.files)"}])
    steps = [{"name": "prepare", "script": prepare}, {"name": "score", "parallelRun": score}]
    shared_namespace.apply("Pipeline", "both", steps=steps)
    for name, is_reused in (("first", False), ("again", True)):
        shared_namespace.apply("PipelineRun", name, pipelineRef={"name": "both"})
        condition, status = _ended(shared_namespace, f"{RUN}/{name}")
        assert condition["status"] == "True", condition
        assert [each["state"] for each in status["steps"]] == ["Succeeded", "Succeeded"]
        assert [bool(each.get("reusedFrom")) for each in status["steps"]] == [is_reused] * 2
    (uri,) = [each["uri"] for each in status["steps"][1]["outputs"]]
    (text,) = store.get(f"{uri.removeprefix(f's3://{BUCKET}/')}/rows.txt").values()
    assert text == "000.txt 3 one\n001.txt 6 two\n002.txt 9 zero\n"
    _says_no_secret(shared_namespace, store)


def test_the_account_of_a_datastore_is_that_of_the_pods_and_one_that_is_missing_is_reported(store, shared_namespace):
    store_of_account = {"uri": f"s3://{BUCKET}/", "secretRef": {"name": "key"}, "serviceAccountName": "scores"}
    shared_namespace.apply("Datastore", "own", **store_of_account)
    shared_namespace.apply("ParallelRunStep", "account", **_step(output={"name": "rows", "datastore": "own"}))
    shared_namespace.eventually(
        lambda: 'serviceaccount "scores" not found' in shared_namespace("describe", f"{STEP}/account"), patience=90.0
    )
    shared_namespace("create", "serviceaccount", "scores")
    condition, status = _ended(shared_namespace, f"{STEP}/account")
    assert condition["status"] == "True", condition
    assert _output(store, status) == EXPECTED
    pods = shared_namespace.get("pods", "--selector=longshore.dev/step=account")
    assert {each["spec"]["serviceAccountName"] for each in pods} == {"scores"}
