"""A GPU without memory left: how an exception is known for that, without importing what raised it."""

from __future__ import annotations

WHAT_TO_DO = (
    "the GPU has too little memory for this: make miniBatchSize smaller, or let fewer processes share a GPU, by "
    "processCountPerNode"
)
# What CUDA itself refuses, such as one process more on a full GPU, is no OutOfMemoryError. Nor is anything before 1.13.
_TEXTS = ("CUDA out of memory", "CUDA error: out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception is PyTorch's for a GPU whose memory is full, or derived from that."""
    for each in type(error).__mro__:
        if each.__name__ == "OutOfMemoryError" and (each.__module__ or "").split(".")[0] == "torch":
            return True
    return isinstance(error, RuntimeError) and bool(error.args) and str(error.args[0]).startswith(_TEXTS)
