"""How late statuses are: arithmetic over the snapshots that a watch on steps showed. Times are Unix seconds."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

_MOMENTS = 50  # per step and window


@dataclass(frozen=True)
class Shown:
    """A snapshot that became visible."""

    taken: float
    visible: float


@dataclass
class Lags:
    """What a window of time showed, over all steps."""

    status: list[float] = field(default_factory=list)  # from a moment to the visibility of a snapshot taken after it
    delivery: list[float] = field(default_factory=list)  # from a snapshot to its visibility
    intervals: list[float] = field(default_factory=list)  # between statuses of a step
    shown: int = 0  # statuses with a new snapshot
    open: int = 0  # moments after which no snapshot came: their lags are lower bounds


def lags(steps: Sequence[Sequence[Shown]], *, begin: float, end: float, watched_until: float) -> Lags:
    """Return the lags of the moments from `begin` to `end`.

    Args:
        steps: for each step, its snapshots in the order in which they became visible.
        watched_until: end of the watch, after `end`, so that the last moments have their statuses too.
    """
    found = Lags()
    moments = [begin + (end - begin) * (number + 0.5) / _MOMENTS for number in range(_MOMENTS)]
    for snapshots in steps:
        taken = [each.taken for each in snapshots]
        for moment in moments:
            first = bisect_left(taken, moment)
            visible = snapshots[first].visible if first < len(snapshots) else math.inf
            found.open += visible > watched_until
            found.status.append(min(visible, watched_until) - moment)
        inside = [each for each in snapshots if begin <= each.visible < end]
        found.shown += len(inside)
        found.delivery += [each.visible - each.taken for each in inside]
        found.intervals += [after.visible - before.visible for before, after in pairwise(inside)]
    return found


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of the values do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan
