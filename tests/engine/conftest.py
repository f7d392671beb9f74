"""A folder in which each test runs the `longshore` command."""

import pytest
from commands import Longshore


@pytest.fixture
def longshore(tmp_path):
    """A folder of its own for each test; nothing that ran there may outlive the test."""
    bench = Longshore(tmp_path)
    try:
        yield bench
        bench.nothing_is_left_running()
    finally:
        bench.kill_all()
