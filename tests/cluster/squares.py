"""Pipelines of one namespace: three steps joined by data, whose scripts wait where a test wants them to."""

import json

from steps import Steps

RUN = "pipelineruns.longshore.dev"
NUMBERS = 12

PREPARE = f"""
import os, sys
from longshore_run import Run

source, numbers = sys.argv[1:]
print("preparing from", source)
for index, line in enumerate(open(source).read().split()):
    open(os.path.join(numbers, "%03d.txt" % index), "w").write(line)
os.makedirs("outputs", exist_ok=True)
open("outputs/note.txt", "w").write("prepared")
Run.get_context().log("numbers", {NUMBERS})
"""
SCORE = """
import os, time

def run(mini_batch):
    return [row(path) for path in mini_batch]

def row(path):
    if os.path.exists(os.environ["GATES"] + "/slow"):
        time.sleep(2)  # so that no process is sent more than one
    while os.path.exists(os.environ["GATES"] + "/score") and int(os.path.basename(path)[:3]) >= 6:
        time.sleep(0.02)
    return os.path.basename(path) + " " + str(int(open(path).read()) ** 2)
"""
COLLECT = """
import os, sys, time

scores, total, power = sys.argv[1:]
while os.path.exists(os.environ["GATES"] + "/collect"):
    time.sleep(0.02)
rows = [line.split() for line in open(os.path.join(scores, "scores.txt"))]
with open(os.path.join(total, "total.txt"), "w") as file:
    file.write("%d rows, %d in all" % (len(rows), sum(int(value) ** int(power) for _, value in rows)))
"""
TOTAL = f"{NUMBERS} rows, {sum(number**2 for number in range(NUMBERS))} in all"


class Pipelines(Steps):
    """The pipeline, its runs, and the folder that the Datastore is."""

    def __init__(self, kubectl, folder):
        super().__init__(kubectl, folder)
        (folder / "numbers.txt").write_text(" ".join(map(str, range(NUMBERS))))
        (folder / "gates").mkdir()
        self.open_to_pods()
        self.apply("Dataset", "numbers", file={"paths": ["numbers.txt"]})
        self.sources(PREPARE, SCORE, COLLECT)
        gates = {"GATES": f"/mnt/longshore/host{folder}/gates"}
        self.apply(
            "Environment", "plain", image="docker.io/library/python:3.11-slim", python="python3", variables=gates
        )
        self.apply("Pipeline", "squares", **PIPELINE)

    def sources(self, prepare, score, collect):
        for name, text in (("prepare", prepare), ("score", score), ("collect", collect)):
            self.source(name, text)

    def source(self, name, text):
        made = self.kubectl(
            "create", "configmap", name, f"--from-literal={name}.py={text}", "--dry-run=client", "--output=json"
        )
        self.kubectl("apply", "--filename=-", stdin=json.loads(made))

    def close(self, gate):
        (self.folder / "gates" / gate).touch(mode=0o644)

    def open(self, gate):
        (self.folder / "gates" / gate).unlink()

    def start(self, name, **spec):
        reference = {} if "retryOf" in spec else {"pipelineRef": {"name": "squares"}}
        self.apply("PipelineRun", name, **reference, **spec)

    def run_status(self, name):
        return self.kubectl.read(f"{RUN}/{name}").get("status", {})

    def run_condition(self, name, type_="Succeeded"):
        found = self.kubectl.conditions(f"{RUN}/{name}")
        return found.get(type_, {"status": "", "reason": "", "message": ""})

    def states(self, name):
        """Return how each step is: its state, or that it was reused."""
        steps = self.run_status(name).get("steps", [])
        return {each["name"]: each["reason"] if each.get("reusedFrom") else each["state"] for each in steps}

    def step(self, name, step):
        return next(each for each in self.run_status(name)["steps"] if each["name"] == step)

    def ended(self, name):
        """Wait for the run's end, and return the condition that says how it ended."""
        self.until(lambda: self.run_condition(name, "Finished")["status"] == "True")
        return self.run_condition(name)

    def until_running(self, name, step):
        """Wait until the status says that a step runs, and its resource is there."""
        self.until(lambda: self.states(name).get(step) == "Running")
        kind, _, resource = self.step(name, step)["resource"].partition("/")
        self.until(lambda: self.kubectl.try_("get", f"{kind.lower()}s.longshore.dev", resource).returncode == 0)

    def total(self, name):
        """Return what the run's last step wrote."""
        (output,) = self.step(name, "collect")["outputs"]
        return (self.folder / output["uri"].removeprefix(f"file://{self.folder}/") / "total.txt").read_text()

    def task_pods(self, task):
        found = self.kubectl.read("pods", labelSelector=f"longshore.dev/task={task}")
        return {each["metadata"]["name"]: each for each in found}


PIPELINE = {
    "parameters": [
        {"name": "numbers", "type": "dataset", "default": "numbers"},
        {"name": "power", "type": "integer", "default": 1},
    ],
    "steps": [
        {
            "name": "prepare",
            "script": {
                "source": {"configMap": "prepare"},
                "scriptName": "prepare.py",
                "arguments": ["$(inputs.numbers)", "$(outputs.files)"],
                "inputs": [{"name": "numbers", "dataset": "$(parameters.numbers)"}],
                "outputs": [{"name": "files"}],
                "environment": {"name": "plain"},
            },
        },
        {
            "name": "score",
            "parallelRun": {
                "inputs": [{"name": "files", "from": "$(steps.prepare.outputs.files)"}],
                "output": {"name": "scores"},
                "source": {"configMap": "score"},
                "entryScript": "score.py",
                "environment": {"name": "plain"},
                "miniBatchSize": 1,
                "runInvocationTimeoutSeconds": 600,
                "outputAction": "append_row",
                "appendRowFileName": "scores.txt",
            },
        },
        {
            "name": "collect",
            "script": {
                "source": {"configMap": "collect"},
                "scriptName": "collect.py",
                "arguments": ["$(inputs.scores)", "$(outputs.total)", "$(parameters.power)"],
                "inputs": [{"name": "scores", "from": "$(steps.score.outputs.scores)"}],
                "outputs": [{"name": "total"}],
                "environment": {"name": "plain"},
            },
        },
    ],
}

SCORED = "first-score"  # the ParallelRunStep of the run `first`
