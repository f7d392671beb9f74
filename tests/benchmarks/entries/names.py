"""Returns the base name of each file: nothing to do but what a mini-batch itself costs."""

import os


def run(mini_batch):
    return [os.path.basename(path) for path in mini_batch]
