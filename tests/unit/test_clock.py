"""Durations are right although the system's clock is set; who reads that clock itself has a reason."""

import ast
import time
from pathlib import Path

from longshore_protocol import clock

ROOT = Path(__file__).parents[2]
READERS = {
    "operator/longshore_cli/package_cache.py": "compared with the times of files",
    "worker/longshore_protocol/clock.py": "it is what the others call",
    "worker/longshore_agent/preparing.py": "a stamp without a duration",
    "worker/longshore_agent/resources.py": "stamps without durations",
    "worker/longshore_agent/shipping.py": "compared with the times of files",
    "worker/longshore_agent/worker.py": "compared with the times of files",
    "worker/longshore_host/container_log.py": "stamps without durations",
    "worker/longshore_host/concurrent_runs.py": "a stamp; its duration is a performance counter's",
    "worker/longshore_host/child.py": "a stamp; and a deadline that scripts compare with their own clock",
    "worker/longshore_storage/retrying.py": "compared with a server's date",
}


def test_a_clock_that_is_set_changes_no_duration(monkeypatch):
    before = clock.now()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    assert 0 <= clock.now() - before < 600


def test_it_is_the_time_of_day():
    assert abs(clock.now() - time.time()) < 60


def test_only_those_with_a_reason_read_the_clock_that_may_be_set():
    found = set()
    for path in [*ROOT.glob("worker/**/*.py"), *ROOT.glob("operator/longshore_[!o]*/**/*.py")]:
        nodes = ast.walk(ast.parse(path.read_text()))
        if any(isinstance(node, ast.Attribute) and ast.unparse(node) == "time.time" for node in nodes):
            found.add(str(path.relative_to(ROOT)))
    assert found == set(READERS)
