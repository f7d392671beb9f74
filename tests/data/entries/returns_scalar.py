"""Returns a number."""


def run(mini_batch):
    return len(mini_batch)
