"""Returns two rows for each item, which is allowed."""

import os


def run(mini_batch):
    return [os.path.basename(path) for path in mini_batch for _ in range(2)]
