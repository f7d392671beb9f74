"""Raises an exception that cannot even be turned into text."""


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no words for it")

    __repr__ = __str__


def run(mini_batch):
    raise Unprintable
