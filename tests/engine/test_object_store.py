"""A run whose folder, source and models lie in an object store ends like a run on this machine, whatever is killed."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from uuid import uuid4

import pytest
from fire import AGENT, CHILD, COORDINATOR, HOST, Arsonist, plan
from s3_server import BUCKET
from varied import Varied

from longshore_storage.store import open_store

SCRIPT = """
import os
import sys
from logging import getLogger

def init():
    model = os.path.join(os.environ["AZUREML_MODEL_DIR"], "weights", "w.txt")
    print("model", open(model).read(), open("azureml-models/digits/3/weights/w.txt").read())

def run(mini_batch):
    out = sys.argv[sys.argv.index("--out") + 1]
    assert out == os.environ["AZUREML_BI_OUTPUT_PATH"], out
    os.makedirs(os.path.join(out, "deeper"), exist_ok=True)
    for path in mini_batch:
        name = os.path.basename(path)
        with open(os.path.join(out, "deeper", name + ".seen"), "w") as file:
            file.write(name)
        print("saw", name)
        print("err", name, file=sys.stderr)
        getLogger("script").warning("logged %s", name)
        if name == "3.txt":
            raise ValueError("the third file is bad")
    return [os.path.basename(path) for path in mini_batch]
"""


SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "abfs"}


class RemoteBench:
    """The bench `longshore` with a run folder in a store; what ended is read from a copy on this machine."""

    def __init__(self, longshore, name, server):
        self.longshore = longshore
        self.server = server
        self.scheme = SCHEMES[name]
        self.prefix = uuid4().hex
        longshore.run_dir = self.uri("run")

    def uri(self, name):
        return f"{self.scheme}://{BUCKET}/{self.prefix}/{name}"

    def store(self, name="run"):
        return open_store(self.uri(name))

    def copied(self, ended):
        """Return an ended run as if its folder were on this machine."""
        folder = self.longshore.folder / f"copy-{uuid4().hex}"
        store = self.store()
        names = store.names()
        for name, data in zip(names, store.get_each(names), strict=True):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return replace(ended, run_dir=folder)


@pytest.fixture
def bench(longshore, s3):
    return RemoteBench(longshore, "s3", s3)


@pytest.fixture(params=SCHEMES)
def every_bench(request, longshore):
    return RemoteBench(longshore, request.param, request.getfixturevalue(request.param))


def test_a_run_in_a_store_leaves_there_what_one_on_this_machine_leaves_here(longshore, bench):
    longshore.data(*[f"{number}.txt" for number in range(9)])
    longshore.write("model/weights/w.txt", "light")
    bench.store("models").put("digits/weights/w.txt", b"light")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("script.py", SCRIPT)
    longshore.write("code/script.py", SCRIPT)
    bench.store("code").put("code.zip", packed.getvalue())

    def manifest(*, model, source):
        longshore.manifest(
            longshore.step(
                "script.py",
                source={"uri": source},
                models=[{"name": "digits"}],
                arguments=["--out", "$(outputs.out)"],
                miniBatchSize=1,
                runMaxTry=2,
                errorThreshold=1,
                processCountPerNode=1,
                profilingModule="cProfile",
                resourceMonitorIntervalSeconds=60,
            ),
            longshore.document("Model", "digits", version=3, path=model),
        )

    manifest(model=bench.uri("models/digits"), source=bench.uri("code/code.zip"))
    there = bench.copied(longshore.run())
    assert there.code == 0, there.stderr
    longshore.run_dir = longshore.folder / "run"
    manifest(model="file:model", source="file:code")
    here = longshore.run()
    assert here.code == 0, here.stderr
    assert there.output == here.output
    assert (there.mini_batches, there.items) == (here.mini_batches, here.items)
    assert [each["items"] for each in there.failed] == [each["items"] for each in here.failed]
    assert there.status["output"]["uri"] == bench.uri("run/out")

    def names(ended):
        found = {str(path.relative_to(ended.run_dir)) for path in ended.run_dir.rglob("*") if path.is_file()}
        # As many flushes and segments as it took: the latter stay because a mini-batch failed.
        return {name for name in found if not name.startswith(("state/ledger/", "state/segments/"))} - {".longshore"}

    assert names(there) == names(here)
    for number in range(9):
        assert (there.run_dir / f"out/deeper/{number}.txt.seen").read_text() == f"{number}.txt"
    for kind in ("stdout", "stderr"):
        pattern = f"user/{kind}/worker-*/*.txt"
        assert sorted(there.logs(pattern).splitlines())[-9:] == sorted(here.logs(pattern).splitlines())[-9:]
    assert "model light light" in there.logs("user/stdout/worker-*/*.txt")
    assert there.logs("user/error/worker-*/*.txt").count("ValueError: the third file is bad") == 2
    assert there.logs("sys/node/worker-*/[ah]*.txt") == ""
    for number in (0, 1, 2, 4, 5, 6, 7, 8):
        path = f"/{BUCKET}/{bench.prefix}/run/out/deeper/{number}.txt.seen"
        assert bench.server.puts[path] <= 2  # once; twice if it was looked at in the very moment that it was written


def test_the_script_sees_the_environment_of_its_users_shell_and_nothing_of_ours(longshore, bench):
    longshore.data("a.txt")
    code = "import os, psutil\ndef run(mini_batch):\n"
    code += "    host = psutil.Process(os.getppid()).environ()\n"
    code += "    return [repr((dict(os.environ), host))]\n"
    longshore.write("code/script.py", code)
    step = longshore.step("script.py", source={"uri": "file:code"}, environmentVariables={"AWS_REGION": "mine"})
    longshore.manifest(step)
    longshore.variables |= {"LONGSHORE_SQL_PASSWORD": "the-password", "GOOGLE_APPLICATION_CREDENTIALS": "/key.json"}
    ended = bench.copied(longshore.run())
    assert ended.code == 0, ended.stderr
    [row] = ended.rows
    assert "the-password" not in row
    assert "LONGSHORE_TOKEN" not in row
    for shown in ("'GOOGLE_APPLICATION_CREDENTIALS': '/key.json'", "'AWS_SECRET_ACCESS_KEY': 'the-secret'"):
        assert shown in row
    assert "'AWS_REGION': 'mine'" in row  # what the step itself says is its own affair


def test_a_store_that_gives_a_name_to_two_is_refused_in_one_sentence(longshore, bench):
    longshore.data("a.txt")
    longshore.manifest(longshore.step())
    bench.server.ignores_conditions = True
    try:
        ended = longshore.run()
    finally:
        bench.server.ignores_conditions = False
    assert ended.code == 1
    uri, [line] = bench.uri("run"), ended.stderr.splitlines()
    assert line.startswith(f"longshore: the run folder {uri} cannot be used: {uri} cannot hold a run: this store over")


@pytest.mark.usefixtures("bench")
def test_a_bucket_that_is_not_there_is_reported_in_one_sentence(longshore):
    longshore.data("a.txt")
    longshore.manifest(longshore.step())
    longshore.run_dir = "s3://nowhere/run"
    ended = longshore.run()
    assert ended.code != 0
    [line] = ended.stderr.splitlines()
    assert "s3://nowhere/run" in line


def test_a_run_folder_in_a_store_that_is_in_use_is_refused_and_one_without_a_run_is_not_resumed(longshore, bench):
    longshore.data("a.txt")
    longshore.manifest(longshore.step())
    bench.store().put("something", b"x")
    assert (ended := longshore.run()).code == 2
    assert "must be new or empty" in ended.stderr
    assert (ended := longshore.resume()).code == 2
    assert "the folder contains no run" in ended.stderr


def test_a_source_that_does_not_come_is_reported_in_one_sentence(longshore, bench):
    longshore.data("a.txt")
    longshore.manifest(longshore.step(source={"uri": bench.uri("no/code")}))
    ended = longshore.run()
    assert ended.code == 2
    [line] = ended.stderr.splitlines()
    assert "spec.source.uri" in line
    assert "does not exist" in line


def test_logs_of_a_resumed_run_go_on_where_the_earlier_ones_ended(longshore, bench):
    longshore.data(*[f"{number}.txt" for number in range(9)])
    longshore.write("model/weights/w.txt", "light")
    longshore.write("code/script.py", SCRIPT)
    step = longshore.step(
        "script.py",
        source={"uri": "file:code"},
        models=[{"name": "digits"}],
        arguments=["--out", "$(outputs.out)"],
        miniBatchSize=1,
        runMaxTry=1,
        processCountPerNode=1,
        allowedFailedCount=0,
    )
    longshore.manifest(step, longshore.document("Model", "digits", version=3, path="file:model"))
    first = bench.copied(longshore.run())
    assert first.reason == "AllowedFailedCountExceeded"
    longshore.write("code/script.py", SCRIPT.replace('name == "3.txt"', "False"))
    second = bench.copied(longshore.resume("--accept-changed-code"))
    assert second.code == 0, second.stderr
    [name] = [path.name for path in second.run_dir.glob("logs/user/stdout/worker-0/*.txt")]
    before, after = (ended.log(f"user/stdout/worker-0/{name}") for ended in (first, second))
    assert after.startswith(before)
    assert before.count("model light light") == 1
    assert after.count("model light light") == 2


def varied_of(longshore):
    return Varied(longshore, mini_batches=300, size=3, workers=2, processes=2, milliseconds=20)


def test_the_output_is_the_same_whatever_is_killed(longshore, every_bench):
    varied = varied_of(longshore)
    oracle = varied.oracle()
    counts = {("kill", CHILD): 2, ("kill", HOST): 1, ("kill", AGENT): 2, ("kill", COORDINATOR): 3}
    acts = plan(7, counts=counts, calls=200, stops={})
    with Arsonist(longshore, longshore.start(), acts, calls=varied.number_of_calls) as arsonist:
        ended = arsonist.burn()
    assert arsonist.done == counts
    varied.assert_exactly_once(every_bench.copied(ended), oracle)
    assert len(every_bench.store().names("state/epochs")) == 4


def test_a_second_coordinator_displaces_the_first(longshore, bench):
    varied = varied_of(longshore)
    oracle = varied.oracle()
    first = longshore.start()
    longshore.wait_until(lambda: varied.number_of_calls() > 30)
    with varied.held():  # else the first might be through before the second is there
        second = longshore.start("--resume", longshore.run_dir)
        displaced = first.wait()
    assert (displaced.code, displaced.reason) == (1, "Superseded")
    varied.assert_exactly_once(bench.copied(second.wait()), oracle)


# The command lines of all processes up to the command's own, whose environment is that of its user's shell.
DUMP = """
import psutil

def run(mini_batch):
    this = psutil.Process()
    seen = [" ".join(each.cmdline()) for each in (this, *this.parents())]
    return [" ".join(seen)] * len(mini_batch)
"""


@pytest.mark.parametrize("is_refused", [False, True], ids=["sound", "refused"])
def test_an_accounts_key_is_nowhere(longshore, azure, is_refused):
    text = azure.variables["AZURE_STORAGE_CONNECTION_STRING"]
    if is_refused:
        text = text.replace("AccountKey=Eby8", "AccountKey=Fby8")
    key = text.partition("AccountKey=")[2].partition(";")[0]
    bench = RemoteBench(longshore, "azure", azure)
    bench.store("data").put("a.txt", b"x")
    longshore.variables["AZURE_STORAGE_CONNECTION_STRING"] = text
    longshore.write("code/script.py", DUMP)
    inputs = [{"name": "files", "file": {"paths": [bench.uri("data/")]}}]
    longshore.manifest(longshore.step("script.py", source={"uri": "file:code"}, inputs=inputs, loggingLevel="DEBUG"))
    if is_refused:
        longshore.run_dir = longshore.folder / "run"
    ended = longshore.run()
    said = ended.stdout + ended.stderr
    assert key not in said
    assert "AccountKey" not in said
    if is_refused:
        assert ended.code != 0
        assert 'container "bucket" rejected the credentials' in ended.succeeded["message"]
        folder = longshore.run_dir
    else:
        assert ended.code == 0, said
        folder = bench.copied(ended).run_dir
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert key.encode() not in content
            assert b"AccountKey" not in content
