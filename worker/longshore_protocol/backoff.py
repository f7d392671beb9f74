"""Exponential backoff with jitter: how long everything pauses that failed and is tried again."""

from __future__ import annotations

import random

_DOUBLINGS = 30  # more of them only overflow


def pause(failures: int, *, first: float, longest: float, jitter: float = 0.5) -> float:
    """Return the seconds to wait after `failures` failures in a row: `first` after one, doubled for each further one.

    The pause is at most `longest`, give or take the share `jitter` of it at random: what failed together must not
    return together.
    """
    seconds = min(longest, first * 2.0 ** min(failures - 1, _DOUBLINGS))
    return seconds * random.uniform(1.0 - jitter, 1.0 + jitter)
