"""Exactly once under fire: whatever is killed or stopped, the output is that of a sequential run, byte for byte."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode adds no folder of tests by itself

from fire import AGENT, CHILD, COORDINATOR, HOST, Arsonist, LocalRun, plan
from varied import Varied, assert_exactly_once

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
def test_the_output_is_that_of_a_sequential_run_whatever_is_killed_or_stopped(seed: int, tmp_path: Path):
    varied = Varied(tmp_path, mini_batches=MINI_BATCHES, size=3, workers=3, processes=2, milliseconds=20)
    oracle = varied.oracle()
    acts = plan(seed, counts=COUNTS, calls=MINI_BATCHES * 7 // 10, stops=STOPS)
    run = LocalRun(tmp_path, mark=str(tmp_path))
    try:
        run.start("--run-dir", run.run_dir)
        with Arsonist(run, acts, calls=varied.number_of_calls) as arsonist:
            arsonist.burn()
            code = arsonist.finish()
        assert code == 0, run.output() + run.complaints()
        assert arsonist.done == COUNTS
        assert varied.number_of_calls() > MINI_BATCHES, "the fire cost nothing: did it reach a process at work?"
        assert_exactly_once(run.run_dir, run.output(), varied, oracle)
        assert run.is_deserted()
    finally:
        run.sweep()
