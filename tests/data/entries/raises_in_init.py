"""Raises in init()."""


def init():
    raise FileNotFoundError("model.onnx is not where it should be")


def run(mini_batch):
    return mini_batch
