"""Exactly once under fire: whatever is killed or stopped, the output is that of a sequential run, byte for byte."""

from __future__ import annotations

import pytest
from fire import AGENT, CHILD, COORDINATOR, HOST, Arsonist, plan
from varied import Varied

MINI_BATCHES = 2000
COUNTS = {
    ("kill", CHILD): 8,
    ("kill", HOST): 3,
    ("kill", AGENT): 4,
    ("kill", COORDINATOR): 4,
    ("stop", CHILD): 4,
    ("stop", HOST): 2,
    ("stop", AGENT): 4,
}
# Seconds. A lease is over after three, a call of run() after two.
STOPS = {CHILD: (2.2, 3.5), HOST: (1.0, 4.0), AGENT: (3.3, 4.5)}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_output_is_that_of_a_sequential_run_whatever_is_killed_or_stopped(longshore, seed):
    varied = Varied(longshore, mini_batches=MINI_BATCHES, size=3, workers=3, processes=2, milliseconds=20)
    oracle = varied.oracle()
    # The fire is out before the last mini-batches: each act finds a run at work.
    acts = plan(seed, counts=COUNTS, calls=MINI_BATCHES * 7 // 10, stops=STOPS)
    with Arsonist(longshore, longshore.start(), acts, calls=varied.number_of_calls) as arsonist:
        ended = arsonist.burn()
    assert arsonist.done == COUNTS
    varied.assert_exactly_once(ended, oracle)
    assert varied.number_of_calls() > MINI_BATCHES, "the fire cost nothing: it met no process at work"
