"""Scripts that ask for data by name that their step does not declare, with a folder and with object stores."""

import json
import os
import signal
import threading
from uuid import uuid4

import pytest
import scripts_by_name as by_name
from commands import wait_until
from object_stores import AZURE_KEY
from s3_server import BUCKET

from longshore_storage.store import open_store

SCHEMES = {"s3": "s3", "azure": "abfs"}
SECRETS = ("the-secret", AZURE_KEY)


@pytest.fixture(params=["folder", *SCHEMES])
def store(request, longshore):
    """The location of a Datastore with the data."""
    if request.param == "folder":
        uri = str(longshore.folder / "store")
    else:
        request.getfixturevalue(request.param)
        uri = f"{SCHEMES[request.param]}://{BUCKET}/{uuid4().hex}"
    for name, text in by_name.FILES.items():
        open_store(uri).put(name, text.encode())
    return uri


def around(longshore, store):
    """Return the documents that the script asks for."""
    return [
        longshore.document("Datastore", "store", uri=store, default=True),
        longshore.document("Datastore", "other", uri="other"),
        *by_name.documents(),
    ]


def found(texts):
    """Return what the script printed, of each process."""
    return [json.loads(line.partition("FOUND ")[2]) for line in texts.splitlines() if "FOUND " in line]


def no_secret_in(folder):
    files = [each for each in folder.rglob("*") if each.is_file()]
    return [str(each) for each in files if any(secret.encode() in each.read_bytes() for secret in SECRETS)] == []


def test_an_entry_script_uses_every_call(longshore, store):
    longshore.data("1", "2", "3")
    longshore.write("code/entry.py", f"SECRETS = []\n{by_name.ENTRY}")
    inputs = [{"name": "files", "file": {"paths": [str(longshore.folder / "data/*")]}}]
    step = longshore.step("entry.py", source={"uri": "code"}, inputs=inputs, processCountPerNode=2)
    longshore.manifest(step, *around(longshore, store))
    ended = longshore.run()
    assert ended.code == 0, ended.stderr + ended.logs("user/std*/*/*")
    logged = found(ended.logs("user/stdout/*/*"))
    assert logged
    assert all(each == by_name.expected("entry", declared=("files",)) for each in logged)
    for name, text in by_name.made("entry").items():
        assert open_store(store).get(name).decode() == text
    assert no_secret_in(longshore.run_dir)


def test_a_script_step_uses_every_call(longshore, store):
    longshore.write("code/script.py", f"SECRETS = []\n{by_name.SCRIPT}")
    step = longshore.document(
        "ScriptStep", "script-step", source={"uri": "code"}, scriptName="script.py", datastores=["store"]
    )
    longshore.manifest(step, *around(longshore, store))
    ended = longshore.run()
    logs = longshore.run_dir / "steps/script-step/logs"
    assert ended.code == 0, (logs / "stderr.txt").read_text()
    assert found((logs / "stdout.txt").read_text()) == [by_name.expected("script")]
    for name, text in by_name.made("script").items():
        assert open_store(store).get(name).decode() == text
    assert no_secret_in(longshore.run_dir)


def test_an_unlisted_name_is_no_error_for_a_script_that_asks_for_nothing(longshore):
    longshore.data("1")
    longshore.manifest(longshore.step(datastores=[]), longshore.document("Model", "strange", path="s3://nowhere/m"))
    assert longshore.run().code == 0


def test_a_listed_datastore_that_does_not_exist_is_refused_before_the_run(longshore):
    longshore.data("1")
    longshore.manifest(longshore.step(datastores=["none"]))
    ended = longshore.run()
    assert ended.code == 2
    assert "spec.datastores[0] is 'none': there is no such Datastore" in ended.stderr


ASKS = """
import os
from azureml.core.model import Model


def init():
    with open(Model.get_model_path("big")) as file:
        assert file.read() == "weights"


def run(mini_batch):
    return [os.path.basename(each) for each in mini_batch]
"""


@pytest.fixture
def asking(longshore, s3):
    """A step of three processes that ask for a model in a store; the path of its object there."""
    path = f"{BUCKET}/{uuid4().hex}"
    open_store(f"s3://{path}").put("m.bin", b"weights")
    longshore.data(*map(str, range(9)))
    longshore.write("code/entry.py", ASKS)
    step = longshore.step(
        "entry.py", source={"uri": "code"}, processCountPerNode=3, miniBatchSize=1, datastores=["far"]
    )
    far = longshore.document("Datastore", "far", uri=f"s3://{path}")
    longshore.manifest(step, far, longshore.document("Model", "big", datastore="far", path="m.bin"))
    yield f"/{path}/m.bin"
    s3.held.clear()


def test_processes_of_a_worker_that_ask_at_once_share_one_download(longshore, s3, asking):
    ended = longshore.run()
    assert ended.code == 0, ended.stderr
    assert sorted(ended.rows) == [str(number) for number in range(9)]
    assert s3.gets[asking] == 1


@pytest.mark.parametrize("module", ["longshore_agent", "longshore_host.child", "-m longshore_host "])
def test_a_process_killed_during_the_download_costs_nothing_but_time(longshore, s3, asking, module):
    s3.held[asking] = threading.Event()
    command = longshore.start()
    wait_until(lambda: s3.gets[asking])
    for pid in longshore.processes(module):
        os.kill(pid, signal.SIGKILL)
    s3.held[asking].set()
    ended = command.wait()
    longshore.nothing_is_left_running()
    assert ended.code == 0, ended.stderr
    assert sorted(ended.rows) == [str(number) for number in range(9)]


def test_what_one_run_registers_a_later_one_finds_by_name(longshore):
    registers = "open('m', 'w').write('weights')\nModel.register(None, 'm', 'net')\n"
    asks = "print(open(Model.get_model_path('net')).read())\n"
    for number, text in enumerate((registers, asks)):
        longshore.write("code/script.py", f"from azureml.core.model import Model\n{text}")
        step = longshore.document("ScriptStep", "step", source={"uri": "code"}, scriptName="script.py")
        longshore.manifest(step)
        ended = longshore.run("--run-dir", f"runs/{number}")
        assert ended.code == 0, ended.stderr
    assert (longshore.folder / "runs/1/steps/step/logs/stdout.txt").read_text() == "weights\n"
