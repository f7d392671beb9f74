"""How a GPU whose memory is full is known, and told."""

import pytest

from longshore_host import cuda, entry
from longshore_protocol import errors


def named(name, module, *bases):
    return type(name, bases or (RuntimeError,), {"__module__": module})


FULL = named("OutOfMemoryError", "torch")


@pytest.mark.parametrize(
    "error",
    [
        FULL("CUDA out of memory. Tried to allocate 20.00 MiB."),
        named("OutOfMemoryError", "torch.cuda")(),
        named("TooBig", "mine", FULL)("of my own"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        named("AcceleratorError", "torch")("CUDA error: out of memory\nCompile with ..."),
    ],
)
def test_a_gpu_without_memory_left_is_a_category_and_is_reported_with_what_to_do(error):
    assert entry.category_of(error, []) == errors.CUDA_OUT_OF_MEMORY
    assert entry.one_line(error).endswith(f" ({cuda.WHAT_TO_DO})")


@pytest.mark.parametrize(
    "error",
    [
        named("OutOfMemoryError", "cupy.cuda.memory")("Out of memory allocating 8 bytes"),
        named("OutOfMemoryError", "torchish")(),
        named("Other", "torch")("CUDA error: an illegal memory access was encountered"),
        ValueError("CUDA out of memory"),
        RuntimeError(),
        RuntimeError(7),
    ],
)
def test_what_is_not_known_to_be_a_full_gpu_is_the_scripts_error(error):
    assert entry.category_of(error, []) == errors.USER_ERROR
    assert cuda.WHAT_TO_DO not in entry.one_line(error)


def test_memory_that_python_itself_lacks_is_another_category():
    assert entry.category_of(MemoryError("CUDA out of memory"), []) == errors.OUT_OF_MEMORY
