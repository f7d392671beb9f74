"""The command's own manners: what it prints where, --explain, --sample, and what it shows while it runs."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys

import pytest
from noted_calls import NAMES, about


def test_json_is_the_status_and_nothing_else_is_on_stdout(longshore):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step())

    ended = longshore.run()

    assert ended.stderr == ""
    status = ended.status
    assert json.loads((ended.run_dir / "status.json").read_text()) == status
    assert {each["type"]: each["status"] for each in status["conditions"]} == {
        "Succeeded": "True",
        "Ready": "True",
        "Stalled": "False",
        "Finished": "True",
    }
    assert status["observedGeneration"] == 1
    assert status["progress"]["columns"]["done"] == "5/5"
    assert status["runUri"] == str(ended.run_dir)
    assert status["output"] == {"uri": f"{ended.run_dir}/out", "file": "parallel_run_step.txt", "rows": 10}
    assert status["startTime"] <= status["completionTime"]


def test_without_json_a_person_reads_what_came_out_and_where_it_is(longshore):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step())
    ended = longshore.run(json=False)
    assert ended.code == 0
    assert ended.stdout.splitlines()[0] == "test-step: Succeeded. 5 of 5 mini-batches succeeded."
    assert f"{ended.run_dir}/out/parallel_run_step.txt (10 rows)" in ended.stdout
    assert "--resume" not in ended.stdout


def test_without_json_a_person_reads_why_it_failed_and_how_to_go_on(longshore):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step("raises.py", runMaxTry=1, errorThreshold=0))

    ended = longshore.run("-q", json=False)

    assert ended.code == 1
    assert re.match(r"test-step: ErrorThresholdExceeded\. \d+ items failed, errorThreshold allows 0\.\n", ended.stdout)
    assert "first error   UserError in mini-batch 0 on worker-0: ValueError: these pixels make no sense" in ended.stdout
    assert 'raise ValueError("these pixels make no sense")' in ended.stdout
    assert re.search(r"^  devices       \d+ x (cpu|gpu\S*) in worker-0$", ended.stdout, re.MULTILINE)
    assert f"--resume {ended.run_dir}" in ended.stdout
    assert "Traceback" not in ended.stderr


def test_a_reader_that_leaves_early_changes_nothing_about_how_the_run_ended(longshore):
    longshore.data("a.txt")
    longshore.manifest(longshore.step())
    reader, writer = os.pipe()
    os.close(reader)
    ended = longshore.run(json=False, stdout=writer)
    os.close(writer)
    assert ended.code == 0
    assert "Traceback" not in ended.stderr


def test_a_run_without_a_folder_gets_a_new_one_below_the_present_folder(longshore):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step())

    first, second = (longshore.run(anywhere=True) for _ in range(2))

    folders = {first.status["runUri"], second.status["runUri"]}
    assert folders == {str(each) for each in (longshore.folder / "longshore-runs").iterdir()}
    assert len(folders) == 2


def test_a_run_of_several_paths_and_documents_takes_parameters(longshore):
    longshore.data(*NAMES)
    step = longshore.step(
        "prints_argv.py",
        inputs=[{"name": "files", "dataset": "digits"}],
        miniBatchSize="$(parameters.size)",
        arguments=["--model", "$(parameters.model)"],
    )
    longshore.manifest(step)
    longshore.write(
        "more/data.yml", json.dumps(longshore.document("Dataset", "digits", file={"paths": ["../data/0[0-2].txt"]}))
    )

    ended = longshore.run("-p", "size=1", "-p", "model=a=b", paths=["manifest.yaml", "more"])

    assert (ended.code, ended.mini_batches["total"]) == (0, 3)
    assert ended.rows == ["--model a=b"] * 3


def test_explain_states_what_would_be_done_and_does_nothing(longshore):
    longshore.data(*NAMES[:9])
    longshore.manifest(longshore.step(nodeCount=2, processCountPerNode=3, arguments=["--fast"]))

    ended = longshore.run("--explain", json=False)

    assert ended.code == 0
    assert ended.stderr == ""
    lines = dict(line.split(maxsplit=1) for line in ended.stdout.replace("entry script", "script").splitlines())
    assert lines["input"] == f"files: {longshore.folder}/data/* (files, 5 mini-batches)"
    assert lines["mini-batches"] == "5 of at most 2 files"
    assert lines["sizes"] == "smallest 1, median 2, largest 2 files"
    assert lines["processes"].startswith("2 workers x 3 processes of ")
    assert lines["script"] == f"{longshore.entries}/echo.py --fast"
    assert lines["reused"] == "nothing: this is a new run"
    assert not ended.run_dir.exists()


def test_explain_of_an_input_that_is_not_there_fails_with_a_sentence(longshore):
    longshore.manifest(longshore.step())
    ended = longshore.run("--explain", json=False)
    assert ended.code == 1
    assert re.fullmatch(r'longshore: Input "files" .*\n', ended.stderr)


def test_a_sample_is_the_first_mini_batches_only(longshore):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step())
    ended = longshore.run("--sample", "2")
    assert ended.code == 0
    assert ended.mini_batches == {"total": 2, "scheduled": 2, "succeeded": 2}
    assert ended.rows == NAMES[:4]


def test_the_status_states_from_the_start_who_runs_it_and_what_each_process_does(noted):
    noted.write("go.0", "")
    command = noted.start(prefix=("nice",))
    path = noted.run_dir / "status.json"
    noted.wait_until(path.exists)
    first = json.loads(path.read_text())
    assert (first["runId"], first["command"]["pid"]) == (json.loads(about(noted).read_text())["runId"], command.pid)

    def running():
        return [each for each in json.loads(path.read_text())["command"]["processes"] if each.get("miniBatch") == 1]

    noted.wait_until(running)

    [process] = running()
    assert (process["worker"], process["process"], process["state"]) == ("worker-0", "process000", "ready")
    status = json.loads(path.read_text())
    assert first["command"]["started"] <= process["since"] <= status["command"]["heartbeat"]
    assert status["command"]["host"] == socket.gethostname()
    assert status["command"]["arguments"].startswith("run manifest.yaml --run-dir ")
    assert status["progress"]["miniBatches"]["succeeded"] == 1
    noted.write("go", "")
    ended = command.wait()
    assert json.loads(path.read_text()) == ended.status


def test_a_long_path_of_temporary_files_is_no_obstacle(longshore):
    longshore.data(*NAMES)
    longshore.manifest(longshore.step())
    temporary = longshore.folder / ("t" * 200)
    temporary.mkdir()
    longshore.variables["TMPDIR"] = str(temporary)

    ended = longshore.run()

    assert (ended.code, ended.rows) == (0, NAMES)
    assert list(temporary.iterdir()) == []


def test_a_worker_that_is_stopped_before_the_run_is_finished_is_replaced(noted):
    noted.manifest(noted.noted_step())
    command = noted.start()
    noted.wait_until(lambda: len(noted.calls()) == 1)
    (agent,) = noted.processes("longshore_agent")
    os.kill(agent, signal.SIGTERM)
    noted.write("go", "")

    ended = command.wait()

    noted.nothing_is_left_running()
    assert (ended.code, ended.rows) == (0, NAMES)


def test_an_interpreter_that_ends_at_once_fails_the_step_soon(longshore):
    longshore.data("a.txt")
    longshore.manifest(
        longshore.document("Environment", "odd", python="/bin/true"), longshore.step(environment={"name": "odd"})
    )
    ended = longshore.run()
    assert (ended.code, ended.reason) == (1, "WorkerFailed")


def test_without_a_terminal_a_plain_line_states_how_far_the_run_is(noted):
    noted.write("go.0", "")
    command = noted.start(json=False)
    stdout = command.folder / "stdout"
    line = noted.wait_until(stdout.read_text)
    assert re.fullmatch(r"\d\d:\d\d:\d\d test-step: 1/5 mini-batches, .*1/1 workers\n", line)
    noted.write("go", "")
    assert command.wait().stdout.startswith(line)


def test_on_a_terminal_a_live_display_moves_and_leaves_the_summary(noted):
    terminal, screen = pty.openpty()
    noted.variables = {"TERM": "xterm", "COLUMNS": "100"}
    noted.write("go.0", "")
    command = noted.start(json=False, stdout=screen, stderr=screen)
    os.close(screen)
    shown = ""
    while chunk := _read(terminal):
        shown += chunk
        if "1/5 mini-batches" in shown:
            noted.write("go", "")
    os.close(terminal)

    assert command.wait().code == 0
    assert "\x1b[" in shown
    assert "0/? mini-batches" in shown or "0/5 mini-batches" in shown
    assert "1/5 mini-batches" in shown
    assert "test-step: Succeeded. 5 of 5 mini-batches succeeded." in shown
    assert "Traceback" not in shown


def _read(terminal):
    ready, _, _ = select.select([terminal], [], [], 60.0)
    assert ready, "nothing was shown for a minute"
    try:
        return os.read(terminal, 65536).decode()
    except OSError:  # nobody has the terminal open any more
        return ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["run", "--help"], 0),
        (["import", "azureml", "--help"], 0),
        ([], 2),
        (["walk"], 2),
        (["import"], 2),
    ],
)
def test_the_command_explains_itself(arguments, code):
    ended = subprocess.run(
        [sys.executable, "-m", "longshore_cli", *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == code
    assert "usage: longshore" in ended.stdout + ended.stderr


@pytest.mark.parametrize("paths", [["**/*.csv"], ["."]])
def test_a_table_with_runs_and_outputs_below_it_has_the_same_rows_each_time(longshore, paths):
    longshore.write("data/rows.csv", "id,x\n1,2\n3,4\n")
    longshore.write("data/_SUCCESS", "")
    longshore.write("code/main.py", "def run(rows):\n    return rows\n")
    store = longshore.document("Datastore", "here", uri="data", default=True)
    step = longshore.step(
        "main.py",
        inputs=[{"name": "rows", "tabular": {"paths": paths}}],
        output={"name": "out", "datastore": "here"},
        source={"uri": "file:code"},
        appendRowFileName="rows.csv",
        miniBatchSize=None,
    )
    longshore.manifest(store, step)
    ended = [longshore.run("--run-dir", f"data/runs/{number}") for number in (1, 2)]
    assert [(each.code, each.items["total"]) for each in ended] == [(0, 2)] * 2
    assert len(list(longshore.folder.glob("data/longshore/*/out/rows.csv"))) == 2
    explained = longshore.run("--explain", json=False).stdout.splitlines()
    left_out = "4 x run folder (read where the path names it)"
    left_out = f'1 x hidden (a leading "." or "_"), {left_out}' if paths == ["."] else left_out
    assert f"left out      rows: {left_out}" in explained
