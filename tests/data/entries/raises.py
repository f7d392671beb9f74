"""Raises on every mini-batch."""


def run(mini_batch):
    raise ValueError("these pixels make no sense")
