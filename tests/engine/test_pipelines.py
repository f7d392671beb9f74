"""Pipelines as their users run them: reuse, resubmission, failures, and that a killed run ends as any other."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
TRAINING = 120.0  # seconds that a run of an example may take on a machine with other things to do

# Notes that it was called, waits until it may go on, and fails where a file says so.
COMMON = """
import os, sys, time
HERE = {folder!r}
def called(name):
    open(os.path.join(HERE, "calls", f"{{name}}.{{os.getpid()}}.{{time.time_ns()}}"), "x").close()
    while os.path.exists(os.path.join(HERE, f"hold.{{name}}")):
        time.sleep(0.01)
    if os.path.exists(os.path.join(HERE, f"broken.{{name}}")):
        raise ValueError(f"{{name}} is broken")
"""
MAKE = """
from common import *
called("make")
for number in range(int(sys.argv[2])):
    with open(os.path.join(sys.argv[1], f"{number:02}.txt"), "w") as file:
        file.write(str(number))
"""
SQUARE = """
from common import *
def run(mini_batch):
    number = int(os.path.basename(mini_batch[0])[:2])
    called(f"square-{number}")
    return [int(open(path).read()) ** 2 for path in mini_batch]
"""
ADD = """
from common import *
called("add")
total = sum(map(int, open(os.path.join(sys.argv[1], "parallel_run_step.txt"))))
with open(os.path.join(sys.argv[2], "total.txt"), "w") as file:
    file.write(str(total))
from longshore_run import Run
Run.get_context().log("total", total)
print("the total is", total)
"""
COUNT = 8  # files, a mini-batch each
TOTAL = sum(number**2 for number in range(COUNT))


@pytest.fixture
def sums(longshore):
    """A pipeline that makes files, squares them in mini-batches of one, and adds up; its scripts note their calls."""
    for name, text in (("make", MAKE), ("square", SQUARE), ("add", ADD)):
        longshore.write(f"{name}/common.py", COMMON.format(folder=str(longshore.folder)))
        longshore.write(f"{name}/{name}.py", text)
    (longshore.folder / "calls").mkdir()
    longshore.sums = lambda **more: longshore.document("Pipeline", "sums", **(sums_spec() | more))
    longshore.manifest(longshore.sums())
    longshore.calls = lambda: Counter(each.name.split(".")[0] for each in (longshore.folder / "calls").iterdir())
    longshore.hold = lambda name: longshore.write(f"hold.{name}", "")
    longshore.release = lambda name: (longshore.folder / f"hold.{name}").unlink()
    longshore.forget = lambda: [each.unlink() for each in (longshore.folder / "calls").iterdir()]
    return longshore


def sums_spec(**square):
    return {
        "parameters": [{"name": "count", "type": "integer", "default": COUNT}],
        "steps": [
            script("make", ["$(outputs.files)", "$(parameters.count)"], outputs=["files"]),
            {
                "name": "square",
                "parallelRun": {
                    "inputs": [{"name": "files", "from": "$(steps.make.outputs.files)"}],
                    "output": {"name": "squares"},
                    "source": {"uri": "square"},
                    "entryScript": "square.py",
                    "miniBatchSize": 1,
                    "outputAction": "append_row",
                    "resourceMonitorIntervalSeconds": 0,
                    **square,
                },
            },
            script(
                "add",
                ["$(inputs.squares)", "$(outputs.sum)"],
                inputs=[{"name": "squares", "from": "$(steps.square.outputs.squares)"}],
                outputs=["sum"],
            ),
        ],
    }


def script(name, arguments=(), *, inputs=(), outputs=(), **more):
    spec = {
        "source": {"uri": name},
        "scriptName": f"{name}.py",
        "arguments": list(arguments),
        "inputs": list(inputs),
        "outputs": [{"name": each} for each in outputs],
    }
    return {"name": name, "script": spec, **more}


def run(longshore, name, *arguments, **options):
    """Run the manifest in the folder runs/<name>, beside earlier ones."""
    return longshore.run("--run-dir", f"runs/{name}", *arguments, **{"patience": TRAINING, **options})


def kill(longshore, command):
    """Kill a command, and see that all that it had started ends with it."""
    os.kill(command.pid, signal.SIGKILL)
    longshore.wait_until(lambda: not command.is_running())
    longshore.nothing_is_left_running()


def steps(ended):
    return {each["name"]: each for each in ended.status["steps"]}


def states(ended):
    return {name: each["state"] for name, each in steps(ended).items()}


def reused(ended):
    return {name for name, each in steps(ended).items() if "reusedFrom" in each}


def output(ended, step, name):
    """The folder of an output."""
    (found,) = [each["uri"] for each in steps(ended)[step]["outputs"] if each["name"] == name]
    return Path(found)


def total(ended):
    return (output(ended, "add", "sum") / "total.txt").read_text()


def example(longshore, name, *needed):
    """A copy of an example, with its data made."""
    pytest.importorskip("sklearn")
    folder = longshore.folder / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("data"))
    subprocess.run([sys.executable, str(folder / needed[0])], check=True, stdout=subprocess.DEVNULL)
    return folder


# The two tutorials


def test_prepare_train_compare_runs_once_and_then_only_what_was_edited(longshore, capsys):
    folder = example(longshore, "iris-pipeline", "write_data.py")
    paths = ["iris-pipeline"]

    first = run(longshore, "1", paths=paths)
    assert first.code == 0
    assert set(states(first).values()) == {"Succeeded"}
    scores = json.loads((output(first, "compare", "best") / "scores.json").read_text())
    assert min(scores["accuracy"].values()) > 0.8
    assert steps(first)["prepare"]["metrics"]["train_rows"] > 100

    began = time.monotonic()
    second = run(longshore, "2", paths=paths)
    took = time.monotonic() - began
    assert reused(second) == {"prepare", "train", "compare"}
    assert {each["outputs"][0]["uri"] for each in second.status["steps"]} == {
        each["outputs"][0]["uri"] for each in first.status["steps"]
    }
    with capsys.disabled():
        print(f" [three steps reused in {took:.2f} s]", end="")

    train = folder / "train" / "train.py"
    train.write_text(train.read_text().replace("max_depth=3", "max_depth=1"))
    third = run(longshore, "3", paths=paths)
    assert reused(third) == {"prepare"}
    assert steps(third)["train"]["notReused"] == "code changed: train.py"
    assert steps(third)["compare"]["notReused"] == "step train, which it reads from, ran again"
    assert json.loads((output(third, "compare", "best") / "scores.json").read_text()) != scores

    fourth = run(longshore, "4", "-p", "regularisation=0.5", paths=paths)
    assert reused(fourth) == {"prepare"}
    assert steps(fourth)["train"]["notReused"] == "argument 6 changed from 1.0 to 0.5"


def test_digits_are_scored_and_then_a_single_image_through_parameters(longshore):
    folder = example(longshore, "digits", "prepare.py")
    for each in sorted((folder / "data" / "images").iterdir())[20:]:
        each.unlink()
    paths = ["digits/digits.yaml", "digits/pipeline"]

    every = run(longshore, "all", paths=paths)
    single = run(
        longshore,
        "one",
        *("-p", "mnist_param=single-image", "-p", "batch_size_param=1", "-p", "process_count_param=1"),
        paths=paths,
    )

    def rows(ended):
        return (output(ended, "predict-digits-mnist", "inferences") / "mnist_outputs.txt").read_text().splitlines()

    assert (every.code, single.code) == (0, 0)
    assert len(rows(every)) == 20
    assert [row.partition(":")[0] for row in rows(single)] == ["0500.png"]
    assert steps(single)["predict-digits-mnist"]["message"] == "1 of 1 mini-batches succeeded"


# What a run does


def test_steps_of_all_kinds_hand_on_what_they_made(sums):
    spec = sums_spec()
    copy = {
        "name": "copy",
        "transfer": {
            "source": {"path": "$(steps.add.outputs.sum)"},
            "destination": {"datastore": "kept", "path": "sums/latest"},
        },
    }
    spec["steps"].insert(0, copy)
    sums.manifest(sums.sums(**spec), sums.document("Datastore", "kept", uri="kept"))

    ended = run(sums, "1")

    assert ended.code == 0
    assert total(ended) == str(TOTAL)
    assert (sums.folder / "kept" / "sums" / "latest" / "total.txt").read_text() == str(TOTAL)
    assert steps(ended)["add"]["metrics"] == {"total": TOTAL}
    assert sums.calls() == {"make": 1, "add": 1, **{f"square-{number}": 1 for number in range(COUNT)}}
    assert [each["name"] for each in ended.status["steps"]] == ["make", "square", "add", "copy"]
    run_dir = sums.folder / "runs" / "1"
    assert json.loads((run_dir / "status.json").read_text()) == ended.status
    assert (run_dir / "steps" / "square" / "state" / "succeeded.json").exists()
    assert "the total is" in "".join(each.read_text() for each in run_dir.glob("steps/add/logs/**/*stdout*"))


def test_rows_of_an_earlier_step_are_a_tabular_input(longshore):
    longshore.write(
        "make/make.py", "import sys\nopen(sys.argv[1] + '/rows.csv', 'w').write('a,b\\n1,2\\n3,4\\n5,6\\n')\n"
    )
    longshore.write("score/score.py", "def run(mini_batch):\n    return [f'{a + b}' for a, b in mini_batch.values]\n")
    tabular = {"format": "csv", "paths": ["*.csv"]}
    score = {
        "inputs": [{"name": "rows", "from": "$(steps.make.outputs.rows)", "tabular": tabular}],
        "output": {"name": "scores"},
        "source": {"uri": "score"},
        "entryScript": "score.py",
        "miniBatch": {"rows": 2},
        "outputAction": "append_row",
    }
    made = script("make", ["$(outputs.rows)"], outputs=["rows"])
    longshore.manifest(longshore.document("Pipeline", "rows", steps=[made, {"name": "score", "parallelRun": score}]))

    ended = run(longshore, "1")

    assert (output(ended, "score", "scores") / "parallel_run_step.txt").read_text() == "3\n7\n11\n"


def test_a_person_reads_each_change_and_a_table_with_the_reasons(sums):
    run(sums, "1")
    sums.write("add/add.py", ADD + "# edited\n")
    ended = run(sums, "2", json=False)
    assert re.sub(r"\d\d:\d\d:\d\d ", "", ended.stdout).splitlines()[:4] == [
        f"make: reused from {reused_run(sums)}",
        f"square: reused from {reused_run(sums)}",
        "add: running: code changed: add.py",
        next(line for line in ended.stdout.splitlines() if "add: succeeded" in line)[9:],
    ]
    assert "sums: Succeeded. Steps completed: 3 (reused 2).\n" in ended.stdout
    table = re.sub(" +", " ", ended.stdout)
    assert f" make reused 0s from {reused_run(sums)}\n" in table
    assert re.search(r" add succeeded \d+s code changed: add\.py\n", table)


def test_the_status_says_how_many_mini_batches_of_a_step_are_done(sums):
    sums.hold("square-3")
    command = sums.start("--run-dir", "runs/1")
    status = sums.folder / "runs" / "1" / "status.json"

    def current():
        return json.loads(status.read_text())["columns"]["current"] if status.exists() else ""

    sums.wait_until(lambda: current() == f"square (3/{COUNT})")

    inner = sums.folder / "runs" / "1" / "steps" / "square" / "status.json"
    sums.wait_until(
        lambda: [each["state"] for each in json.loads(inner.read_text())["command"]["processes"]] == ["ready"]
    )
    sums.release("square-3")
    assert command.wait().code == 0


@pytest.mark.parametrize(
    ("broken", "reason", "log"),
    [
        ("square-3", "ErrorThresholdExceeded", "square/logs/user/error/worker-0/process000.txt"),
        ("add", "ScriptFailed", "add/logs/stderr.txt"),
    ],
)
def test_why_a_step_failed_is_printed_once_with_its_traceback_and_its_log(sums, broken, reason, log):
    name = broken.partition("-")[0]
    sums.write(f"broken.{broken}", "")
    sums.manifest(sums.sums(**sums_spec(errorThreshold=0, runMaxTry=1)))

    ended = run(sums, "1", json=False)

    assert ended.code == 1
    assert re.search(rf"^\d\d:\d\d:\d\d {name}: failed in \S+: {reason}$", ended.stdout, re.MULTILINE)
    message, *trace = re.findall(f"^.*ValueError: {broken} is broken.*$", ended.stdout, re.MULTILINE)
    assert message.startswith(f"  {name}: ")
    assert trace == [f"    ValueError: {broken} is broken"]
    assert "    Traceback (most recent call last):\n" in ended.stdout
    path = sums.folder / "runs" / "1" / "steps" / log
    assert f"    log  {path}\n" in ended.stdout
    assert f"ValueError: {broken} is broken" in path.read_text()


def reused_run(longshore):
    return json.loads((longshore.folder / "runs" / "1" / "status.json").read_text())["runId"]


def test_what_would_be_done_is_told_and_not_done(sums):
    run(sums, "1")
    sums.write("square/square.py", SQUARE + "# edited\n")
    sums.forget()
    ended = run(sums, "2", "--explain", json=False)
    table = [re.sub(" +", " ", line).strip() for line in ended.stdout.splitlines()]
    assert table[0] == "sums: nothing is run"
    assert table[2:] == [
        f"make be reused nothing changed since {reused_run(sums)}",
        "square run code changed: square.py",
        "add run step square, which it reads from, ran again",
    ]
    assert not sums.calls()
    assert not (sums.folder / "runs" / "2").exists()


def test_outputs_are_made_anew_when_that_is_asked_for(sums):
    run(sums, "1")
    second = run(sums, "2", "--regenerate-outputs")
    assert reused(second) == set()
    assert sums.calls()["make"] == 2
    assert reused(run(sums, "3")) == {"make", "square", "add"}


def test_a_step_that_allows_no_reuse_runs_again_with_all_that_reads_from_it(sums):
    spec = sums_spec()
    spec["steps"][1]["allowReuse"] = False
    sums.manifest(sums.sums(**spec))
    run(sums, "1")
    second = run(sums, "2")
    assert reused(second) == {"make"}
    assert steps(second)["square"]["notReused"] == "its allowReuse is false"


def test_a_step_whose_code_was_mended_goes_on_with_old_rows_only_when_its_user_says_so(sums):
    sums.manifest(sums.sums(**sums_spec(errorThreshold=0, nodeCount=1, processCountPerNode=1)))
    sums.write("broken.square-5", "")
    assert states(run(sums, "1"))["square"] == "Failed"
    sums.write("square/square.py", SQUARE.replace("** 2", "* 0"))
    (sums.folder / "broken.square-5").unlink()
    folder = str(sums.folder / "runs" / "1")
    refused = sums.run("--resume", folder, patience=TRAINING)
    assert (refused.code, steps(refused)["square"]["reason"]) == (1, "CodeChanged")
    assert 'the file "square.py" changed' in steps(refused)["square"]["message"]
    ended = sums.run("--resume", folder, "--accept-changed-code", patience=TRAINING)
    assert states(ended) == {"make": "Succeeded", "square": "Succeeded", "add": "Succeeded"}
    rows = sorted(map(int, (output(ended, "square", "squares") / "parallel_run_step.txt").read_text().split()))
    assert 0 in rows[1:]  # of the new code
    assert sum(rows) not in (0, TOTAL)  # of both


@pytest.fixture
def reader(longshore):
    """A pipeline whose first step reads the folder data/ and a model, and whose second one reads what that wrote."""
    longshore.write("data/a.txt", "1")
    longshore.write("data/b.txt", "2")
    longshore.write("weights/w.bin", "3")
    read = "import os, sys\nopen(sys.argv[2] + '/names.txt', 'w').write(str(sorted(os.listdir(sys.argv[1]))))\n"
    longshore.write("read/read.py", read)
    longshore.write("count/count.py", "import os, sys\nprint(os.listdir(sys.argv[1]))\n")
    first = script(
        "read",
        ["$(inputs.data)", "$(outputs.names)"],
        inputs=[{"name": "data", "file": {"paths": ["data"]}}],
        outputs=["names"],
    )
    first["script"]["models"] = [{"name": "weights"}]
    names = [{"name": "names", "from": "$(steps.read.outputs.names)"}]
    second = script("count", ["$(inputs.names)"], inputs=names)
    model = longshore.document("Model", "weights", version=1, path="weights/w.bin")
    pipeline = longshore.document("Pipeline", "reader", steps=[first, second])

    def submit(name, *arguments, **spec):
        step = longshore.document("PipelineRun", "one", pipelineRef={"name": "reader"}, **spec)
        longshore.manifest(pipeline, model, step)
        return run(longshore, name, *arguments)

    longshore.submit = submit
    return longshore


def test_what_a_step_reads_is_compared_with_what_it_read_and_the_file_is_named(reader):
    reader.submit("1")
    assert reused(reader.submit("2")) == {"read", "count"}
    for name, change, why in (
        ("3", lambda: reader.write("data/a.txt", "11"), 'input "data": the file "a.txt" changed'),
        ("4", lambda: reader.write("data/c.txt", "3"), 'input "data": the file "c.txt" was added'),
        ("5", (reader.folder / "data" / "b.txt").unlink, 'input "data": the file "b.txt" was removed'),
        ("6", lambda: reader.write("weights/w.bin", "33"), 'model "weights 1": the file "w.bin" changed'),
    ):
        change()
        told = reader.submit(name)
        assert reused(told) == set()
        assert steps(told)["read"]["notReused"] == why
        assert steps(told)["count"]["notReused"] == "step read, which it reads from, ran again"
    assert (output(told, "read", "names") / "names.txt").read_text() == "['a.txt', 'c.txt']"
    assert reused(reader.submit("7")) == {"read", "count"}


def test_what_is_compared_can_be_chosen(reader):
    reader.submit("1", "--content-fingerprint", "digests")
    os.utime(reader.folder / "data" / "a.txt", (1, 1))
    assert reused(reader.submit("2", contentFingerprint="digests")) == {"read", "count"}
    told = reader.submit("3")
    assert steps(told)["read"]["notReused"] == "contentFingerprint changed from digests to stamps"
    reader.write("data/a.txt", "11")
    assert reused(reader.submit("4", contentFingerprint=False)) == {"read", "count"}
    told = reader.submit("5", "--no-reuse", contentFingerprint="none")
    assert reused(told) == set()
    assert steps(told)["read"]["notReused"] == "regenerateOutputs asks every step to run"


def test_a_step_that_went_on_over_changed_inputs_is_not_reused(longshore):
    """Some of its rows are of the old files: those are in the output, whatever the files are by then."""
    longshore.write("square/common.py", COMMON.format(folder=str(longshore.folder)))
    longshore.write("square/square.py", SQUARE)
    (longshore.folder / "calls").mkdir()
    for number in range(3):
        longshore.write(f"data/{number:02}.txt", str(number))
    longshore.write("broken.square-2", "")
    square = sums_spec(inputs=[{"name": "files", "file": {"paths": ["data"]}}], errorThreshold=0)["steps"][1]
    longshore.manifest(longshore.document("Pipeline", "squares", steps=[square]))
    assert states(run(longshore, "1")) == {"square": "Failed"}
    longshore.write("data/00.txt", "5")
    (longshore.folder / "broken.square-2").unlink()
    assert states(longshore.run("--resume", str(longshore.folder / "runs" / "1"))) == {"square": "Succeeded"}
    told = run(longshore, "2")
    assert reused(told) == set()
    assert steps(told)["square"]["notReused"] == (
        'input "files": its files could not be compared in the earlier run: they changed before the step was resumed'
    )


def test_a_script_step_runs_by_itself(longshore):
    longshore.write("code/hello.py", "import sys\nopen(sys.argv[1] + '/hello.txt', 'w').write(sys.argv[2])\n")
    step = longshore.document(
        "ScriptStep",
        "hello",
        source={"uri": "code"},
        scriptName="hello.py",
        arguments=["$(outputs.out)", "$(parameters.name)"],
        outputs=[{"name": "out"}],
    )
    longshore.manifest(step)
    ended = run(longshore, "1", "-p", "name=world")
    assert (ended.code, states(ended)) == (0, {"hello": "Succeeded"})
    assert (output(ended, "hello", "out") / "hello.txt").read_text() == "world"


def test_steps_that_need_nothing_of_one_another_run_at_the_same_time(sums):
    (make, square, _) = sums_spec()["steps"]
    again = {**square, "name": "again", "parallelRun": {**square["parallelRun"], "arguments": ["--other"]}}
    sums.write("other/common.py", COMMON.format(folder=str(sums.folder)))
    sums.write("other/other.py", "from common import *\ncalled('other')\n")
    sums.manifest(sums.sums(steps=[make, square, again, script("other", runAfter=["make"])]))
    for name in ("square-0", "other"):
        sums.hold(name)
    command = sums.start("--run-dir", "runs/1")
    sums.wait_until(lambda: sums.calls()["square-0"] == 2 and sums.calls()["other"] == 1, patience=TRAINING)
    for name in ("square-0", "other"):
        sums.release(name)
    ended = command.wait(patience=TRAINING)
    assert (ended.code, set(states(ended).values())) == (0, {"Succeeded"})
    folders = [output(ended, name, "squares") / "parallel_run_step.txt" for name in ("square", "again")]
    assert folders[0].read_text() == folders[1].read_text()


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git on this machine")
def test_the_commit_of_the_source_is_told(sums):
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "make"],
        ["-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-qm", "m"],
    ):
        subprocess.run(["git", *command], cwd=sums.folder, check=True)
    sums.write("add/add.py", ADD + "# not committed\n")
    ended = run(sums, "1")
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=sums.folder, text=True).strip()
    assert steps(ended)["make"]["git"] == {"repository": "", "branch": "main", "commit": commit, "dirty": False}
    assert steps(ended)["add"]["git"]["dirty"] is True
    assert run(sums, "2").status["steps"][0]["git"]["commit"] == commit


def test_code_that_is_edited_while_a_run_goes_on_is_for_the_next_run(sums):
    sums.hold("make")
    command = sums.start("--run-dir", "runs/1")
    sums.wait_until(lambda: sums.calls()["make"])
    sums.write("add/add.py", "raise SystemExit('edited')")
    sums.manifest(sums.sums(steps=[script("make", outputs=["nothing"])]))
    sums.release("make")
    ended = command.wait(patience=TRAINING)
    assert (ended.code, total(ended)) == (0, str(TOTAL))


# Failures


def test_a_step_that_fails_ends_the_run_with_its_own_words(sums):
    sums.write("broken.add", "")
    ended = run(sums, "1")
    assert ended.code == 1
    assert ended.succeeded["reason"] == "StepFailed"
    assert ended.succeeded["message"] == "Steps completed: 3 (failed 1). add failed: ValueError: add is broken"
    assert states(ended) == {"make": "Succeeded", "square": "Succeeded", "add": "Failed"}


def test_a_step_with_too_many_failed_items_lets_the_others_run_and_is_told_of_in_every_run_that_uses_it(sums):
    sums.manifest(sums.sums(**sums_spec(runMaxTry=1)))
    sums.write("broken.square-7", "")
    first = run(sums, "1")
    assert (first.code, first.reason) == (3, "SucceededWithFailures")
    assert first.succeeded["status"] == "True"
    assert "square succeeded with too many failed items: 7 of 8 mini-batches succeeded" in first.succeeded["message"]
    assert states(first) == {"make": "Succeeded", "square": "Succeeded", "add": "Succeeded"}
    assert steps(first)["square"]["reason"] == "SucceededWithFailures"
    second = run(sums, "2")
    assert (second.code, second.reason) == (3, "SucceededWithFailures")
    assert {name: each["reason"] for name, each in steps(second).items()} == {
        "make": "Reused",
        "square": "ReusedWithFailures",
        "add": "Reused",
    }


@pytest.mark.parametrize("going_on", [False, True])
def test_after_a_failure_the_rest_runs_only_if_that_is_wanted(sums, going_on):
    sums.write("broken.make", "")
    sums.write("other/other.py", "")
    sums.write("last/last.py", "")
    spec = sums_spec()
    spec["steps"] += [script("other"), script("last", runAfter=["other"])]
    sums.manifest(sums.sums(**spec))
    sums.hold("make")
    command = sums.start("--run-dir", "runs/1", *["--continue-on-step-failure"] * going_on)
    status = sums.folder / "runs" / "1" / "status.json"
    sums.wait_until(lambda: status.exists() and '"state": "Succeeded"' in status.read_text())
    if going_on:
        sums.wait_until(lambda: status.read_text().count('"state": "Succeeded"') == 2)
    sums.release("make")
    ended = command.wait(patience=TRAINING)
    assert ended.code == 1
    found = states(ended)
    assert (found["make"], found["square"], found["add"]) == ("Failed", "Skipped", "Skipped")
    assert found["other"] == "Succeeded"
    assert not going_on or found["last"] == "Succeeded"


def test_a_failed_step_is_tried_again_as_often_as_its_retries_say(longshore):
    longshore.write(
        "flaky/flaky.py",
        f"import os, sys\n"
        f"tries = {str(longshore.folder / 'tries')!r}\n"
        "open(tries, 'a').write('x')\n"
        "assert not os.listdir(sys.argv[1]), 'an earlier attempt left something'\n"
        "open(os.path.join(sys.argv[1], 'half'), 'w').close()\n"
        "assert len(open(tries).read()) == 3, 'not yet'\n",
    )
    flaky = script("flaky", ["$(outputs.out)"], outputs=["out"], retries=2)
    longshore.manifest(longshore.document("Pipeline", "flaky", steps=[flaky]))
    ended = run(longshore, "1")
    assert (ended.code, steps(ended)["flaky"]["attempts"]) == (0, 3)


@pytest.mark.parametrize("kind", ["script", "parallelRun"])
def test_a_step_that_takes_too_long_is_stopped(sums, kind):
    name = "make" if kind == "script" else "square"
    sums.hold("make" if kind == "script" else "square-3")
    spec = sums_spec()
    next(each for each in spec["steps"] if each["name"] == name)["timeoutSeconds"] = 2
    sums.manifest(sums.sums(**spec))
    ended = run(sums, "1")
    assert ended.code == 1
    assert (steps(ended)[name]["state"], steps(ended)[name]["reason"]) == ("Failed", "Timeout")


def test_a_cancelled_run_does_nothing(sums):
    sums.manifest(sums.sums(), sums.document("PipelineRun", "never", pipelineRef={"name": "sums"}, cancel=True))
    ended = run(sums, "1")
    assert (ended.code, ended.succeeded["reason"]) == (1, "Cancelled")
    assert not sums.calls()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"steps": [script("make", outputs=["a", "a"])]}, r"spec\.steps\[0\]\.script\.outputs\[1\] has the name 'a'"),
        ({"steps": [script("make", runAfter=["add"])]}, r"spec\.steps\[0\]\.runAfter\[0\] refers to the step 'add'"),
        (
            {"steps": [script("make", runAfter=["add"]), script("add", runAfter=["make"])]},
            r"spec\.steps\[0\]\.runAfter\[0\] closes a circle: make → add → make",
        ),
        (
            {"parameters": [{"name": "count", "type": "integer", "default": "many"}]},
            r"spec\.parameters\[0\]\.default is 'many': must be a whole number",
        ),
        ({"steps": [script("nothing")]}, r"source .*/nothing: cannot be read"),
        (
            {"steps": [{"name": "make", "script": {"source": {"uri": "make"}, "scriptName": "mkae.py"}}]},
            r"spec\.steps\[0\]\.script\.scriptName is 'mkae\.py': there is no such file in the source folder .*/make$",
        ),
    ],
)
def test_what_is_wrong_is_refused_and_leaves_nothing_behind(sums, change, sentence):
    sums.manifest(sums.sums(**change))
    ended = run(sums, "1", json=False)
    assert (ended.code, ended.stdout) == (2, "")
    assert re.search(sentence, ended.stderr.rstrip("\n")), ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (sums.folder / "runs" / "1").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-p", "cuont=3"], r"-p cuont: no document refers to"),
        (["-p", "count=three"], r"-p count: is 'three': must be a whole number"),
        (["--sample", "1"], r"--sample: is for one ParallelRunStep"),
        (["--pipeline", "smus"], r"--pipeline: is 'smus': the documents have Pipeline/sums"),
    ],
)
def test_options_that_do_not_fit_are_refused(sums, arguments, sentence):
    ended = run(sums, "1", *arguments, json=False)
    assert ended.code == 2
    assert re.search(sentence, ended.stderr)


def test_flags_of_pipelines_are_refused_where_there_is_none(longshore):
    longshore.data("a.txt")
    longshore.manifest(longshore.step())
    ended = longshore.run("--regenerate-outputs", json=False)
    assert (ended.code, ended.stderr.partition(":")[2]) == (
        2,
        " --regenerate-outputs: is for pipelines, and the documents have a ParallelRunStep alone\n",
    )


# Going on


def test_a_failed_run_goes_on_with_its_failed_step_alone_and_with_the_code_as_it_is_now(sums):
    spec = sums_spec(errorThreshold=0, runMaxTry=1)
    sums.manifest(sums.sums(**spec))
    sums.write("broken.square-5", "")
    first = run(sums, "1")
    assert states(first) == {"make": "Succeeded", "square": "Failed", "add": "Skipped"}
    done = {f"square-{number}" for number in range(5)}
    assert done <= sums.calls().keys()
    (sums.folder / "broken.square-5").unlink()
    sums.write("square/square.py", SQUARE.replace("** 2", "** 2 + 0"))
    sums.forget()

    second = sums.run("--resume", "runs/1", "--accept-changed-code", paths=[], patience=TRAINING)

    assert (second.code, total(second)) == (0, str(TOTAL))
    assert sums.calls().keys() & {"make", *done} == set()
    assert sums.calls()["square-5"] == 1
    assert steps(second)["square"]["notReused"] == "there is no earlier run of it"
    assert "** 2 + 0" in (sums.folder / "runs" / "1" / "sources" / "3" / "square.py").read_text()


def test_an_interrupted_run_lets_what_runs_finish_and_goes_on_later(sums):
    sums.hold("square-0")  # nothing is known yet of how long they take: few others are sent along
    command = sums.start("--run-dir", "runs/1", "-p", "count=60")
    sums.wait_until(lambda: sums.calls()["square-0"])
    command.signal(signal.SIGINT)
    sums.wait_until(lambda: "may finish" in command.stderr)
    sums.release("square-0")
    first = command.wait(patience=TRAINING)
    assert (first.code, first.succeeded["reason"]) == (130, "Suspended")
    assert states(first) == {"make": "Succeeded", "square": "Pending", "add": "Pending"}

    second = sums.run("--resume", "runs/1", paths=[], patience=TRAINING)

    assert (second.code, total(second)) == (0, str(sum(number**2 for number in range(60))))
    assert set(sums.calls().values()) == {1}


def test_a_second_interrupt_ends_scripts_too(sums):
    sums.hold("make")
    command = sums.start("--run-dir", "runs/1")
    sums.wait_until(lambda: sums.calls()["make"])
    command.signal(signal.SIGINT)
    sums.wait_until(lambda: "may finish" in command.stderr)
    command.signal(signal.SIGINT)
    ended = command.wait(patience=TRAINING)
    assert (ended.code, states(ended)["make"]) == (130, "Pending")
    sums.nothing_is_left_running()


def test_two_commands_cannot_have_one_run(sums):
    sums.hold("make")
    command = sums.start("--run-dir", "runs/1")
    sums.wait_until(lambda: sums.calls()["make"])
    other = sums.start("--resume", "runs/1", paths=[], json=False).wait()
    assert other.code == 2
    assert "another command runs it" in other.stderr
    sums.release("make")
    assert command.wait(patience=TRAINING).code == 0


def test_a_run_that_has_succeeded_has_nothing_to_go_on_with(sums):
    first = run(sums, "1")
    sums.forget()
    again = sums.run("--resume", "runs/1", paths=[])
    assert (again.code, again.status) == (0, first.status)
    assert "has succeeded already" in again.stderr
    assert not sums.calls()


def test_what_was_settled_cannot_be_given_anew(sums):
    run(sums, "1", "-p", "count=2")
    ended = sums.run("--resume", "runs/1", "-p", "count=3", paths=[], json=False)
    assert ended.code == 2
    assert ended.stderr.startswith("longshore: -p: is not for a run of a pipeline that goes on")


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_is_killed_anywhere_and_resumed_ends_as_an_undisturbed_one(sums, seed):
    chance = random.Random(seed)
    folder = sums.folder / "runs" / "1"
    command = sums.start("--run-dir", "runs/1")
    sums.wait_until((folder / "pipeline.json").exists)
    kills = 0
    for calls in sorted(chance.sample(range(COUNT + 2), 4)):
        sums.wait_until(lambda calls=calls, now=command: sums.calls().total() >= calls or not now.is_running())
        moment = time.monotonic() + chance.uniform(0, 0.1)
        while command.is_running() and time.monotonic() < moment:
            time.sleep(0.002)  # the moment of the kill is what is random here
        if command.is_running():
            kill(sums, command)
            kills += 1
            command = sums.start("--resume", "runs/1", paths=[])
    assert kills
    ended = command.wait(patience=TRAINING)

    assert ended.code == 0, ended.stderr
    assert set(states(ended).values()) == {"Succeeded"}
    assert total(ended) == str(TOTAL)
    rows = (output(ended, "square", "squares") / "parallel_run_step.txt").read_text().splitlines()
    assert rows == [str(number**2) for number in range(COUNT)]
    assert sorted(os.listdir(output(ended, "make", "files"))) == [f"{number:02}.txt" for number in range(COUNT)]
    sums.forget()
    assert reused(run(sums, "2")) == {"make", "square", "add"}
    assert not sums.calls()
