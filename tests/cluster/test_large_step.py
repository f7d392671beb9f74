"""A step of a hundred thousand mini-batches: its status stays small, and is written seldom."""

import json
from datetime import datetime
from itertools import pairwise

import pytest
from localcluster.audit import calls

COUNT = 100_000
MOST = 20_000  # bytes of a status
PACE = 2.0  # seconds between two writes of progress
SCRIPT = """
import os, time

def run(mini_batch):
    time.sleep(0.0003)  # else all is over before a second progress could be written
    return [os.path.basename(path) for path in mini_batch]
"""


@pytest.fixture
def files(steps):
    folder = steps.folder / "many"
    folder.mkdir()
    for number in range(COUNT):
        (folder / f"{number:06d}").touch(mode=0o644)
    folder.chmod(0o755)
    steps.apply("Dataset", "files", file={"paths": ["many/*"]})
    return steps


def documents(text):
    """Yield the JSON documents that stand one after another in a text."""
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        found, end = decoder.raw_decode(text)
        yield found
        text = text[end:]


def test_a_hundred_thousand_mini_batches_keep_the_status_small_and_its_writes_rare(files, place, namespace, tmp_path):
    record = tmp_path / "watch.json"
    files.script("trivial", SCRIPT)
    with namespace.recorded(record, "get", "prs", "--watch", "--output=json"):
        files.submit(source={"configMap": "trivial"})
        assert files.finish()["status"] == "True", files.condition()
        files.until(lambda: '"completionTime"' in record.read_text())
    assert files.output() == "".join(f"{number:06d}\n" for number in range(COUNT))

    seen = [each["status"] for each in documents(record.read_text()) if "status" in each]
    assert seen[-1]["progress"]["miniBatches"]["succeeded"] == COUNT
    assert max(len(json.dumps(each)) for each in seen) < MOST

    writes = [
        datetime.fromisoformat(each.at)
        for each in calls(place)
        if each.use.resource == "parallelrunsteps/status" and each.writes and each.namespace == namespace.namespace
    ]
    reasons = [next(c["reason"] for c in each["conditions"] if c["type"] == "Succeeded") for each in seen]
    milestones = 1 + sum(before != after for before, after in pairwise(reasons))
    assert len(writes) > milestones, "or there was nothing to hold back"
    assert len(writes) <= (writes[-1] - writes[0]).total_seconds() / PACE + milestones
