"""Waits for ever on every mini-batch that holds a file with "slow" in its name."""

import os
import threading


def run(mini_batch):
    names = [os.path.basename(path) for path in mini_batch]
    if any("slow" in name for name in names):
        threading.Event().wait()
    return names
