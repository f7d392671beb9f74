"""Steps of one namespace."""

import csv
import os

GROUP = 65532  # of the pods of a run
ITEMS = 40
SCRIPT = """
import os, time

def run(mini_batch):
    return [row(path) for path in mini_batch]

def row(path):
    folder, name = os.path.split(path)
    while int(name[:3]) >= limit(folder):  # so that a test can do something at a known point
        time.sleep(0.02)
    return name + " " + open(path).read()

def limit(folder):
    try:
        return int(open(os.path.join(folder, "..", "limit")).read())
    except FileNotFoundError:
        return 10**9
"""
EXPECTED = "".join(f"{index:03d}.txt {index}\n" for index in range(ITEMS))
STEP = "parallelrunsteps.longshore.dev"


class Steps:
    """The steps, what they refer to, and the folder that their Datastore is."""

    def __init__(self, kubectl, folder):
        self.kubectl, self.folder = kubectl, folder
        (folder / "in").mkdir(parents=True)
        for index in range(ITEMS):
            (folder / "in" / f"{index:03d}.txt").write_text(str(index))
        self.open_to_pods()
        self.script("code", SCRIPT)
        self.apply("Dataset", "files", file={"paths": ["in/*.txt"]})
        self.apply("Datastore", "data", uri=f"file://{folder}", default=True)
        self.apply("Environment", "plain", image="docker.io/library/python:3.11-slim", python="python3")

    def open_to_pods(self):
        """Let the pods of a run read and write the folder and all in it."""
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, -1, GROUP)
            path.chmod(0o2770 if path.is_dir() else 0o640)

    def script(self, name, text):
        self.kubectl("create", "configmap", name, f"--from-literal=score.py={text}")

    def apply(self, kind, name, /, **spec):
        self.kubectl.apply(kind, name, **spec)

    def submit(self, name="score", *, limit=None, **changes):
        """Make a step; with a limit, it waits before that item until it is let on."""
        if limit is not None:
            self.let_on(limit)
        spec = {
            "inputs": [{"name": "files", "dataset": "files"}],
            "output": {"name": "rows"},
            "source": {"configMap": "code"},
            "entryScript": "score.py",
            "environment": {"name": "plain"},
            "nodeCount": 2,
            "miniBatchSize": 1,
            "runInvocationTimeoutSeconds": 600,
            "outputAction": "append_row",
            "appendRowFileName": "rows.txt",
        }
        self.apply("ParallelRunStep", name, **{**spec, **changes})

    def let_on(self, limit=None):
        """Let items below the limit be done; all, without one."""
        file = self.folder / "limit"
        if limit is None:
            file.unlink(missing_ok=True)
            return
        new = self.folder / "new-limit"
        new.write_text(str(limit))
        new.chmod(0o644)
        new.replace(file)

    def status(self, name="score"):
        return self.kubectl.read(f"{STEP}/{name}").get("status", {})

    def condition(self, type_="Succeeded", name="score"):
        found = self.kubectl.conditions(f"{STEP}/{name}")
        return found.get(type_, {"status": "", "reason": "", "message": ""})

    def done(self, name="score"):
        return int(self.status(name).get("progress", {}).get("columns", {}).get("done", "0/").partition("/")[0])

    def until(self, condition):
        return self.kubectl.eventually(condition, patience=180.0)

    def until_done(self, count, name="score"):
        """Wait until the status says that so many are done: no more, where that is the limit."""
        self.until(lambda: self.done(name) >= count)
        assert self.done(name) == count

    def finish(self, name="score"):
        """Let all items be done, wait for the end, and return the condition that says how it ended."""
        self.let_on()
        self.until(lambda: self.condition("Finished", name)["status"] == "True")
        return self.condition(name=name)

    def pods(self, role=None, name="score"):
        """Return the step's pods by their names."""
        selector = f"longshore.dev/step={name}" + (f",longshore.dev/role={role}" if role else "")
        return {each["metadata"]["name"]: each for each in self.kubectl.read("pods", labelSelector=selector)}

    def run_folder(self, name="score"):
        (found,) = self.folder.glob(f"longshore/{name}-*")
        return found

    def output(self, name="score"):
        return (self.run_folder(name) / "rows" / "rows.txt").read_text()

    def attempts(self, name="score"):
        """Return the rows of the run's table of attempts that ended."""
        file = self.run_folder(name) / "logs" / "sys" / "job_report" / "processed_mini-batches.csv"
        with file.open(newline="") as rows:
            return list(csv.DictReader(rows))


def assert_nothing_was_lost(steps):
    """Let the step end, and compare its output and its counts with those of an undisturbed one."""
    condition = steps.finish()
    assert condition["status"] == "True", condition
    assert steps.output() == EXPECTED
    counts = steps.status()["progress"]["miniBatches"]
    assert (counts["succeeded"], counts["failed"], counts["retried"]) == (ITEMS, 0, 0)
    attempts = steps.attempts()
    assert sorted(int(each["Mini-batch ID"]) for each in attempts) == list(range(ITEMS))
    assert {each["Status"] for each in attempts} == {"RUN_DONE"}


HALF = ITEMS // 2


def uids(pods):
    return {name: each["metadata"]["uid"] for name, each in pods.items()}
