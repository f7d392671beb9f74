"""A script that notes its calls and waits or fails as files say, and what tests of it share."""

import os
import signal

NAMES = [f"{number:02}.txt" for number in range(10)]  # five mini-batches of two

# Leaves a file for each call of run(), named by its number; fails where a file called "broken" says so; waits on
# mini-batches from number 2 on until there is a file called "go".
NOTES_CALLS = """
import os
import time

HERE = {folder!r}
calls = 0


def run(mini_batch, context):
    global calls
    calls += 1
    number = context.minibatch_index
    open(os.path.join(HERE, "calls", f"{{number}}.{{os.getpid()}}.{{calls}}"), "x").close()
    while not os.path.exists(os.path.join(HERE, f"go.{{number}}")) and not os.path.exists(os.path.join(HERE, "go")):
        time.sleep(0.01)
    if os.path.exists(os.path.join(HERE, f"broken.{{number}}")):
        raise ValueError("broken " + number)
    return [os.path.basename(path) for path in mini_batch]
"""


def interrupt(command, number=signal.SIGINT):
    """Interrupt the command as a terminal does: every process of its group."""
    os.killpg(command.pid, number)


def about(longshore):
    return longshore.run_dir / "state" / "run.json"
