"""Ends its process while it is imported, as a script that calls main() at module level does."""

import sys

sys.exit(5)


def run(mini_batch):
    return mini_batch
