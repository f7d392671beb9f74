"""The `longshore` command as its users start it: in a folder with manifests and data, as a process of its own.

Every process that a run starts inherits a marker in its environment: whatever carries it after the command has ended
was left behind, and fails the test.
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from manifests import resource

ENTRIES = Path(__file__).parents[1] / "data" / "entries"
MARKER = "TEST_MARKER"
PATIENCE = (
    40.0  # seconds: far more than anything takes, and less than a run waits for an agent that does not say goodbye
)


def wait_until(condition, *, patience=PATIENCE):
    """Look until `condition()` gives something true, and return that; the test fails when it never does."""
    give_up = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < give_up, f"still not so after {patience:.0f} s: {condition}"
        time.sleep(0.01)
    return found


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str
    run_dir: Path

    @property
    def status(self):
        """The status object, the only thing on stdout."""
        return json.loads(self.stdout)

    @property
    def succeeded(self):
        """The condition that says how the step ended."""
        return next(each for each in self.status["conditions"] if each["type"] == "Succeeded")

    @property
    def reason(self):
        return self.succeeded["reason"]

    @property
    def mini_batches(self):
        """The counts of mini-batches, of those that are not zero."""
        return {name: count for name, count in self.status["progress"]["miniBatches"].items() if count}

    @property
    def items(self):
        """The counts of items, of those that are not zero."""
        return {name: count for name, count in self.status["progress"]["items"].items() if count}

    @property
    def first_error(self):
        return self.status.get("firstError", {})

    @property
    def output(self):
        """The bytes of the one output file."""
        return (self.run_dir / "out" / self.status["output"]["file"]).read_bytes()

    @property
    def rows(self):
        return self.output.decode().splitlines()

    @property
    def failed(self):
        """The lines of failed.jsonl."""
        return [json.loads(line) for line in self.log("failed.jsonl", under=".").splitlines()]

    def log(self, name, *, under="logs"):
        """The text of a file of the run folder's logs."""
        return (self.run_dir / under / name).read_text(errors="replace")

    def logs(self, pattern):
        """The texts of the logs that match a glob, joined."""
        return "".join(each.read_text(errors="replace") for each in sorted(self.run_dir.glob(f"logs/{pattern}")))


class Command:
    """One `longshore run` that was started."""

    def __init__(self, process, folder, run_dir):
        self._process = process
        self.folder = folder
        self.run_dir = run_dir

    @property
    def pid(self):
        return self._process.pid

    def signal(self, number):
        self._process.send_signal(number)

    def is_running(self):
        return self._process.poll() is None

    def wait(self, *, patience=PATIENCE):
        """Wait for its end; the test fails when that does not come."""
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            pytest.fail(f"the command did not end within {patience:.0f} s:\n{self.stderr}")
        return Ended(code, (self.folder / "stdout").read_text(), self.stderr, self.run_dir)

    @property
    def stderr(self):
        return (self.folder / "stderr").read_text()


class Longshore:
    """A folder to write manifests and data into, and the command to run there."""

    entries = ENTRIES
    wait_until = staticmethod(wait_until)

    def __init__(self, folder):
        self.folder = folder
        self.run_dir = folder / "run"
        self.marker = uuid.uuid4().hex
        self.variables = {}
        self._calls = 0
        self._started = []

    def data(self, *names, under="data"):
        """Write files that each hold their own name."""
        for name in names:
            self.write(f"{under}/{name}", name)

    def write(self, name, content):
        """Write a text or bytes below the folder, and return the path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def step(self, entry_script="echo.py", /, **spec):
        """Return a ParallelRunStep over all files of data/; a field that is given as None is left out."""
        fields = {
            "inputs": [{"name": "files", "file": {"paths": ["data/*"]}}],
            "output": {"name": "out"},
            "source": {"uri": str(ENTRIES)},
            "entryScript": entry_script,
            "miniBatchSize": 2,
            "outputAction": "append_row",
            "resourceMonitorIntervalSeconds": 0,
            **spec,
        }
        given = {key: each for key, each in fields.items() if each is not None}
        return self.document("ParallelRunStep", "test-step", **given)

    def document(self, kind, name, /, **spec):
        """Return one custom resource."""
        return resource(kind, name, spec)

    def manifest(self, *documents):
        """Write the documents, in the place of earlier ones."""
        self.write("manifest.yaml", yaml.safe_dump_all(documents, sort_keys=False))

    def start(
        self, *arguments, paths=("manifest.yaml",), anywhere=False, json=True, prefix=(), python=sys.executable, **popen
    ):
        """Start `longshore run` and return at once.

        The run's folder is run/, unless the arguments name one, or `anywhere` leaves it to the command. `prefix` is a
        command that runs it, `python` its interpreter; `popen` goes to the process, whose streams are files if not
        given.
        """
        self._calls += 1
        streams = self.folder / f"call-{self._calls}"
        streams.mkdir()
        named = anywhere or {"--run-dir", "--resume", "--retry-failed"} & set(arguments)
        where = () if named else ("--run-dir", str(self.run_dir))
        command = [*prefix, python, "-m", "longshore_cli", "run", *paths, *where, *arguments]
        environment = {**os.environ, **self.variables, MARKER: self.marker}
        with (streams / "stdout").open("wb") as stdout, (streams / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [*command, "--json"] if json else command,
                **{"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": stderr, **popen},
                cwd=self.folder,
                env=environment,
                start_new_session=True,
            )
        self._started.append(process)
        return Command(process, streams, self.run_dir)

    def run(self, *arguments, patience=PATIENCE, **options):
        """Run `longshore run` to its end, and see that nothing of it is left running."""
        ended = self.start(*arguments, **options).wait(patience=patience)
        self.nothing_is_left_running()
        return ended

    def resume(self, *arguments, **options):
        """Go on with the run that `run` began."""
        return self.run("--resume", str(self.run_dir), *arguments, **options)

    def processes(self, name=""):
        """Return the ids of the living processes of this test's runs whose command line holds a text."""
        mark = f"{MARKER}={self.marker}".encode()
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                if mark in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):  # a dead one's is empty
                    command = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found += [int(entry)] if name in command else []
        return found

    def nothing_is_left_running(self):
        """The kernel may still be busy with the dead: give it a while."""
        wait_until(lambda: not self.processes(), patience=20.0)

    def kill_all(self):
        """End whatever of this test still runs, stopped processes too."""
        while left := self.processes():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        for process in self._started:
            process.wait()
