"""Raises in init() what CUDA says where one process more does not fit on a GPU."""


def init():
    raise RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.")


def run(mini_batch):
    return mini_batch
