"""Stores and disks that fail for a while: no row is lost, no try is used up, and no success lacks a mini-batch."""

import http.server
from collections import Counter
from functools import partial

import pytest
from served import serving

# The script itself breaks the store of the run's results, and mends it in the run() that `MENDS` names.
SCRIPT = """
import os

CALLS = os.environ["CALLS"]
BREAKS, MENDS = int(os.environ["BREAKS"]), int(os.environ["MENDS"])
SEGMENTS = os.environ["SEGMENTS"]
AWAY = SEGMENTS + ".away"

def run(mini_batch):
    with open(CALLS, "a") as file:
        file.write("x")
    call = os.path.getsize(CALLS)
    if call == BREAKS:
        os.makedirs(SEGMENTS, exist_ok=True)
        os.rename(SEGMENTS, AWAY)
        open(SEGMENTS, "w").close()
    if call == MENDS:
        mend()
    return [os.path.basename(path) for path in mini_batch]

def mend():
    os.unlink(SEGMENTS)
    os.rename(AWAY, SEGMENTS)
"""
NAMES = [f"{number:02d}" for number in range(20)]


@pytest.fixture
def breaking(longshore):
    """Give a function that prepares a run whose store breaks in a call of run(), and is mended in another one."""

    def prepare(*, breaks, mends=0, **spec):
        longshore.write("code/script.py", SCRIPT)
        longshore.data(*NAMES)
        segments = longshore.run_dir / "state/segments"
        variables = {
            "CALLS": str(longshore.folder / "calls"),
            "BREAKS": str(breaks),
            "MENDS": str(mends),
            "SEGMENTS": str(segments),
        }
        step = {"source": {"uri": "file:code"}, "environmentVariables": variables, "miniBatchSize": 1, "runMaxTry": 1}
        longshore.manifest(longshore.step("script.py", **step, **spec))
        return segments

    return prepare


@pytest.mark.parametrize("breaks", [1, 20], ids=["from the first mini-batch on", "at the last one"])
def test_results_that_cannot_be_written_for_a_while_are_made_again(longshore, breaking, breaks):
    breaking(breaks=breaks, mends=21, errorThreshold=-1)
    ended = longshore.run()
    assert (ended.code, ended.reason) == (0, "Succeeded"), ended.stderr
    assert ended.rows == NAMES
    assert ended.mini_batches == {"total": 20, "scheduled": 20, "succeeded": 20}
    assert (ended.failed, ended.first_error) == ([], {})


def test_a_run_whose_results_cannot_be_written_ends_as_storage_error_and_is_resumed_without_loss(longshore, breaking):
    segments = breaking(breaks=1, storageTimeoutSeconds=2)
    ended = longshore.run()
    assert (ended.code, ended.reason) == (1, "StorageError")
    assert f"cannot write {segments}/worker-0.1." in ended.succeeded["message"]
    assert "nothing succeeded within storageTimeoutSeconds (2 s)" in ended.succeeded["message"]
    assert ended.failed == []
    assert not (longshore.run_dir / "state/succeeded.json").exists()
    segments.unlink()
    again = longshore.resume()
    assert (again.code, again.reason) == (0, "Succeeded"), again.stderr
    assert again.rows == NAMES


class Handler(http.server.SimpleHTTPRequestHandler):
    """A server whose files cannot be had until it has refused so many requests."""

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        if name in self.server.broken and self.server.refused.total() < self.server.mends_after:
            self.server.refused[name] += 1
            self.send_error(503)
            return
        super().do_GET()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server(longshore):
    with serving(partial(Handler, directory=longshore.folder)) as made:
        made.broken, made.refused, made.mends_after = set(NAMES), Counter(), 0
        yield made


def test_an_input_store_that_is_down_for_a_while_costs_no_item(longshore, server):
    longshore.data(*NAMES)
    server.mends_after = 20  # in about five deliveries
    files = {"name": "files", "file": {"paths": [f"{server.url}/data/"]}}
    longshore.manifest(longshore.step(inputs=[files], miniBatchSize=1, runMaxTry=1, processCountPerNode=2))
    ended = longshore.run(patience=120.0)
    assert (ended.code, ended.reason) == (0, "Succeeded"), ended.stderr
    assert ended.mini_batches == {"total": 20, "scheduled": 20, "succeeded": 20}
    assert server.refused.total() == 20


def test_an_input_store_that_stays_down_ends_the_run_as_input_error_and_is_resumed_without_loss(longshore, server):
    longshore.data(*NAMES[:6])
    server.broken, server.mends_after = {"03"}, 1 << 30
    files = {"name": "files", "file": {"paths": [f"{server.url}/data/"]}}
    longshore.manifest(longshore.step(inputs=[files], miniBatchSize=1, storageTimeoutSeconds=2))
    ended = longshore.run()
    assert (ended.code, ended.reason) == (1, "InputError")
    assert f'The file "{server.url}/data/03" cannot be downloaded' in ended.succeeded["message"]
    assert ended.mini_batches == {"total": 6, "scheduled": 6, "succeeded": 5}
    assert ended.failed == []
    server.broken = set()
    again = longshore.resume()
    assert (again.code, again.reason) == (0, "Succeeded"), again.stderr
    assert again.mini_batches == {"total": 6, "scheduled": 6, "succeeded": 6}
