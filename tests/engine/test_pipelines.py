"""Pipelines as their users run them: what they hand on and print, and what they refuse."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sums import (
    ADD,
    COMMON,
    COUNT,
    TOTAL,
    TRAINING,
    output,
    reused,
    reused_run,
    run,
    script,
    states,
    steps,
    sums_spec,
    total,
)

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"


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
def test_steps_of_all_kinds_pass_on_what_they_made(sums):
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


def test_the_status_states_how_many_mini_batches_of_a_step_are_done(sums):
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
            r"spec\.steps\[0\]\.runAfter\[0\] closes a cycle of dependencies: make → add → make",
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
        (["--sample", "1"], r"--sample: is only supported for a single ParallelRunStep"),
        (["--pipeline", "smus"], r"--pipeline: is 'smus', which does not exist; the documents have Pipeline/sums"),
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
        " --regenerate-outputs: is only supported for pipelines, and this is a ParallelRunStep\n",
    )
