"""The time of day, for stamps whose differences are durations."""

from __future__ import annotations

import time

_started = time.time() - time.monotonic()


def now() -> float:
    """Return Unix time in seconds: that of this process's start, and the monotonic time since.

    The difference of two calls is right although the system's clock was set in between.
    """
    return _started + time.monotonic()
