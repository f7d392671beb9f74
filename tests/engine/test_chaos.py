"""A few random runs under random faults, as `make chaos` does many: the output is that of a sequential run."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))  # importlib mode adds no folder of tests

from driver import Chaos
from scenarios import scenario


@pytest.mark.parametrize("seed", [2, 4, 6])  # rows, Parquet and files; in a store and here; all kinds of faults
def test_random_faults_cost_no_row(tmp_path, s3, seed):
    with Chaos(scenario(seed, scale=0.3), tmp_path, server=s3) as chaos:
        outcome = chaos.run()
    assert not outcome.fault, outcome
    assert outcome.done["row"]
