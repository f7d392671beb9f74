"""Runs that are resumed, and commands that are interrupted."""

import csv
import json
import os
import re
import shlex
import signal

from noted_calls import NAMES, about, interrupt


def committed(ended):
    """The mini-batches that a run's report calls done."""
    rows = csv.DictReader(ended.log("sys/job_report/processed_mini-batches.csv").splitlines())
    return {int(row["Mini-batch ID"]) for row in rows if row["Status"] == "RUN_DONE"}


def test_a_failed_run_goes_on_with_a_repaired_script_and_redoes_nothing_that_is_committed(noted):
    noted.write("go", "")
    noted.write("broken.2", "")
    noted.manifest(noted.noted_step(runMaxTry=2, errorThreshold=0))
    failed = noted.run()
    assert (failed.code, failed.reason) == (1, "ErrorThresholdExceeded")
    done = committed(failed)
    assert {0, 1} <= done
    assert 2 not in done
    explained = noted.resume("--explain", json=False)
    assert f"reused        {len(done)} committed mini-batches of the run to resume" in explained.stdout
    (noted.folder / "broken.2").unlink()

    resumed = noted.resume()

    assert (resumed.code, resumed.reason) == (0, "Succeeded")
    assert resumed.rows == NAMES
    assert resumed.mini_batches == {"total": 5, "scheduled": 5, "succeeded": 5}
    assert resumed.items == {"total": 10, "succeeded": 10}
    assert resumed.first_error == {}
    assert resumed.failed == []
    assert not (resumed.run_dir / "logs" / "job_error.txt").exists()
    assert resumed.status["runId"] == failed.status["runId"]
    calls = noted.calls()
    assert {number: calls[number] for number in done} == dict.fromkeys(done, 1)
    assert calls[2] == 3  # two tries of the first run, one of the second


def test_a_resumed_run_that_fails_again_has_had_all_its_tries_again(noted):
    noted.write("go", "")
    noted.write("broken.4", "")
    noted.manifest(noted.noted_step(runMaxTry=2, errorThreshold=0))
    for run in (noted.run, noted.resume, noted.resume):
        ended = run()
        assert (ended.code, ended.reason) == (1, "ErrorThresholdExceeded")
        assert ended.mini_batches == {"total": 5, "scheduled": 5, "succeeded": 4, "failed": 1, "retried": 1}
    assert noted.calls() == {0: 1, 1: 1, 2: 1, 3: 1, 4: 6}


def test_a_run_with_another_plan_is_not_resumed_and_loses_nothing_by_the_refusal(noted):
    noted.write("go", "")
    noted.write("broken.4", "")
    noted.manifest(noted.noted_step(runMaxTry=1, errorThreshold=0))
    assert noted.run().code == 1
    noted.manifest(noted.noted_step(runMaxTry=1, errorThreshold=0, miniBatchSize=3))

    refused = noted.resume()

    assert (refused.code, refused.stdout) == (2, "")
    sentence = 'The setting "mini-batch size" was "2 files" and is "3 files" now.'
    assert refused.stderr == f"longshore: --resume: {noted.run_dir} cannot be resumed: {sentence}\n"

    noted.manifest(noted.noted_step(runMaxTry=1, errorThreshold=0))
    noted.data("00-more.txt")
    refused = noted.resume()
    assert (refused.code, refused.stdout) == (2, "")
    assert re.fullmatch(r"longshore: --resume: .* cannot be resumed: The (plan|files) .*\.\n", refused.stderr)

    (noted.folder / "data" / "00-more.txt").unlink()
    (noted.folder / "broken.4").unlink()
    resumed = noted.resume()
    assert (resumed.code, resumed.rows) == (0, NAMES)
    assert noted.calls() == {0: 1, 1: 1, 2: 1, 3: 1, 4: 2}


def test_the_command_that_is_printed_resumes_the_run_as_it_is_typed(noted):
    noted.write("go", "")
    noted.write("broken.2", "")
    noted.manifest(noted.noted_step(runMaxTry=1, errorThreshold=0, miniBatchSize="$(parameters.size)"))
    failed = noted.run("--sample", "3", "-p", "size=1", json=False)
    (command,) = re.findall(r"resume with +longshore (run .*)", failed.stdout)
    (noted.folder / "broken.2").unlink()

    resumed = noted.run(*shlex.split(command)[1:], paths=())

    assert (resumed.code, resumed.reason) == (0, "Succeeded")
    assert resumed.items == {"total": 3, "succeeded": 3}


def test_a_run_that_does_not_record_its_documents_asks_for_them(noted):
    noted.write("go", "")
    noted.write("broken.0", "")
    noted.manifest(noted.noted_step(runMaxTry=1, errorThreshold=0))
    noted.run()
    recorded = json.loads(about(noted).read_text())
    del recorded["origin"]
    about(noted).write_text(json.dumps(recorded))

    refused = noted.resume(paths=())

    assert (refused.code, refused.stdout) == (2, "")
    assert refused.stderr == "longshore: PATH: is missing; name a YAML file or a folder of YAML files\n"


def test_a_run_that_has_succeeded_is_left_as_it_is_when_resumed(longshore):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step())
    first = longshore.run()

    again = longshore.resume()

    assert again.code == 0
    assert again.status == first.status
    assert again.stderr == (
        f"longshore: the run in {longshore.run_dir} has already succeeded; there is nothing to resume\n"
    )


def test_an_interrupted_run_finishes_what_runs_and_goes_on_later(noted):
    noted.manifest(noted.noted_step(processCountPerNode=2))
    command = noted.start()
    noted.wait_until(lambda: len(noted.calls()) == 2)
    assert len(noted.processes("longshore_host.child")) == 2  # so they are known by their mark, should they be left
    interrupt(command)
    noted.wait_until(lambda: "interrupt again to stop at once" in command.stderr)
    noted.write("go.0", "")
    noted.write("go.1", "")

    interrupted = command.wait()

    noted.nothing_is_left_running()
    assert (interrupted.code, interrupted.reason) == (130, "Interrupted")
    assert interrupted.mini_batches == {"total": 5, "scheduled": 5, "succeeded": 2}
    assert interrupted.first_error == {}
    assert noted.calls() == {0: 1, 1: 1}
    assert "Traceback" not in interrupted.stderr

    noted.write("go", "")
    resumed = noted.resume()
    assert (resumed.code, resumed.rows) == (0, NAMES)
    assert noted.calls() == dict.fromkeys(range(5), 1)


def test_a_run_that_is_interrupted_twice_stops_at_once_and_goes_on_later(noted):
    noted.write("go.0", "")
    command = noted.start()
    noted.wait_until(lambda: noted.calls() == {0: 1, 1: 1})  # the second one waits for ever
    ledger = noted.run_dir / "state" / "ledger"  # the first one is to be committed
    noted.wait_until(lambda: any('"done"' in each.read_text() for each in ledger.glob("*.jsonl")))
    interrupt(command, signal.SIGTERM)
    noted.wait_until(lambda: "interrupt again to stop at once" in command.stderr)
    interrupt(command)

    interrupted = command.wait(patience=25.0)  # less than what one interruption gives

    noted.nothing_is_left_running()
    assert (interrupted.code, interrupted.reason) == (130, "Interrupted")
    assert interrupted.mini_batches["succeeded"] == 1
    assert interrupted.failed == []

    noted.write("go", "")
    resumed = noted.resume()
    assert (resumed.code, resumed.rows) == (0, NAMES)
    assert noted.calls() == {0: 1, 1: 2, 2: 1, 3: 1, 4: 1}


def test_a_command_that_is_interrupted_before_it_has_started_anything_reports_it(longshore):
    pipe = longshore.folder / "manifest.yaml"
    os.mkfifo(pipe)
    # Whoever starts the tests may ignore SIGINT (a shell's background job does), and a process inherits that.
    command = longshore.start(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    writing = longshore.wait_until(lambda: _open_for_writing(pipe))  # there is a reader from now on
    interrupt(command)
    os.close(writing)  # ends a read that began just after the signal: Python looks at signals between system calls
    ended = command.wait()
    assert (ended.code, ended.stdout, ended.stderr) == (130, "", "longshore: interrupted\n")


def _open_for_writing(pipe):
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None  # nobody reads it yet
