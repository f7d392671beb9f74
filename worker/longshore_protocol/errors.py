"""The categories of failure, one spelling from the child's message to `status.firstError`.

The category decides who has to act: the script's author, the data's owner, or the operator of the cluster.
"""

USER_ERROR = "UserError"  # init(), run() or the import raised
TIMEOUT = "Timeout"  # run() or init() took longer than allowed
OUT_OF_MEMORY = "OutOfMemory"  # MemoryError, or the kernel killed the process for memory
CUDA_OUT_OF_MEMORY = "CudaOutOfMemory"  # init() or run() raised PyTorch's exception for a GPU that is full
PROCESS_DIED = "ProcessDied"  # the process ended by itself or by a signal
WRONG_RETURN = "WrongReturn"  # run() returned None, a scalar, a generator, or too few rows
DATA_ERROR = "DataError"  # the mini-batch could not be read
SYSTEM = "System"  # storage, network, Longshore itself

CATEGORIES = (
    USER_ERROR,
    TIMEOUT,
    OUT_OF_MEMORY,
    CUDA_OUT_OF_MEMORY,
    PROCESS_DIED,
    WRONG_RETURN,
    DATA_ERROR,
    SYSTEM,
)


def run_took_longer(limit: float) -> str:
    """Say that a run() was above its limit in seconds."""
    return "run() took longer than runInvocationTimeoutSeconds ({:g} s)".format(limit)
