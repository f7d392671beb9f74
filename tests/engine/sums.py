"""A pipeline that makes files, squares their numbers and adds them up, and what tests ask of its runs."""

import json
import os
import signal
from pathlib import Path

TRAINING = 120.0  # seconds that a run of an example may take on a machine with other things to do

# Notes that it was called, waits until it may go on, and fails where a file says so.
COMMON = """
import os, sys, time
HERE = {folder!r}
def called(name):
    open(os.path.join(HERE, "calls", f"{{name}}.{{os.getpid()}}.{{time.time_ns()}}"), "x").close()
    while os.path.exists(os.path.join(HERE, f"hold.{{name}}")):
        time.sleep(0.01)
    if os.path.exists(os.path.join(HERE, f"broken.{{name}}")):
        raise ValueError(f"{{name}} is broken")
"""
MAKE = """
from common import *
called("make")
for number in range(int(sys.argv[2])):
    with open(os.path.join(sys.argv[1], f"{number:02}.txt"), "w") as file:
        file.write(str(number))
"""
SQUARE = """
from common import *
def run(mini_batch):
    number = int(os.path.basename(mini_batch[0])[:2])
    called(f"square-{number}")
    return [int(open(path).read()) ** 2 for path in mini_batch]
"""
ADD = """
from common import *
called("add")
total = sum(map(int, open(os.path.join(sys.argv[1], "parallel_run_step.txt"))))
with open(os.path.join(sys.argv[2], "total.txt"), "w") as file:
    file.write(str(total))
from longshore_run import Run
Run.get_context().log("total", total)
print("the total is", total)
"""
COUNT = 8  # files, a mini-batch each
TOTAL = sum(number**2 for number in range(COUNT))


def sums_spec(**square):
    return {
        "parameters": [{"name": "count", "type": "integer", "default": COUNT}],
        "steps": [
            script("make", ["$(outputs.files)", "$(parameters.count)"], outputs=["files"]),
            {
                "name": "square",
                "parallelRun": {
                    "inputs": [{"name": "files", "from": "$(steps.make.outputs.files)"}],
                    "output": {"name": "squares"},
                    "source": {"uri": "square"},
                    "entryScript": "square.py",
                    "miniBatchSize": 1,
                    "outputAction": "append_row",
                    "resourceMonitorIntervalSeconds": 0,
                    **square,
                },
            },
            script(
                "add",
                ["$(inputs.squares)", "$(outputs.sum)"],
                inputs=[{"name": "squares", "from": "$(steps.square.outputs.squares)"}],
                outputs=["sum"],
            ),
        ],
    }


def script(name, arguments=(), *, inputs=(), outputs=(), **more):
    spec = {
        "source": {"uri": name},
        "scriptName": f"{name}.py",
        "arguments": list(arguments),
        "inputs": list(inputs),
        "outputs": [{"name": each} for each in outputs],
    }
    return {"name": name, "script": spec, **more}


def run(longshore, name, *arguments, **options):
    """Run the manifest in the folder runs/<name>, beside earlier ones."""
    return longshore.run("--run-dir", f"runs/{name}", *arguments, **{"patience": TRAINING, **options})


def kill(longshore, command):
    """Kill a command, and see that all that it had started ends with it."""
    os.kill(command.pid, signal.SIGKILL)
    longshore.wait_until(lambda: not command.is_running())
    longshore.nothing_is_left_running()


def steps(ended):
    return {each["name"]: each for each in ended.status["steps"]}


def states(ended):
    return {name: each["state"] for name, each in steps(ended).items()}


def reused(ended):
    return {name for name, each in steps(ended).items() if "reusedFrom" in each}


def output(ended, step, name):
    """The folder of an output."""
    (found,) = [each["uri"] for each in steps(ended)[step]["outputs"] if each["name"] == name]
    return Path(found)


def total(ended):
    return (output(ended, "add", "sum") / "total.txt").read_text()


def reused_run(longshore):
    return json.loads((longshore.folder / "runs" / "1" / "status.json").read_text())["runId"]
