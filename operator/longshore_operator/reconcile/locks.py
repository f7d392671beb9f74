"""Locks for what resources compete for."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Locks:
    """A lock for each thing that steps compete for, such as a run to go on with."""

    def __init__(self) -> None:
        self._all = threading.Lock()
        self._each: defaultdict[tuple[str, str, str], threading.Lock] = defaultdict(threading.Lock)

    def of(self, kind: str, namespace: str, name: str) -> threading.Lock:
        """Return the lock of one of them."""
        with self._all:
            return self._each[kind, namespace, name]


class Reservations:
    """Nodes of ComputeClusters that are granted to pods whose creation has not been answered yet.

    They count beside the nodes of known pods. So no call waits for the creation of another step's pods, and no node is
    granted twice. A pod that has just become known may count twice for a moment: then a node is granted later.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: Counter[tuple[str, str]] = Counter()  # by namespace and ComputeCluster

    @contextmanager
    def reserve(self, namespace: str, compute: str, *, wanted: int, free: Callable[[], int]) -> Iterator[int]:
        """Reserve nodes until the block ends, and yield how many: at most those that `free` returns."""
        key = namespace, compute
        with self._lock:
            granted = max(0, min(wanted, free() - self._nodes[key]))
            self._nodes[key] += granted
        try:
            yield granted
        finally:
            with self._lock:
                self._nodes[key] -= granted
                if not self._nodes[key]:
                    del self._nodes[key]
