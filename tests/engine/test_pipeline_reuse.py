"""Steps of pipelines that are reused, and what makes them run again."""

import os
import re
import shutil
import subprocess

import pytest
from sums import (
    ADD,
    COMMON,
    SQUARE,
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


def test_what_would_be_done_is_reported_and_not_done(sums):
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


def test_outputs_are_created_again_when_that_is_asked_for(sums):
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
    assert steps(second)["square"]["notReused"] == "allowReuse is false"


def test_a_step_whose_code_was_mended_goes_on_with_old_rows_only_when_its_user_accepts_it(sums):
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
    assert steps(told)["read"]["notReused"] == "regenerateOutputs is true"


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


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git on this machine")
def test_the_commit_of_the_source_is_reported(sums):
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
