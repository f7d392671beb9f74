"""Returns a tuple, as good as a list."""

import os


def run(mini_batch):
    return tuple(os.path.basename(path) for path in mini_batch)
