"""Returns the arguments that it saw while it was imported, one row for each item."""

import sys

SEEN = " ".join(sys.argv[1:])


def run(mini_batch):
    return [SEEN] * len(mini_batch)
