"""Leaves a file for each process's init() and shutdown() in the output folder."""

import os


def leave(what):
    with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], f"{what}.{os.getpid()}"), "x"):
        pass


def init():
    leave("init")


def run(mini_batch):
    return [os.path.basename(path) for path in mini_batch]


def shutdown():
    leave("shutdown")
