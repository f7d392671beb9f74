"""Has a run() that yields its rows instead of returning them."""

import os


def run(mini_batch):
    for path in mini_batch:
        yield os.path.basename(path)
