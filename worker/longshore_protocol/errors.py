"""Categories of failures, with one spelling from a child's message to `status.firstError`.

The category determines who must act: the author of the script, the owner of the data, or the cluster's administrator.
"""

from __future__ import annotations

import errno
from typing import Optional

USER_ERROR = "UserError"  # init(), run() or the import raised
TIMEOUT = "Timeout"  # run() or init() took longer than allowed
OUT_OF_MEMORY = "OutOfMemory"  # MemoryError, or the kernel killed the process for memory
CUDA_OUT_OF_MEMORY = "CudaOutOfMemory"  # init() or run() raised PyTorch's exception for a full GPU
PROCESS_DIED = "ProcessDied"  # the process ended by itself or by a signal
WRONG_RETURN = "WrongReturn"  # run() returned None, a scalar, a generator, or too few rows
DATA_ERROR = "DataError"  # the mini-batch could not be read
SYSTEM = (
    "System"  # storage, network, disk, Longshore itself: costs no try, and is never recorded as a failed mini-batch
)

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


# What the operating system reports while a disk, a network volume or its server fails. EMFILE and ENOMEM are missing:
# a process that leaks causes those itself.
_TRANSIENT = frozenset(
    getattr(errno, name)
    for name in (
        "EIO", "ESTALE", "EREMOTEIO", "ENOSPC", "EDQUOT", "EROFS", "EBUSY", "ENFILE", "ENOBUFS",
        "ETIMEDOUT", "ENOTCONN", "ESHUTDOWN", "ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "ENOLINK", "ECOMM",
        "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ENETRESET",
    )
    if hasattr(errno, name)
)  # fmt: skip


def is_transient(error: BaseException) -> bool:
    """Return whether reading a local file failed because its disk or volume has a temporary failure.

    Looks at the causes of `error` too: parsers wrap what reading raised.
    """
    cause: Optional[BaseException] = error
    for _ in range(5):
        if cause is None:
            return False
        if isinstance(cause, OSError) and cause.errno in _TRANSIENT:
            return True
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return False


def run_took_longer(limit: float) -> str:
    """Return the message for a run() that exceeded its limit in seconds."""
    return "run() took longer than runInvocationTimeoutSeconds ({:g} s)".format(limit)
