"""Takes the context too; returns the mini-batch's index before each name."""

import os


def run(mini_batch, anything):
    return [f"{anything.minibatch_index} {os.path.basename(path)}" for path in mini_batch]
