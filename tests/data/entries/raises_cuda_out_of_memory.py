"""Raises what looks like PyTorch's exception for a GPU whose memory is full."""

OutOfMemoryError = type("OutOfMemoryError", (RuntimeError,), {"__module__": "torch"})


def run(mini_batch):
    activations(2)


def activations(size):
    raise OutOfMemoryError("CUDA out of memory. Tried to allocate {:.2f} GiB".format(size))
