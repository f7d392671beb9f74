"""Locks for what resources compete for."""

from __future__ import annotations

import threading
from collections import defaultdict


class Locks:
    """A lock for each thing that steps compete for: the nodes of a ComputeCluster, a run to go on with."""

    def __init__(self) -> None:
        self._all = threading.Lock()
        self._each: defaultdict[tuple[str, str, str], threading.Lock] = defaultdict(threading.Lock)

    def of(self, kind: str, namespace: str, name: str) -> threading.Lock:
        """Return the lock of one of them."""
        with self._all:
            return self._each[kind, namespace, name]
