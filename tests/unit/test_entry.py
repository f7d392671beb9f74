"""How an exception of the entry script is put into words."""

import pytest

from longshore_host import cuda, entry
from longshore_protocol import errors


def raised(error):
    try:
        raise error
    except ValueError:
        return error


def test_an_error_of_a_megabyte_is_told_in_a_few_lines():
    error = raised(ValueError("x" * 1_000_000))
    assert entry.one_line(error) == "ValueError: " + "x" * entry.LINE_CHARACTERS
    lines = entry.short_traceback(error).split("\n")
    assert len(lines) <= entry.TRACEBACK_LINES
    assert lines[-1] == ("ValueError: " + "x" * 1_000_000)[: entry.LINE_CHARACTERS]


def test_of_many_lines_the_last_are_told():
    error = raised(ValueError("\n".join(map(str, range(1000)))))
    assert entry.short_traceback(error).split("\n") == [str(number) for number in range(980, 1000)]


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
def test_a_gpu_without_memory_left_is_a_category_and_is_told_with_what_to_do(error):
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
