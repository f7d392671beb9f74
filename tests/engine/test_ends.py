"""Nothing of a run is left, whatever ends it, on Linux and on a platform without prctl() and /proc (tests/bare).

Scripts leave behind a process in their own group, one in a session of its own, and a daemon that was forked twice.
"""

import os
import signal

import pytest
from platforms import bare_python_path

WITH_LEFTOVERS = """
import os, subprocess, sys, time

FOLDER = {folder!r}
STAY = [sys.executable, "-c", "import time; time.sleep(3600)"]

def leave_processes():
    subprocess.Popen(STAY)
    subprocess.Popen(STAY, start_new_session=True)
    first = os.fork()
    if not first:
        os.setsid()
        if not os.fork():
            os.execv(sys.executable, STAY)
        os._exit(0)
    os.waitpid(first, 0)

def wait():
    open(os.path.join(FOLDER, "ready"), "w").close()
    while not os.path.exists(os.path.join(FOLDER, "go")):
        time.sleep(0.01)
"""
RUN = """
def run(mini_batch):
    leave_processes()
    wait()
    return [os.path.basename(path) for path in mini_batch]
"""
MAIN = """
leave_processes()
wait()
open(os.path.join(sys.argv[1], "made.txt"), "w").close()
"""
STAY = "time.sleep(3600)"  # in the command lines of what is left behind
LEFT = 3  # processes of one script
WITHOUT_PSUTIL = "bare without psutil"
NAMES = ["a.txt", "b.txt"]


@pytest.fixture(params=["linux", "bare"])
def bench(longshore, request):
    """A folder for runs on a platform."""
    if request.param != "linux":
        longshore.variables["PYTHONPATH"] = bare_python_path()
    if request.param == WITHOUT_PSUTIL:
        longshore.variables["BARE_WITHOUT_PSUTIL"] = "1"
    longshore.data(*NAMES)
    script = WITH_LEFTOVERS.format(folder=str(longshore.folder))
    longshore.write("code/score.py", script + RUN)
    longshore.write("code/make.py", script + MAIN)
    longshore.scores = longshore.step("score.py", source={"uri": "code"})
    longshore.make = longshore.document("ScriptStep", "make", **MAKE)
    longshore.both = longshore.document(
        "Pipeline", "both", steps=[{"name": "make", "script": MAKE}, {"name": "score", "parallelRun": SCORE}]
    )
    return longshore


MAKE = {
    "source": {"uri": "code"},
    "scriptName": "make.py",
    "arguments": ["$(outputs.made)"],
    "outputs": [{"name": "made"}],
}
SCORE = {
    "inputs": [{"name": "files", "from": "$(steps.make.outputs.made)"}],
    "output": {"name": "scores"},
    "source": {"uri": "code"},
    "entryScript": "score.py",
    "outputAction": "append_row",
}


def start(bench, document):
    """Start a run, and return it once its script has left processes behind and waits."""
    bench.manifest(document)
    command = bench.start()
    bench.wait_until((bench.folder / "ready").exists)
    bench.wait_until(lambda: len(bench.processes(STAY)) == LEFT)
    return command


def kill(bench, module):
    """Kill the one process that runs a module, and wait for its successor to let the script run again."""
    (pid,) = bench.processes(f"-m {module} ")
    (bench.folder / "ready").unlink()
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("bench", ["linux", "bare", WITHOUT_PSUTIL], indirect=True)
def test_a_killed_command_leaves_nothing_running(bench):
    start(bench, bench.scores).signal(signal.SIGKILL)
    bench.nothing_is_left_running()
    bench.write("go", "")
    assert bench.resume().rows == NAMES


@pytest.mark.parametrize("module", ["longshore_host", "longshore_host.child", "longshore_cli.tethered"])
def test_after_a_killed_process_a_run_leaves_nothing_running(bench, module):
    command = start(bench, bench.scores)
    kill(bench, module)
    bench.wait_until((bench.folder / "ready").exists)
    bench.write("go", "")
    ended = command.wait()
    bench.nothing_is_left_running()
    assert (ended.code, ended.rows) == (0, NAMES)


def test_an_interrupted_run_leaves_nothing_running(bench):
    command = start(bench, bench.scores)
    os.killpg(command.pid, signal.SIGINT)
    bench.wait_until(lambda: "interrupt again" in command.stderr)
    os.killpg(command.pid, signal.SIGINT)
    assert command.wait().code == 130
    bench.nothing_is_left_running()


def test_a_killed_command_ends_a_script_and_what_it_started(bench):
    start(bench, bench.make).signal(signal.SIGKILL)
    bench.nothing_is_left_running()


@pytest.mark.parametrize("bench", ["linux", "bare", WITHOUT_PSUTIL], indirect=True)
def test_a_killed_host_of_a_script_leaves_nothing_running(bench):
    command = start(bench, bench.make)
    kill(bench, "longshore_host.script")
    assert command.wait().code == 1
    bench.nothing_is_left_running()


def test_a_pipeline_that_was_killed_is_resumed_and_leaves_nothing_running(bench):
    start(bench, bench.both).signal(signal.SIGKILL)
    bench.nothing_is_left_running()
    bench.write("go", "")
    assert bench.resume().code == 0
    assert [step["state"] for step in bench.resume().status["steps"]] == ["Succeeded", "Succeeded"]
