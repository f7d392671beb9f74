"""Recognize exceptions for a full GPU without importing the library that raised them."""

from __future__ import annotations

WHAT_TO_DO = (
    "the GPU has too little memory for this: make miniBatchSize smaller, or let fewer processes share a GPU, by "
    "processCountPerNode"
)
# Errors of CUDA itself, such as for one more process on a full GPU, and all before PyTorch 1.13, are RuntimeErrors.
_TEXTS = ("CUDA out of memory", "CUDA error: out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception is, or derives from, PyTorch's for a full GPU."""
    for each in type(error).__mro__:
        if each.__name__ == "OutOfMemoryError" and (each.__module__ or "").split(".")[0] == "torch":
            return True
    return isinstance(error, RuntimeError) and bool(error.args) and str(error.args[0]).startswith(_TEXTS)
