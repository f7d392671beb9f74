"""Signals as something to wait for together with sockets."""

from __future__ import annotations

import os
import signal
from typing import Set


class Wakeups:
    """A readable descriptor while signals have arrived that this process handles.

    To be made in the main thread. `numbers` get a handler that does nothing more; those with another handler count too.
    """

    def __init__(self, *numbers: int) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._earlier = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: None)

    def fileno(self) -> int:
        """Return the descriptor, for select()."""
        return self._reading

    def take(self) -> Set[int]:
        """Return the signals that arrived since the last call."""
        try:
            return set(os.read(self._reading, 4096))
        except BlockingIOError:
            return set()

    def close(self) -> None:
        """Stop noting signals; the handlers stay."""
        signal.set_wakeup_fd(self._earlier)
        os.close(self._reading)
        os.close(self._writing)
