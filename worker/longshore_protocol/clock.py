"""Unix time whose differences are durations."""

from __future__ import annotations

import time

_started = time.time() - time.monotonic()


def now() -> float:
    """Return Unix time in seconds: the start time of this process plus the monotonic time since.

    The difference of two calls is a duration even if the system clock was adjusted in between.
    """
    return _started + time.monotonic()
