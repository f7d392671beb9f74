"""Takes a DataFrame and returns it as it is."""


def run(mini_batch):
    return mini_batch
