"""Models and Datasets that scripts register: once, after a success, and to be found by later runs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from s3_server import BUCKET

from longshore_storage.store import open_store

TRAIN = """
import os, signal, sys
from azureml.core import Dataset, Run
from azureml.core.model import Model

def registered_file():
    import glob
    return glob.glob(os.environ["LONGSHORE_REGISTRATIONS"] + "/*/*")[0]

run = Run.get_context()
output = sys.argv[1]
with open(os.path.join(output, "rows.csv"), "w") as file:
    file.write("a,b\\n1,2\\n")
os.makedirs("outputs", exist_ok=True)
with open("outputs/net.pkl", "w") as file:
    file.write("weights")
{before}
model = Model.register(
    workspace=run.experiment.workspace, model_path="outputs/net.pkl", model_name="digits", tags={{"score": 0.9}}, description="Digits."
)
{between}
same = run.parent.register_model("Old Digits", model_path="outputs/net.pkl", properties={{"rows": 1}})
rows = Dataset.Tabular.from_delimited_files(os.path.join(output, "*.csv")).register(run.experiment.workspace, "rows", tags={{"a": "b"}})
run.log("versions", [model.version, same.version, rows.version])
{after}
"""  # noqa: E501
USE = "from azureml.core.model import Model; print(open(Model.get_model_path('digits')).read())"
STEP = {
    "source": {"uri": "code"},
    "scriptName": "train.py",
    "arguments": ["$(outputs.rows)"],
    "outputs": [{"name": "rows", "registerOnComplete": {"name": "all rows"}}],
    "params": {"rate": "0.5"},
}
# Runs the command, and kills its process with the n-th file that it opens for writing, links, renames or removes.
KILLED = """
import os, signal, sys
after, counted = int(sys.argv.pop(1)), 0

def count(event, arguments):
    global counted
    if event in ("os.rename", "os.link", "os.remove", "os.mkdir") or (
        event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wxa+")
    ):
        counted += 1
        if counted == after:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
from longshore_cli.__main__ import main
code = main()
print(counted, file=sys.stderr)
sys.exit(code)
"""


# For a script: kill its process, its host, its agent or the command, and wait for the end that follows from it.
KILLS = """
import os, signal, time


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    time.sleep(600)


def parent(pid):
    try:
        return int(open("/proc/%d/stat" % pid).read().rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return 0


def command():
    return parent(os.getppid())


def agent():
    own = [int(each) for each in os.listdir("/proc") if each.isdigit() and parent(int(each)) == command()]
    return next(each for each in own if b"longshore_agent" in open("/proc/%d/cmdline" % each, "rb").read())
"""


@pytest.fixture
def train(longshore):
    """Write a step whose script registers two Models and a Dataset; return it."""

    def write(*, name="train", before="", between="", after="", **spec):
        longshore.write("code/train.py", TRAIN.format(before=before, between=between, after=after))
        document = longshore.document("ScriptStep", name, **{**STEP, **spec})
        longshore.manifest(document)
        return document

    longshore.train = write
    return longshore


def registered(longshore):
    """Return what is registered: kind, name and version -> the manifest."""
    folder = longshore.folder / "longshore-registered"
    found = [yaml.safe_load(each.read_text()) for each in sorted(folder.glob("*.yaml"))] if folder.exists() else []
    named = {(each["kind"], each["spec"]["name"], each["spec"]["version"]): each for each in found}
    assert len(named) == len(found)
    return named


FIRST = {("Model", "digits", 1), ("Model", "Old Digits", 1), ("Dataset", "rows", 1), ("Dataset", "all rows", 1)}


def test_a_script_step_registers_once_it_has_succeeded_and_later_runs_find_it_by_name(train):
    train.train()
    ended = train.run("--run-dir", "runs/1")
    assert ended.code == 0, ended.stderr
    found = registered(train)
    assert found.keys() == FIRST
    (step,) = ended.status["steps"]
    assert {(each["kind"], each["name"], each["version"]) for each in step["registered"]} == FIRST
    assert step["metrics"]["versions"] == [1, 1, 1]

    digits = found["Model", "digits", 1]
    assert (digits["metadata"]["name"], digits["spec"]["tags"]) == ("digits-1", {"score": "0.9"})
    assert digits["spec"]["description"] == "Digits."
    assert Path(digits["spec"]["path"]).read_text() == "weights"
    assert found["Model", "Old Digits", 1]["spec"]["properties"] == {"rows": "1"}
    origin = digits["status"]["origin"]
    assert (origin["step"], origin["runId"], len(origin["code"])) == ("train", ended.status["runId"], 64)
    assert (origin["arguments"], origin["parameters"]) == (["$(outputs.rows)"], {"rate": "0.5"})
    assert found["Dataset", "all rows", 1]["spec"]["file"]["paths"] == [step["outputs"][0]["uri"]]

    train.write("code/use.py", USE)
    rows = {"name": "rows", "dataset": "all rows"}
    use = train.document(
        "ScriptStep", "use", source={"uri": "code"}, scriptName="use.py", models=[{"name": "digits"}], inputs=[rows]
    )
    train.manifest(use)
    again = train.run("--run-dir", "runs/2")
    assert again.code == 0, again.stderr
    assert (train.folder / "runs/2/steps/use/logs/stdout.txt").read_text() == "weights\n"


@pytest.mark.parametrize(
    "fault",
    [
        "sys.exit(1)",
        "raise ValueError('no')",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "open(os.environ['LONGSHORE_REGISTRATIONS'] + '/calls.jsonl', 'w').write('no JSON')",
        "import shutil; shutil.rmtree(os.path.dirname(registered_file()))",
    ],
)
def test_a_failed_step_registers_nothing(train, fault):
    train.train(after=fault)
    ended = train.run("--run-dir", "runs/1")
    assert ended.code == 1
    assert registered(train) == {}
    assert "registered" not in ended.status["steps"][0]


def test_each_run_registers_the_next_version_and_a_reused_step_points_to_the_first(train):
    train.train()
    first, reused = train.run("--run-dir", "runs/1"), train.run("--run-dir", "runs/2")
    assert registered(train).keys() == FIRST
    assert reused.status["steps"][0]["reusedFrom"]["runId"] == first.status["runId"]
    assert reused.status["steps"][0]["registered"] == first.status["steps"][0]["registered"]

    train.run("--run-dir", "runs/3", "--regenerate-outputs")
    assert registered(train).keys() == FIRST | {(kind, name, 2) for kind, name, _ in FIRST}


def test_runs_that_register_one_name_at_once_get_different_versions(train):
    train.train(
        before="import time; open(os.environ['READY'] + str(os.getpid()), 'w').close()\n"
        "while len(os.listdir(os.path.dirname(os.environ['READY']))) < 3: time.sleep(0.01)",
        environmentVariables={"READY": f"{train.folder}/ready/"},
    )
    (train.folder / "ready").mkdir()
    commands = [train.start("--run-dir", f"runs/{number}") for number in range(3)]
    ended = [each.wait() for each in commands]
    assert [each.code for each in ended] == [0, 0, 0], ended[0].stderr
    assert registered(train).keys() == {(kind, name, version) for kind, name, _ in FIRST for version in (1, 2, 3)}


def test_versions_in_the_manifests_of_the_user_count(train):
    model = train.document("Model", "mine", name="digits", version=41, path="code/train.py")
    train.manifest(train.train(), model)
    assert train.run("--run-dir", "runs/1").code == 0
    assert registered(train).keys() >= {("Model", "digits", 42), ("Model", "Old Digits", 1)}


def killed(longshore, after, *arguments):
    """Run the command, killed at its n-th change of files (0: never); return exit code and stderr."""
    command = [sys.executable, "-c", KILLED, str(after), "run", *arguments, "--json"]
    environment = {**os.environ, "TEST_MARKER": longshore.marker}
    ended = subprocess.run(
        command, check=False, cwd=longshore.folder, env=environment, capture_output=True, text=True, timeout=60
    )
    return ended.returncode, ended.stderr


def test_a_command_that_is_killed_at_ten_moments_registers_once(train):
    train.train()
    path = "manifest.yaml"
    code, stderr = killed(train, 0, path, "--run-dir", "runs/0")
    assert code == 0, stderr
    changes = int(stderr.splitlines()[-1])
    for moment, percent in enumerate((3, 20, 40, 60, 75, 85, 88, 91, 94, 97), start=1):  # the last ones register
        folder = f"runs/{moment}"
        after = changes * percent // 100
        code, stderr = killed(train, after, path, "--run-dir", folder, "--regenerate-outputs")
        assert code == -signal.SIGKILL, stderr
        train.nothing_is_left_running()
        if os.path.exists(train.folder / folder / "pipeline.json"):
            code, stderr = killed(train, 0, "--resume", folder)
        else:  # nothing is known of the run
            code, stderr = killed(train, 0, path, "--run-dir", f"{folder}-again", "--regenerate-outputs")
        assert code == 0, stderr
        versions = range(1, moment + 2)
        assert registered(train).keys() == {(kind, name, each) for kind, name, _ in FIRST for each in versions}


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_a_script_that_is_killed_registers_once_when_it_is_retried(train, moment):
    kill = "if not os.path.exists(os.environ['ONCE']): open(os.environ['ONCE'], 'w'); os.kill(os.getpid(), 9)"
    step = train.train(**{moment: kill}, environmentVariables={"ONCE": f"{train.folder}/once"})
    pipeline = {"steps": [{"name": "train", "retries": 1, "script": step["spec"]}]}
    train.manifest(train.document("Pipeline", "training", **pipeline))
    ended = train.run("--run-dir", "runs/1")
    assert (ended.code, ended.status["steps"][0]["attempts"]) == (0, 2), ended.stderr
    assert registered(train).keys() == FIRST
    assert json.loads((train.folder / "runs/1/status.json").read_text()) == ended.status


# --- shutdown() of a ParallelRunStep ------------------------------------------------------------------------------

SCORE = """
import os
from azureml.core import Dataset, Run
from azureml.core.model import Model

seen = []


def init():
    global output
    output = os.environ["AZUREML_BI_OUTPUT_PATH"]


def run(mini_batch):
    seen.extend(mini_batch)
    return [os.path.basename(each) for each in mini_batch]


def shutdown():
    with open("summary.txt", "w") as file:
        file.write({content})
    {before}
    model = Model.register(Run.get_context().experiment.workspace, "summary.txt", "summary", tags={{"kind": "text"}})
    {between}
    rows = Dataset.File.from_files(output).register(Run.get_context().experiment.workspace, "rows")
    print(model.version, rows.version)
    {after}
"""
ALIKE, OWN = "'the same'", "os.environ['LONGSHORE_PROCESS']"


@pytest.fixture
def score(longshore):
    """Write a step whose shutdown() registers a Model and a Dataset."""
    longshore.data(*(f"{number}.txt" for number in range(8)))

    def write(*, content=ALIKE, before="", between="", after="", **spec):
        text = SCORE.format(content=content, before=before or "pass", between=between or "pass", after=after or "pass")
        longshore.write("code/score.py", text)
        output = {"name": "out", "registerOnComplete": {"name": "scores"}}
        step = {"source": {"uri": "code"}, "output": output, **spec}
        longshore.manifest(longshore.step("score.py", **step))

    longshore.score = write
    return longshore


SCORED = {("Model", "summary", 1), ("Dataset", "rows", 1), ("Dataset", "scores", 1)}


@pytest.mark.parametrize(("nodes", "processes"), [(1, 1), (2, 2)])
def test_what_several_processes_register_alike_in_shutdown_is_registered_once(score, nodes, processes):
    score.score(nodeCount=nodes, processCountPerNode=processes)
    ended = score.run()
    assert ended.code == 0, ended.stderr
    found = registered(score)
    assert found.keys() == SCORED
    assert {(each["kind"], each["name"], each["version"]) for each in ended.status["registered"]} == SCORED
    summary = found["Model", "summary", 1]
    assert Path(summary["spec"]["path"]).read_text() == "the same"
    assert summary["spec"]["tags"] == {"kind": "text"}
    origin = summary["status"]["origin"]
    assert (origin["kind"], origin["step"], len(origin["code"])) == ("ParallelRunStep", "test-step", 64)
    assert found["Dataset", "rows", 1]["spec"] == {**found["Dataset", "scores", 1]["spec"], "name": "rows"}


@pytest.mark.parametrize(("server", "scheme"), [("s3", "s3"), ("azure", "abfs")])
def test_what_a_run_in_an_object_store_registers_is_there_and_found_by_later_runs(score, request, server, scheme):
    request.getfixturevalue(server)
    uri = f"{scheme}://{BUCKET}/{uuid4().hex}"
    score.score(nodeCount=1, processCountPerNode=1)
    ended = score.run("--run-dir", f"{uri}/runs/1")
    assert ended.code == 0, ended.stderr
    found = registered(score)
    assert found.keys() == SCORED
    summary = found["Model", "summary", 1]["spec"]["path"]
    folder, _, name = summary.rpartition("/")
    assert folder.startswith(f"{uri}/runs/1/")
    assert open_store(folder).get(name) == b"the same"

    score.write("code/use.py", USE.replace("digits", "summary"))
    use = score.document("ScriptStep", "use", source={"uri": "code"}, scriptName="use.py", datastores=["store"])
    score.manifest(use, score.document("Datastore", "store", uri=uri))
    assert score.run("--run-dir", "runs/2").code == 0
    assert (score.folder / "runs/2/steps/use/logs/stdout.txt").read_text() == "the same\n"


MEETING = """
def meet():
    import time

    open(os.path.join(os.environ["MEETING"], os.environ["LONGSHORE_PROCESS"]), "w").close()
    while len(os.listdir(os.environ["MEETING"])) < 2:
        time.sleep(0.01)
"""


def test_what_processes_register_differently_are_versions(score, tmp_path_factory):
    meeting = {"MEETING": str(tmp_path_factory.mktemp("meeting"))}
    score.score(content=OWN, nodeCount=1, processCountPerNode=2, miniBatchSize=1, environmentVariables=meeting)
    text = (score.folder / "code/score.py").read_text()
    score.write("code/score.py", text.replace("    seen.extend", "    meet()\n    seen.extend") + MEETING)
    assert score.run().code == 0
    models = {key: each for key, each in registered(score).items() if key[0] == "Model"}
    assert models.keys() == {("Model", "summary", 1), ("Model", "summary", 2)}
    assert {Path(each["spec"]["path"]).read_text() for each in models.values()} == {"process000", "process001"}


@pytest.mark.parametrize(
    ("fault", "where"),
    [("raise ValueError('no')", "before"), ("raise ValueError('no')", "after"), ("os._exit(3)", "between")],
)
def test_a_shutdown_that_fails_registers_nothing_and_the_output_is_registered_all_the_same(score, fault, where):
    score.score(**{where: fault})
    assert score.run().code == 0
    assert registered(score).keys() == {("Dataset", "scores", 1)}


def test_a_step_that_fails_registers_nothing(score):
    score.write("code/fails.py", "def run(mini_batch): raise ValueError('no')")
    output = {"name": "out", "registerOnComplete": {"name": "scores"}}
    score.manifest(score.step("fails.py", source={"uri": "code"}, output=output, errorThreshold=0, runMaxTry=1))
    assert score.run().code == 1
    assert registered(score) == {}


@pytest.mark.parametrize("where", ["before", "between", "after"])
@pytest.mark.parametrize("victim", ["os.getpid()", "os.getppid()", "agent()", "command()"])
def test_whatever_is_killed_in_shutdown_the_resumed_run_registers_once(score, where, victim):
    kill = f"if not os.path.exists(os.environ['ONCE']): open(os.environ['ONCE'], 'w'); kill({victim})"
    score.score(
        **{where: kill}, environmentVariables={"ONCE": f"{score.folder}/once"}, nodeCount=1, processCountPerNode=1
    )
    score.write("code/score.py", KILLS + (score.folder / "code/score.py").read_text())
    ended = score.run()
    for _ in range(3):
        if ended.code == 0:
            break
        ended = score.resume(paths=[])
    assert ended.code == 0, ended.stderr
    assert registered(score).keys() == SCORED
    assert {(each["kind"], each["name"], each["version"]) for each in ended.status["registered"]} == SCORED
