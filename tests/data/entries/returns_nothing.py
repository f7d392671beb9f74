"""Returns an empty list: no item succeeded."""


def run(mini_batch):
    return []
