"""Resuming with other code, and retrying what failed after a success: rows take their places in the one output."""

import json
import os
import signal

import pytest

COUNT = 12
SCORE = """
import os, sys, time
HERE = {folder!r}
def run(mini_batch):
    (path,) = mini_batch
    number = int(os.path.basename(path)[:2])
    while os.path.exists(os.path.join(HERE, f"hold.{{number}}")):
        time.sleep(0.01)
    if os.path.exists(os.path.join(HERE, f"broken.{{number}}")):
        raise ValueError(f"{{number}} is broken")
    return [f"{{number}} {word}"]
"""


@pytest.fixture
def scores(longshore):
    """A step of mini-batches of one file, whose script fails, or waits, for the files that a test names."""
    for number in range(COUNT):
        longshore.write(f"data/{number:02}.txt", str(number))

    def code(word):
        longshore.write("code/score.py", SCORE.replace("{word}", word).format(folder=str(longshore.folder)))

    def submit(**spec):
        spec = {"source": {"uri": "code"}, "miniBatchSize": 1, "runMaxTry": 1, "errorThreshold": -1, **spec}
        longshore.manifest(longshore.step("score.py", **spec))

    longshore.code, longshore.submit = code, submit
    longshore.breaks = lambda *numbers: [longshore.write(f"broken.{each}", "") for each in numbers]
    longshore.mends = lambda *numbers: [(longshore.folder / f"broken.{each}").unlink() for each in numbers]
    longshore.retry = lambda *arguments, **how: longshore.run(
        "--retry-failed", str(longshore.run_dir), *arguments, **how
    )
    code("one")
    submit()
    return longshore


def rows(*other, word="one", other_word="two"):
    return "".join(f"{number} {other_word if number in other else word}\n" for number in range(COUNT)).encode()


def segments(scores):
    return [each for each in (scores.run_dir / "state" / "segments").rglob("*") if each.is_file()]


def test_what_failed_is_retried_after_a_success_and_takes_its_place_in_the_output(scores):
    scores.breaks(0, 5, 11)
    first = scores.run()
    assert first.mini_batches == {"total": COUNT, "scheduled": COUNT, "succeeded": 9, "failed": 3}
    assert len(first.rows) == 9
    assert segments(scores)
    scores.mends(0, 5)
    second = scores.retry()
    assert second.mini_batches == {"total": COUNT, "scheduled": COUNT, "succeeded": 11, "failed": 1}
    assert [each["miniBatch"] for each in second.failed] == [11]
    assert segments(scores)
    scores.mends(11)
    third = scores.retry()
    assert (third.code, third.reason, third.output) == (0, "Succeeded", rows())
    assert third.failed == []
    assert not segments(scores)
    fourth = scores.retry()
    assert (fourth.code, fourth.output) == (0, rows())
    assert "there is nothing to retry" in fourth.stderr


def test_a_success_with_failures_states_how_they_are_retried(scores):
    scores.breaks(3)
    hint = scores.run(json=False).stdout.splitlines()[-1]
    assert hint == f"  retry with    longshore run --retry-failed {scores.run_dir}"
    told = scores.resume()
    assert "nothing to resume; use --retry-failed to retry its 1 failed mini-batches" in told.stderr
    scores.mends(3)
    ended = scores.retry(paths=())  # as the hint says it
    assert (ended.code, ended.output) == (0, rows())


def test_a_retry_may_have_new_code_when_its_user_accepts_it(scores):
    scores.breaks(2, 7)
    scores.run()
    scores.mends(2, 7)
    scores.code("two")
    refused = scores.retry(json=False)
    assert refused.code == 2
    assert 'other code or settings: the file "score.py" changed' in refused.stderr
    assert len((scores.run_dir / "out" / "parallel_run_step.txt").read_text().splitlines()) == COUNT - 2
    ended = scores.retry("--accept-changed-code")
    assert (ended.code, ended.output) == (0, rows(2, 7))
    report = json.loads(ended.log("sys/job_report/code.json"))
    assert report[1]["miniBatches"] == [[2, 2], [7, 7]]
    assert "2 versions of the code made the rows (10, 2 mini-batches)" in ended.log("job_result.txt")


def test_a_retry_that_is_killed_leaves_the_old_output_and_is_continued(scores):
    scores.breaks(4, 8)
    old = scores.run().output
    scores.mends(4, 8)
    scores.write("hold.8", "")
    command = scores.start("--retry-failed", str(scores.run_dir))
    ledger = scores.run_dir / "state" / "ledger"
    scores.wait_until(lambda: any('"done"' in each.read_text() for each in ledger.glob("000002-*")))
    os.kill(command.pid, signal.SIGKILL)
    scores.wait_until(lambda: not command.is_running())
    scores.nothing_is_left_running()
    assert (scores.run_dir / "out" / "parallel_run_step.txt").read_bytes() == old
    (scores.folder / "hold.8").unlink()
    ended = scores.resume()
    assert (ended.code, ended.output) == (0, rows())


def test_a_failed_run_is_retried_as_it_is_resumed(scores):
    scores.submit(errorThreshold=0, nodeCount=1, processCountPerNode=1)
    scores.breaks(6)
    assert scores.run().reason == "ErrorThresholdExceeded"
    scores.mends(6)
    ended = scores.retry()
    assert (ended.code, ended.output) == (0, rows())


def test_a_run_is_not_resumed_with_other_code_unless_its_user_accepts_it(scores):
    scores.submit(errorThreshold=0, nodeCount=1, processCountPerNode=1)
    scores.breaks(6)
    done = scores.run().mini_batches["succeeded"]
    scores.mends(6)
    scores.code("two")
    refused = scores.resume(json=False)
    assert refused.code == 2
    assert 'the file "score.py" changed' in refused.stderr
    ended = scores.resume("--accept-changed-code")
    _, second = json.loads(ended.log("sys/job_report/code.json"))
    of_second = [n for begin, end in second["miniBatches"] for n in range(begin, end + 1)]
    assert len(of_second) == COUNT - done
    assert ended.output == rows(*of_second)
    assert second["changes"] == ['the file "score.py" changed']


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"arguments": ["--fast"]}, "argument 1 was added"),
        ({"environmentVariables": {"MODE": "fast"}}, 'the environment variable "MODE" was added'),
        ({"source": {"uri": "moved"}}, 'the file "score.py" changed'),
    ],
)
def test_settings_that_make_other_rows_are_as_code(scores, change, told):
    scores.submit(errorThreshold=0, nodeCount=1, processCountPerNode=1)
    scores.breaks(6)
    scores.run()
    scores.mends(6)
    scores.write("moved/score.py", "def run(mini_batch): return ['moved']\n")
    scores.submit(errorThreshold=0, nodeCount=1, processCountPerNode=1, **change)
    refused = scores.resume(json=False)
    assert (refused.code, told in refused.stderr) == (2, True), refused.stderr


def test_a_change_of_limits_or_of_the_document_is_no_change_of_code(scores):
    scores.submit(
        errorThreshold=0, nodeCount=1, processCountPerNode=1, source={"uri": "."}, entryScript="code/score.py"
    )
    scores.breaks(6)
    scores.run()
    scores.write("notes.txt", "")
    scores.submit(nodeCount=2, source={"uri": "."}, entryScript="code/score.py", runMaxTry=2)
    ended = scores.resume()
    assert ended.mini_batches["succeeded"] == COUNT - 1


def test_a_pipeline_is_not_retried_as_a_step(scores):
    step = {"name": "first", "script": {"scriptName": "a.py", "source": {"uri": "step"}}}
    scores.manifest(scores.document("Pipeline", "pipe", steps=[step]))
    scores.write("step/a.py", "")
    assert scores.run().code == 0
    told = scores.retry(json=False)
    assert told.code == 2
    assert "this is the run of a pipeline; use --resume, which retries failed steps" in told.stderr
