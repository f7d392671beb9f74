"""A task's containers as the processes that they are: `prepare`, then the host and `collect` side by side."""

import json
import os
import signal
import subprocess
import sys
from functools import partial

import pytest
from signals import wait_for_handler

from longshore_protocol.job import ScriptInput
from longshore_protocol.script_job import ScriptJob, ScriptOutput, ScriptResult
from longshore_protocol.termination import LIMIT
from longshore_storage.store import open_store

STUCK = "import sys, time; open(sys.argv[1], 'w').close(); time.sleep(600)"


class Pod:
    """The containers of a ScriptStep, over one folder."""

    def __init__(self, longshore):
        self.longshore = longshore
        self.work = longshore.folder / "work" / "step"
        self.ready = longshore.folder / "ready"
        self.run_dir = longshore.folder / "run"

    def job(self, text, /, *arguments, **fields):
        self.longshore.write("code/train.py", text)
        given = {
            "run_uri": str(self.run_dir),
            "source_uri": str(self.longshore.folder / "code"),
            "script": "train.py",
            "arguments": tuple(arguments),
            **fields,
        }
        self.write_job(ScriptJob(name="train", run_id="run-1", **given).to_json())

    def write_job(self, text):
        self.longshore.write("job.json", text)

    def start(self, module, *arguments, output=None, **variables):
        environment = {**os.environ, **variables, "TEST_MARKER": self.longshore.marker, "LONGSHORE_UMASK": "007"}
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.Popen(
            command, env=environment, cwd=self.longshore.folder, start_new_session=True, stdout=output, stderr=output
        )

    def ours(self, name, *arguments, **variables):
        """Start one of our containers."""
        folder = [] if name == "transfer" else [str(self.work)]
        given = [name, "job.json", *folder, *arguments, "--last-words", str(self.longshore.folder / name)]
        return self.start("longshore_agent.task", *given, **variables)

    def host(self, **more):
        return self.start("longshore_host.script", str(self.work), LONGSHORE_TOKEN="ours", **more)

    def said(self, name):
        """The last words of a container; None if it left none."""
        path = self.longshore.folder / name
        if not path.exists():
            return None
        assert path.stat().st_size <= LIMIT
        return ScriptResult.from_json(path.read_text())

    def run(self):
        """Run to the end; return the exit code of `collect` and what it said."""
        assert self.ours("prepare").wait(60) == 0
        collecting, host = self.ours("collect"), self.host()
        assert host.wait(60) == 0
        return self.ended(collecting)

    def ended(self, collecting):
        code = collecting.wait(60)
        self.longshore.nothing_is_left_running()
        return code, self.said("collect")

    def begun(self, **fields):
        """Start a script that takes for ever."""
        self.job(f"print('begun', flush=True)\n{STUCK}", str(self.ready), **fields)
        assert self.ours("prepare").wait(60) == 0
        collecting, host = self.ours("collect"), self.host()
        wait_for_handler(collecting.pid, signal.SIGTERM)
        self.longshore.wait_until(self.ready.exists)
        return collecting, host

    def log(self, name):
        return (self.run_dir / "logs" / name).read_text()


@pytest.fixture
def pod(longshore):
    return Pod(longshore)


def test_a_script_finds_what_was_prepared_and_what_it_left_is_taken_away(pod):
    pod.longshore.write("data/x.csv", "1,2")
    store = pod.longshore.folder / "store"
    pod.job(
        """
import os, sys
from longshore_run import Run
Run.get_context(allow_offline=False).log("rows", open(sys.argv[1]).read())
open(sys.argv[2] + "/model.txt", "w").write("m")
open("outputs/a.txt", "w").close()
print(sorted(os.environ))
""",
        "$(inputs.x)",
        "$(outputs.model)",
        inputs=(ScriptInput("x", (str(pod.longshore.folder / "data" / "x.csv"),)),),
        outputs=(ScriptOutput("model", str(store), "upload"),),
    )
    code, said = pod.run()
    assert (code, said.state, said.exit_code, said.metrics) == (0, "succeeded", 0, {"rows": "1,2"})
    assert pod.said("prepare") is None
    assert (store / "model.txt").read_text() == "m"
    assert (pod.run_dir / "outputs" / "a.txt").exists()
    assert "LONGSHORE_TOKEN" not in pod.log("stdout.txt")


def test_what_a_script_prints_is_seen_in_the_logs_of_its_container_while_it_runs(pod):
    pod.job(
        f"import sys; print('begun', flush=True); print('oh', file=sys.stderr, flush=True)\n{STUCK}", str(pod.ready)
    )
    assert pod.ours("prepare").wait(60) == 0
    printed = pod.longshore.folder / "container.log"
    with printed.open("ab") as output:
        collecting, host = pod.ours("collect"), pod.host(output=output, LONGSHORE_ECHO="1")
    pod.longshore.wait_until(lambda: {"begun", "oh"} <= set(printed.read_text().split()))
    host.send_signal(signal.SIGTERM)
    assert host.wait(60) == 0
    pod.ended(collecting)
    assert sorted(printed.read_text().split()) == ["begun", "oh"]


def test_the_commit_of_the_source_is_reported_at_the_end(pod):
    pod.job("pass")
    git = partial(subprocess.run, cwd=pod.longshore.folder / "code", check=True, capture_output=True)
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    for command in (["init", "-b", "main"], ["add", "."], [*who, "commit", "-m", "x"]):
        git(["git", *command])
    _, said = pod.run()
    assert (said.git["branch"], said.git["dirty"], len(said.git["commit"])) == ("main", False, 40)


def test_a_script_that_fails_is_reported_by_its_last_words(pod):
    pod.job("raise ValueError('no')")
    code, said = pod.run()
    assert (code, said.state, said.exit_code, said.message, said.reason) == (1, "failed", 1, "ValueError: no", "")
    assert "Traceback" in pod.log("stderr.txt")


def test_metrics_of_three_megabytes_stay_in_the_run_and_small_ones_are_reported(pod):
    pod.job("""
from longshore_run import Run
run = Run.get_context()
for number in range(10):
    for _ in range(700):
        run.log(f"large-{number}", "x" * 450)
run.log("loss", 0.25)
""")
    code, said = pod.run()
    assert (code, said.metrics) == (0, {"loss": 0.25})
    assert len(pod.log("metrics.jsonl")) > 3_000_000


@pytest.mark.parametrize("kept", ["here", "in a store"])
def test_a_host_that_is_killed_leaves_its_logs_and_no_result(pod, kept, request):
    run_uri = str(pod.run_dir)
    if kept == "in a store":
        request.getfixturevalue("s3")
        run_uri = f"s3://bucket/{pod.longshore.marker}"
    collecting, host = pod.begun(run_uri=run_uri)
    assert collecting.poll() is None
    host.kill()
    host.wait()
    assert pod.ended(collecting) == (1, None)
    assert open_store(run_uri).get("logs/stdout.txt") == b"begun\n"


def test_a_pod_that_is_deleted_ends_its_script_and_keeps_what_it_left(pod):
    collecting, host = pod.begun()
    for each in (collecting, host):
        each.send_signal(signal.SIGTERM)
    assert host.wait(60) == 0
    code, said = pod.ended(collecting)
    assert (code, said.state, said.exit_code) == (1, "cancelled", -signal.SIGTERM)
    assert pod.log("stdout.txt") == "begun\n"


def test_who_collects_waits_for_a_host_that_takes_long_to_start(pod):
    pod.job("pass")
    assert pod.ours("prepare").wait(60) == 0
    collecting = pod.ours("collect")
    with pytest.raises(subprocess.TimeoutExpired):
        collecting.wait(1.0)
    assert pod.host().wait(60) == 0
    assert pod.ended(collecting)[1].state == "succeeded"


def test_who_collects_does_not_wait_for_a_host_that_never_came_when_the_pod_is_deleted(pod):
    pod.job("pass")
    assert pod.ours("prepare").wait(60) == 0
    hasty = "import sys, longshore_agent.task as t; t._START = 0.2; sys.exit(t.main())"
    command = [sys.executable, "-c", hasty, "collect", "job.json", str(pod.work)]
    process = subprocess.Popen(command, cwd=pod.longshore.folder, stderr=subprocess.PIPE, text=True)
    wait_for_handler(process.pid, signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, "longshore-task: the pod is terminating, and the host never started\n")


def test_an_input_that_is_missing_is_reported_before_anything_runs(pod):
    pod.job("pass", inputs=(ScriptInput("x", (str(pod.longshore.folder / "absent"),)),))
    assert pod.ours("prepare").wait(60) == 1
    said = pod.said("prepare")
    assert (said.state, said.reason, said.exit_code) == ("failed", "InputError", None)
    assert said.message.startswith('The input "x" cannot be staged: ')


@pytest.mark.usefixtures("s3")
def test_a_source_elsewhere_than_the_job_states_is_downloaded_from_there(pod):
    store = open_store(f"s3://bucket/{pod.longshore.marker}")
    store.put("code/train.py", b"print('from the store')")
    pod.job("", source_uri="/longshore/source", run_uri=store.child("run"))
    assert pod.ours("prepare", "--source", store.child("code")).wait(60) == 0
    collecting = pod.ours("collect")
    assert pod.host().wait(60) == 0
    assert pod.ended(collecting)[1].state == "succeeded"
    assert store.get("run/logs/stdout.txt") == b"from the store\n"


def test_a_source_in_the_image_is_copied_by_the_host_which_alone_can_see_it(pod):
    image = pod.longshore.write("image/train.py", "import os; print(os.getcwd()); open('new.txt', 'w')").parent
    pod.job("", source_uri=str(image))
    assert pod.ours("prepare", "--image-source", str(image)).wait(60) == 0
    collecting = pod.ours("collect")
    assert pod.host().wait(60) == 0
    assert pod.ended(collecting)[1].state == "succeeded"
    assert pod.log("stdout.txt") == f"{pod.work}/source\n"
    assert os.listdir(image) == ["train.py"]


def test_a_source_that_is_not_in_the_image_is_reported(pod):
    pod.job("", source_uri="/absent/app")
    assert pod.ours("prepare", "--image-source", "/absent/app").wait(60) == 0
    collecting = pod.ours("collect")
    assert pod.host().wait(60) == 0
    said = pod.ended(collecting)[1]
    assert said.message == "The source folder /absent/app of the image cannot be copied: there is no such folder."


def test_what_a_container_makes_is_open_to_the_other_ones_user(pod):
    pod.job("open('outputs/a.txt', 'w').close()")
    pod.run()
    for folder, _, names in os.walk(pod.work):
        for name in names:
            path = os.path.join(folder, name)
            assert os.stat(path).st_mode & 0o060 == 0o060, path
        assert os.stat(folder).st_mode & 0o070 == 0o070, folder


# --- a transfer -----------------------------------------------------------------------------------------------------


def copying(pod, source, destination, *, timeout=None):
    pod.write_job(json.dumps({"source": str(source), "destination": str(destination), "timeout": timeout}))
    return pod.ours("transfer")


def test_a_transfer_copies_and_states_how_many(pod):
    for name in ("a", "below/b"):
        pod.longshore.write(f"in/{name}", name)
    assert copying(pod, pod.longshore.folder / "in", pod.longshore.folder / "out").wait(60) == 0
    said = pod.said("transfer")
    assert said.state == "succeeded"
    assert said.message.startswith("2 files in ")
    assert (pod.longshore.folder / "out" / "below" / "b").read_text() == "below/b"


def test_a_transfer_that_cannot_be_made_is_reported(pod):
    assert copying(pod, "/absent", pod.longshore.folder / "out").wait(60) == 1
    said = pod.said("transfer")
    assert (said.state, said.reason) == ("failed", "TransferFailed")
    assert said.message.startswith(f'"/absent" cannot be copied to "{pod.longshore.folder}/out": ')


@pytest.mark.parametrize("ends_by", ["timeout", "SIGTERM"])
def test_a_transfer_that_takes_too_long_or_is_stopped_ends_and_leaves_no_half_file(pod, ends_by):
    os.mkfifo(pod.longshore.folder / "endless")  # nobody writes to it
    timeout = 1.0 if ends_by == "timeout" else None
    process = copying(pod, pod.longshore.folder / "endless", pod.longshore.folder / "out" / "x", timeout=timeout)
    if ends_by == "SIGTERM":
        wait_for_handler(process.pid, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 1
    said = pod.said("transfer")
    assert said.state == ("timed_out" if ends_by == "timeout" else "cancelled")
    assert ("within the limit of 1 s" in said.message) == (ends_by == "timeout")
    assert not list(pod.longshore.folder.glob("out/*"))
