"""Prints at its start which GPUs it may use, and returns them for each file, once there is the file --gate.

Ends itself in the first attempt of each file with "bad" in its name.
"""

import argparse
import os
import time

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--gate", default="/")
GATE = parser.parse_known_args()[0].gate
GPUS = os.environ.get("CUDA_VISIBLE_DEVICES", "as it is")
print(GPUS)


def run(mini_batch, context):
    while not os.path.exists(GATE):
        time.sleep(0.01)
    if context.attempt == 1 and any("bad" in os.path.basename(path) for path in mini_batch):
        os._exit(3)
    return [GPUS for _ in mini_batch]
