"""Writes into the working directory under a fixed name, as if it were alone there; returns where it is."""

import os


def init():
    with open("model.bin", "x") as file:
        file.write(str(os.getpid()))


def run(mini_batch):
    with open("model.bin") as file:
        alone = file.read() == str(os.getpid())
    return [f"{os.getcwd()} {alone}" for _ in mini_batch]
