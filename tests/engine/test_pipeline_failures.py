"""Steps of pipelines that fail, are tried again or take too long."""

import pytest
from sums import TRAINING, run, script, states, steps, sums_spec


# Failures
def test_a_step_that_fails_ends_the_run_with_its_own_words(sums):
    sums.write("broken.add", "")
    ended = run(sums, "1")
    assert ended.code == 1
    assert ended.succeeded["reason"] == "StepFailed"
    assert ended.succeeded["message"] == "Steps completed: 3 (failed 1). add failed: ValueError: add is broken"
    assert states(ended) == {"make": "Succeeded", "square": "Succeeded", "add": "Failed"}


def test_a_step_with_too_many_failed_items_lets_the_others_run_and_is_reported_in_every_run_that_uses_it(sums):
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


def test_a_failed_step_is_tried_again_as_often_as_its_retries_state(longshore):
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
