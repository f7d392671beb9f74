"""What the command prints: foreign text is shown as text, and an error of ours is a sentence with a log's name."""

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import jobs
import pytest

from longshore_cli import local_run, run_command
from longshore_cli.__main__ import main
from longshore_cli.display import make_display, summary
from longshore_cli.heartbeat import combine_displays
from longshore_cli.local_run import run_engine
from longshore_cli.terminal import ErrorLog, print_error, show
from longshore_coordinator.internal_errors import FILE
from longshore_planner.status import step_status
from longshore_protocol.job import Input
from longshore_protocol.snapshot import FAILED, FirstError, Snapshot

FOREIGN = [
    "[/INST] is no markup",
    "[bold red]neither[/bold]",
    "[link=file:///etc/passwd]nor[/link]",
    "[",
    "\\[/INST]",
    "[]",
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def snapshot(message):
    error = FirstError("UserError", message, "w0", 0, message)
    return Snapshot(FAILED, "1", "/run", "/out", 1, reason="UserError", message=message, first_error=error)


@pytest.mark.parametrize("message", FOREIGN)
def test_what_looks_like_markup_is_shown_as_it_is_on_a_terminal(message):
    stream, shown = Terminal(), asyncio.Event()

    def take():
        shown.set()
        return snapshot(message)

    run = SimpleNamespace(snapshot=take, processes=list)

    async def scenario():
        showing = asyncio.create_task(make_display(stream, name="step", quiet=False)(run))
        async with asyncio.timeout(60):
            await shown.wait()
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        assert showing.cancelled()

    asyncio.run(scenario())
    assert message in stream.getvalue()


@pytest.mark.parametrize("text", ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\u202egnp", "\udcff", "\x08\x7f"])
def test_what_would_control_a_terminal_is_shown_as_its_escape(capsys, text):
    status = step_status(snapshot(text), previous=None, now=datetime.now(UTC))
    show(summary(status, name="step", run_dir="/run"))
    print_error(text)
    out, err = capsys.readouterr()
    assert text not in out + err
    assert "\\x" in out + err or "\\u" in out + err
    assert out.count("\n") >= 6  # its lines are kept


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        AssertionError(),
        RecursionError("deep"),
        TypeError("no"),
        UnicodeEncodeError("utf-8", "\udcff", 0, 1, "no"),
    ],
)
def test_an_error_of_ours_in_the_command_is_a_sentence_and_its_traceback_is_in_a_log(
    monkeypatch, capsys, tmp_path, error
):
    def bug(_):
        raise error

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(run_command, "run_command", bug)
    assert main(["run", "step.yaml"]) == 1
    out, err = capsys.readouterr()
    (log,) = tmp_path.iterdir()
    first, second = err.splitlines()
    assert first.startswith(f"longshore: internal error: {type(error).__name__}")
    assert first.endswith("; please report it as a bug")
    assert second == f"longshore: warnings and errors were logged, with tracebacks, to {log}"
    assert "in bug" in log.read_text()
    assert out == ""
    assert not [each for each in logging.getLogger().handlers if isinstance(each, ErrorLog)]


MANIFEST = """
apiVersion: longshore.dev/v1alpha1
kind: ParallelRunStep
metadata: {name: step}
spec:
  inputs: [{name: in, file: {paths: ["in/*"]}}]
  output: {name: out}
  source: {uri: "file:."}
  entryScript: score.py
  miniBatchSize: 1
  outputAction: append_row
"""


@pytest.fixture
def step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a")
    (tmp_path / "score.py").write_text("def run(mini_batch):\n    return mini_batch\n")
    (tmp_path / "step.yaml").write_text(MANIFEST)
    return tmp_path


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("x"), "InternalError"),
        (AttributeError("x"), "InternalError"),
        (RuntimeError("x"), "InternalError"),
        (AssertionError(), "InternalError"),
        (OSError("no space is left"), "StorageError"),
        (ValueError("the ledger's object state/ledger/1 cannot be read"), "StorageError"),
    ],
)
def test_a_run_that_cannot_be_run_leaves_a_status(step, monkeypatch, capsys, error, reason):
    async def fail(*_, **__):
        raise error

    monkeypatch.setattr(local_run, "run_locally", fail)
    monkeypatch.setattr("tempfile.tempdir", str(step))
    assert main(["run", "step.yaml", "--run-dir", "run"]) == 1
    status = json.loads((step / "run" / "status.json").read_text())
    (succeeded,) = [each for each in status["conditions"] if each["type"] == "Succeeded"]
    assert (succeeded["status"], succeeded["reason"]) == ("False", reason)
    out, err = capsys.readouterr()
    assert succeeded["message"].rstrip(".") in out + err
    assert "Traceback" not in out + err
    assert (step / "run" / FILE).exists() == (reason == "InternalError")


def job(folder):
    return jobs.job(Input("in", (str(folder / "none" / "*"),)), uri=str(folder / "run"))


class NoWorkers:
    """In the place of a local run's workers: a run without input needs none."""

    def __init__(self, *_, **__):
        pass

    def start(self):
        pass

    async def stop(self):
        pass


def test_a_display_that_fails_ends_no_run(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(local_run, "Workers", NoWorkers)

    async def show(_):
        raise KeyError("a bug of the display")

    last = asyncio.run(run_engine(job(tmp_path), python="python", resume=False, display=show, control=lambda _: None))
    assert last.reason == "EmptyInput"
    assert "a bug of the display" in caplog.text
    assert "a bug of the display" in (tmp_path / "run" / FILE).read_text()
    assert json.loads(last.to_json())["state"] == FAILED


def test_a_display_that_fails_stops_no_other(caplog):
    async def fail(_):
        raise KeyError("a bug of the display")

    async def go_on(_):
        went_on.set()
        await asyncio.Event().wait()

    async def scenario():
        showing = asyncio.create_task(combine_displays(fail, go_on)(None))
        async with asyncio.timeout(60):
            await went_on.wait()
        assert not showing.done()
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)

    went_on = asyncio.Event()
    asyncio.run(scenario())
    assert "a bug of the display" in caplog.text


@pytest.mark.parametrize(
    "given", [["--run-dir", "caf\udce9"], ["--run-dir", "caf\udce9/run"], ["--run-dir", "s3://\udce9/x"]]
)
@pytest.mark.usefixtures("step")
def test_a_run_folder_whose_name_no_status_could_hold_is_refused(capsys, given):
    assert main(["run", "step.yaml", *given]) == 2
    assert "must be a UTF-8 path, including its parent folders; choose another folder" in capsys.readouterr().err


def test_a_current_folder_whose_name_no_status_could_hold_is_refused(step, monkeypatch, capsys):
    (step / "caf\udce9").mkdir()
    monkeypatch.chdir(step / "caf\udce9")
    assert main(["run", "../step.yaml"]) == 2
    assert r"caf\udce9/longshore-runs" in capsys.readouterr().err


def test_output_that_no_process_reads_is_no_error_of_ours(step):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "longshore_cli", "run", "step.yaml", "--explain"]
    ended = subprocess.run(command, cwd=step, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=100)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, b"")
