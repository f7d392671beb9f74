"""Pauses between attempts: they grow, they have a longest, and they differ."""

import pytest

from longshore_protocol.backoff import pause


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (5000, 30.0)], ids=str
)
def test_a_pause_is_doubled_by_each_failure_up_to_the_longest(failures, seconds):
    assert pause(failures, first=0.5, longest=30.0, jitter=0.0) == seconds
    found = {pause(failures, first=0.5, longest=30.0) for _ in range(50)}
    assert len(found) > 40, "those which failed together must not return together"
    assert seconds * 0.5 <= min(found) <= max(found) <= seconds * 1.5
