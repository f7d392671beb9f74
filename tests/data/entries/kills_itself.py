"""Dies of SIGKILL, as a process that the kernel kills for memory does."""

import os
import signal


def run(mini_batch):
    os.kill(os.getpid(), signal.SIGKILL)
