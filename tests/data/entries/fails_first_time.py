"""Raises the first time a mini-batch is tried, and succeeds from then on.

Remembers what it has seen as empty files in the folder named by the variable SEEN_FOLDER.
"""

import os


def run(mini_batch):
    names = [os.path.basename(path) for path in mini_batch]
    try:
        os.close(os.open(os.path.join(os.environ["SEEN_FOLDER"], names[0]), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return names
    raise ConnectionError(f"the first try of {names[0]} always fails")
