"""The arithmetic of `make bench-operator`: a wrong figure there would be believed."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "operator_scale"


def module(name):
    spec = importlib.util.spec_from_file_location(f"operator_scale_{name}", FOLDER / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found  # dataclasses look their module up
    spec.loader.exec_module(found)
    return found


lag, processes = module("lag"), module("processes")


def shown(*pairs):
    return [lag.Shown(*pair) for pair in pairs]


def every(period, *, delay, until):
    return shown(*((at, at + delay) for at in range(0, until, period)))


def test_a_status_every_four_seconds_is_four_seconds_late_at_most():
    found = lag.lags([every(4, delay=0.5, until=200)], begin=40, end=80, watched_until=90)
    assert found.open == 0
    assert 4.0 < lag.percentile(found.status, 100) <= 4.5
    assert lag.percentile(found.status, 50) == pytest.approx(2.5, abs=0.3)
    assert lag.percentile(found.delivery, 95) == 0.5
    assert set(found.intervals) == {4}
    assert found.shown == 10


def test_a_snapshot_taken_before_a_moment_reports_nothing_of_it():
    late = shown((10.0, 49.0), (60.0, 61.0))  # the first was old when it was shown
    found = lag.lags([late], begin=50, end=51, watched_until=90)
    assert min(found.status) == pytest.approx(61 - 51, abs=0.1)


def test_a_step_that_is_silent_counts_as_late_as_the_watch_is_long():
    found = lag.lags([[]], begin=0, end=60, watched_until=75)
    assert found.open == len(found.status)
    assert max(found.status) == pytest.approx(75, abs=1)
    assert min(found.status) == pytest.approx(15, abs=1)
    assert found.shown == 0


def test_the_last_moments_of_a_window_find_their_statuses_in_the_tail():
    found = lag.lags([shown((0.0, 0.1), (59.5, 60.5), (64.0, 64.5))], begin=0, end=60, watched_until=75)
    assert found.open == 0
    assert found.shown == 1  # of those in the window


def test_a_late_step_is_not_hidden_by_many_good_ones():
    good = [every(2, delay=0.1, until=100) for _ in range(9)]
    found = lag.lags([*good, []], begin=0, end=60, watched_until=75)
    assert lag.percentile(found.status, 95) > 30
    assert lag.percentile(found.status, 50) < 3


def test_percentiles_of_few_values_and_of_none():
    assert lag.percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert lag.percentile([3.0, 1.0, 2.0], 95) == 3.0
    assert math.isnan(lag.percentile([], 95))


def test_samples_of_a_metrics_page_are_read_with_their_labels():
    page = """\
# HELP longshore_api_requests_total Requests.
# TYPE longshore_api_requests_total counter
longshore_api_requests_total{code="200",kind="Pod",verb="list"} 5.0
longshore_queue_depth 2.0
process_resident_memory_bytes 1.5e+08
"""
    assert list(processes.samples(page)) == [
        ("longshore_api_requests_total", {"code": "200", "kind": "Pod", "verb": "list"}, 5.0),
        ("longshore_queue_depth", {}, 2.0),
        ("process_resident_memory_bytes", {}, 1.5e8),
    ]
