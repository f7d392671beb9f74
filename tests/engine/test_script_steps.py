"""Script steps with all their processes: how they end, what they leave, and that nothing of them goes on."""

import json
import os
import signal
import subprocess
import sys

import pytest

from longshore_agent.script_data import prepare
from longshore_host.logs import LIMIT
from longshore_protocol.job import Model, ScriptInput
from longshore_protocol.script_folder import RESULT
from longshore_protocol.script_job import ScriptJob, ScriptOutput, ScriptResult
from longshore_storage.store import open_store

# A command that runs one step, as `longshore run` does: SIGTERM cancels it.
DRIVER = """
import asyncio, signal, sys
from longshore_cli.script_run import run_script
from longshore_protocol.script_job import ScriptJob

async def main():
    job = ScriptJob.from_json(open(sys.argv[1]).read())
    task = asyncio.ensure_future(run_script(job, python=sys.argv[3] or None, work=sys.argv[2]))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        print((await task).to_json())
    except asyncio.CancelledError:
        print("cancelled")

asyncio.run(main())
"""
HOST = "import sys, longshore_host.script as s; sys.exit(s.main())"
# One whose scripts get little time to end by themselves.
HASTY_HOST = "import sys, longshore_host.script as s; s.GRACE = 0.2; sys.exit(s.main())"

WITH_CHILDREN = """
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(sleep)
subprocess.Popen(sleep, start_new_session=True)
if os.fork() == 0:
    os.setsid()
    subprocess.Popen(sleep, start_new_session=True)
    time.sleep(600)
open(sys.argv[1], "w").close()
"""
SLEEPERS = 3  # processes of WITH_CHILDREN that `time.sleep(600)` stands in the command line of


class Steps:
    """Script steps in a folder of the test's own."""

    def __init__(self, longshore):
        self.longshore = longshore
        self.folder = longshore.folder
        self.run_dir = self.folder / "run"
        self.work = self.folder / "work"
        self.ready = self.folder / "ready"

    def job(self, text, /, *arguments, **fields):
        """Return a step whose script has this text."""
        self.longshore.write("code/train.py", text)
        given = {
            "run_uri": str(self.run_dir),
            "source_uri": str(self.folder / "code"),
            "script": "train.py",
            "arguments": tuple(arguments),
            **fields,
        }
        return ScriptJob(name="train", run_id="run-1", **given)

    def start(self, text, /, *arguments, python="", shell=None, **fields):
        """Start a command that runs a step; `shell` are environment variables of the command."""
        job = self.longshore.write("job.json", self.job(text, *arguments, **fields).to_json())
        command = [sys.executable, "-c", DRIVER, str(job), str(self.work), python]
        return self._start(command, stdout=subprocess.PIPE, text=True, env=shell or {})

    def start_host(self, text, /, *arguments, code, **fields):
        """Start the host alone, as a container does."""
        prepare(self.job(text, *arguments, **fields), str(self.work))
        return self._start([sys.executable, "-c", code, str(self.work)], env={"LONGSHORE_TOKEN": "secret"})

    def _start(self, command, *, env, **options):
        environment = {**os.environ, **env, "TEST_MARKER": self.longshore.marker}
        return subprocess.Popen(command, env=environment, cwd=self.folder, start_new_session=True, **options)

    def run(self, text, /, *arguments, **options):
        """Run a step to its end; nothing of it is left."""
        result = self.result(self.start(text, *arguments, **options))
        assert os.listdir(self.work) == []
        return result

    def result(self, command):
        result = ScriptResult.from_json(self.said(command))
        assert result.finished >= result.started > 0
        return result

    def said(self, command):
        said, _ = command.communicate(timeout=60)
        self.longshore.nothing_is_left_running()
        return said.strip()

    def log(self, name):
        return (self.run_dir / "logs" / name).read_text(errors="replace")

    def wait_until_ready(self):
        self.longshore.wait_until(self.ready.exists)


@pytest.fixture
def steps(longshore):
    return Steps(longshore)


def test_a_script_finds_its_arguments_modules_files_and_folders_in_its_working_directory(steps):
    steps.longshore.write("code/helper.py", "VALUE = 42")
    steps.longshore.write("code/settings.json", "{}")
    steps.longshore.write("data/x.csv", "1,2")
    result = steps.run(
        """
import helper, json, os, sys
open("settings.json", "a").write(" ")
here = os.getcwd()
print(json.dumps([sys.argv, helper.VALUE, sorted(os.listdir()), open(sys.argv[2]).read(), os.listdir(sys.argv[4])]))
assert here == os.path.dirname(os.path.abspath(__file__)) and __name__ == "__main__"
open(os.path.join(sys.argv[4], "model.txt"), "w").write("m")
open("outputs/artifact.txt", "w").write("a")
open("logs/mine.txt", "w").write("l")
""",
        "--data",
        "$(inputs.x)",
        "--out",
        "$(outputs.model)",
        inputs=(ScriptInput("x", (str(steps.folder / "data" / "x.csv"),)),),
        outputs=(ScriptOutput("model", str(steps.run_dir / "model")),),
    )
    assert (result.state, result.exit_code, result.message) == (
        "succeeded",
        0,
        "The script train.py ended with exit code 0.",
    )
    arguments, value, names, data, output = json.loads(steps.log("stdout.txt"))
    data_path, output_path = str(steps.folder / "data" / "x.csv"), str(steps.run_dir / "model")
    assert arguments == ["train.py", "--data", data_path, "--out", output_path]
    assert (value, data, output) == (42, "1,2", [])
    assert {"helper.py", "settings.json", "train.py", "outputs", "logs"} <= set(names)
    assert (steps.run_dir / "model" / "model.txt").read_text() == "m"
    assert (steps.run_dir / "outputs" / "artifact.txt").read_text() == "a"
    assert steps.log("user/mine.txt") == "l"
    assert (steps.folder / "code" / "settings.json").read_text() == "{}"  # it wrote to a copy
    assert not (steps.folder / "code" / "outputs").exists()


def test_a_script_below_the_source_folder_imports_from_both(steps):
    steps.longshore.write("code/package/beside.py", "")
    steps.longshore.write("code/package/main.py", "import beside, above, os; assert os.path.exists('above.py')")
    steps.longshore.write("code/above.py", "")
    assert steps.run("", script="package/main.py").state == "succeeded"


def test_an_exit_code_is_reported(steps):
    result = steps.run("import sys; sys.exit(3)")
    assert (result.state, result.exit_code) == ("failed", 3)
    assert result.message == "The script train.py ended with exit code 3."


def test_an_exception_is_reported_by_the_last_line_of_its_traceback(steps):
    result = steps.run("def f():\n    raise ValueError('no \u00e9')\nf()", shell={"PYTHONUTF8": "1"})
    assert (result.state, result.exit_code, result.message) == ("failed", 1, "ValueError: no \u00e9")
    assert "in f" in steps.log("stderr.txt")


def test_the_signal_that_killed_a_script_is_reported(steps):
    result = steps.run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (result.state, result.exit_code) == ("failed", -signal.SIGSEGV)
    assert result.message == "The script train.py was killed by SIGSEGV."


def test_metrics_and_parameters_and_run_id_pass_through(steps):
    result = steps.run(
        """
import os
from longshore_run import Run
run = Run.get_context(allow_offline=False)
run.log("rate", float(os.environ["AML_PARAMETER_rate"]))
if os.fork():
    os.wait()
run.log("twice", run.id)
""",
        params={"rate": "0.5"},
    )
    assert result.metrics == {"rate": 0.5, "twice": ["run-1", "run-1"]}
    assert len(steps.log("metrics.jsonl").splitlines()) == 3


def test_a_failed_script_keeps_its_metrics_and_artifacts_but_uploads_no_output(steps):
    output = ScriptOutput("model", str(steps.folder / "store"), "upload")
    script = """
import sys
from longshore_run import Run
Run.get_context().log("loss", 1)
open("outputs/a.txt", "w").close()
open(sys.argv[1] + "/model.txt", "w").close()
sys.exit(int(sys.argv[2]))
"""
    assert steps.run(script, "$(outputs.model)", "1", outputs=(output,)).metrics == {"loss": 1}
    assert (steps.run_dir / "outputs" / "a.txt").exists()
    assert not (steps.folder / "store").exists()
    assert steps.run(script, "$(outputs.model)", "0", outputs=(output,)).state == "succeeded"
    assert os.listdir(steps.folder / "store") == ["model.txt"]


def test_a_script_finds_its_models_and_its_users_shell_and_no_setting_of_ours(steps):
    model = steps.longshore.write("models/net.pkl", "")
    ours = {"LONGSHORE_TOKEN": "secret", "LONGSHORE_SQL_PASSWORD": "secret"}
    steps.run(
        "import json, os; print(json.dumps([dict(os.environ), os.listdir('azureml-models/net/3')]))",
        models=(Model("net", 3, str(model)),),
        shell={**ours, "MINE": "of the shell", "AWS_PROFILE": "of the user"},
    )
    variables, models = json.loads(steps.log("stdout.txt"))
    assert models == ["net.pkl"]
    assert variables["AZUREML_MODEL_DIR"].endswith("/azureml-models/net/3")
    assert (variables["MINE"], variables["AWS_PROFILE"]) == ("of the shell", "of the user")
    assert "secret" not in variables.values()


def test_what_is_printed_without_end_is_bounded_and_its_end_stays(steps):
    result = steps.run("for _ in range(60):\n    print('x' * 2**20)\nprint('the end')\nraise OSError('too much')")
    assert result.message == "OSError: too much"
    assert (steps.run_dir / "logs" / "stdout.txt").stat().st_size <= LIMIT
    assert steps.log("stdout.txt").endswith("the end\n")


def test_output_that_is_no_text_is_kept_as_it_is(steps):
    result = steps.run("import os, sys\nos.write(1, b'\\xff\\x00')\nos.write(2, b'\\xfe last')\nsys.exit(2)")
    assert result.message.endswith("Its last line on stderr: \N{REPLACEMENT CHARACTER} last")
    assert (steps.run_dir / "logs" / "stdout.txt").read_bytes() == b"\xff\x00"


def test_a_later_attempt_continues_the_logs_and_states_its_own_end(steps):
    steps.run("print('one')\nraise ValueError('of the first')")
    result = steps.run("import sys\nprint('two')\nsys.exit(4)")
    assert result.message == "The script train.py ended with exit code 4."
    assert steps.log("stdout.txt") == "one\ntwo\n"


def test_what_a_script_started_ends_with_it(steps):
    result = steps.run(WITH_CHILDREN, str(steps.ready))
    assert result.state == "succeeded"
    assert steps.ready.exists()


def test_a_script_that_takes_too_long_is_ended_with_all_that_it_started(steps):
    result = steps.run(WITH_CHILDREN + "time.sleep(600)", str(steps.ready), timeout=1.5)
    assert (result.state, result.exit_code) == ("timed_out", -signal.SIGTERM)
    assert result.message == "The script train.py took longer than its limit of 1.5 s."


STUBBORN = f"""
import signal
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
{WITH_CHILDREN}
while True:
    time.sleep(600)
"""


@pytest.mark.parametrize("ends_by", ["timeout", "SIGTERM"])
def test_a_script_that_does_not_heed_sigterm_is_killed(steps, ends_by):
    timeout = 1.5 if ends_by == "timeout" else None
    host = steps.start_host(STUBBORN, str(steps.ready), code=HASTY_HOST, timeout=timeout)
    steps.wait_until_ready()
    if ends_by == "SIGTERM":
        host.send_signal(signal.SIGTERM)
    assert host.wait(60) == 0
    steps.longshore.nothing_is_left_running()
    result = ScriptResult.from_json((steps.work / RESULT).read_text())
    state = "timed_out" if ends_by == "timeout" else "cancelled"
    assert (result.state, result.exit_code) == (state, -signal.SIGKILL)
    assert "heard" in steps.log("stdout.txt")


def test_cancelled_a_step_passes_sigterm_on_and_leaves_nothing_running(steps):
    command = steps.start(
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('heard'), sys.exit(0)))\n" + WITH_CHILDREN + "time.sleep(600)",
        str(steps.ready),
    )
    steps.wait_until_ready()
    command.send_signal(signal.SIGTERM)
    assert steps.said(command) == "cancelled"
    assert "heard" in steps.log("stdout.txt")
    assert os.listdir(steps.work) == []


@pytest.mark.usefixtures("restored_signals")
def test_a_script_heeds_sigterm_though_its_host_was_started_by_who_ignores_it(steps):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    host = steps.start_host(WITH_CHILDREN + "time.sleep(600)", str(steps.ready), code=HOST)
    steps.wait_until_ready()
    host.send_signal(signal.SIGTERM)
    assert host.wait(60) == 0
    result = ScriptResult.from_json((steps.work / RESULT).read_text())
    assert (result.state, result.exit_code) == ("cancelled", -signal.SIGTERM)


def test_cancelled_twice_a_step_is_killed_at_once(steps):
    command = steps.start(STUBBORN, str(steps.ready))
    steps.wait_until_ready()
    command.send_signal(signal.SIGTERM)
    steps.longshore.wait_until(lambda: "heard" in steps.log("stdout.txt"))
    command.send_signal(signal.SIGTERM)
    assert steps.said(command) == "cancelled"


@pytest.mark.parametrize("victim", ["the command", "the host"])
def test_what_is_killed_leaves_nothing_running(steps, victim):
    command = steps.start(WITH_CHILDREN + "time.sleep(600)", str(steps.ready))
    steps.wait_until_ready()
    steps.longshore.wait_until(lambda: len(steps.longshore.processes("time.sleep(600)")) == SLEEPERS)
    if victim == "the command":
        command.kill()
        assert steps.said(command) == ""
    else:
        (host,) = steps.longshore.processes("longshore_host.script")
        os.kill(host, signal.SIGKILL)
        result = steps.result(command)
        assert (result.state, result.exit_code) == ("failed", None)
        assert result.message.startswith("The host process of the script exited with code -9")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"source_uri": "/dev/null"}, 'The source "/dev/null" '),
        ({"run_uri": "/dev/null/run"}, 'The run folder "/dev/null/run" cannot be written to: [Errno 20]'),
        (
            {"outputs": (ScriptOutput("model", "/dev/null/model"),)},
            'The output "model" cannot be written to "/dev/',
        ),
        ({"script": "absent.py"}, "The script absent.py is not in the source folder."),
        ({"arguments": ("a\0b",)}, "The script train.py cannot be started: embedded null byte."),
    ],
)
def test_what_keeps_a_script_from_starting_is_reported_in_a_sentence(steps, fields, sentence):
    result = steps.run("", **fields)
    assert (result.state, result.exit_code) == ("failed", None)
    assert result.message.startswith(sentence)


@pytest.mark.parametrize("python", ["/absent/python", "/bin/false"])
def test_an_interpreter_that_cannot_be_used_is_reported(steps, python):
    result = steps.run("", python=python)
    assert (result.state, result.exit_code) == ("failed", None)
    ends = {"/absent/python": "The interpreter /absent/python cannot be started", "/bin/false": "The host process of"}
    assert result.message.startswith(ends[python])


@pytest.mark.usefixtures("s3")
def test_a_step_all_of_which_is_in_a_store_runs_as_one_on_this_machine(steps):
    store = open_store(f"s3://bucket/{steps.longshore.marker}")
    store.put("code/train.py", b"""
import os, sys
from longshore_run import Run
names = sorted(os.listdir(sys.argv[1]))
print(names)
Run.get_context().log("files", len(names))
open(sys.argv[2] + "/model.txt", "w").write(open(sys.argv[1] + "/b.csv").read())
open("outputs/a.txt", "w").close()
""")  # fmt: skip
    for name in ("a.csv", "b.csv", "c.txt"):
        store.put(f"data/{name}", name.encode())
    result = steps.run(
        "",
        "$(inputs.x)",
        "$(outputs.model)",
        source_uri=store.child("code"),
        run_uri=store.child("run"),
        inputs=(ScriptInput("x", (store.child("data/*.csv"),)),),
        outputs=(ScriptOutput("model", store.child("run/model")),),
    )
    assert (result.state, result.metrics) == ("succeeded", {"files": 2})
    assert store.get("run/model/model.txt") == b"b.csv"
    assert store.get("run/logs/stdout.txt") == b"['a.csv', 'b.csv']\n"
    names = [
        ".longshore",
        "logs/metrics.jsonl",
        "logs/stderr.txt",
        "logs/stdout.txt",
        "model/model.txt",
        "outputs/a.txt",
    ]
    assert open_store(store.child("run")).names() == names
