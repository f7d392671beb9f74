"""Exponential backoff with jitter, for all retries."""

from __future__ import annotations

import random

_DOUBLINGS = 30  # limits the exponent


def pause(failures: int, *, first: float, longest: float, jitter: float = 0.5) -> float:
    """Return the seconds to wait after `failures` failures in a row: `first` after one, doubled for each further one.

    The pause is at most `longest`, randomly varied by the fraction `jitter`, so that simultaneous failures are not
    retried simultaneously.
    """
    seconds = min(longest, first * 2.0 ** min(failures - 1, _DOUBLINGS))
    return seconds * random.uniform(1.0 - jitter, 1.0 + jitter)
