"""Asks for more memory than there can be: the allocation fails, the process lives on."""


def run(mini_batch):
    return bytearray(1 << 62)
