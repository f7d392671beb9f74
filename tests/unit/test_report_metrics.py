"""The metrics of a run over time, under Azure ML's names."""

import json

import pytest

from longshore_coordinator.reports import MetricsLog, metrics
from longshore_protocol.snapshot import RUNNING, ItemCounts, MiniBatchCounts, Snapshot
from longshore_storage.store import LocalStore

START = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


def snapshot(*, total=None, scheduled=0, succeeded=0, failed=0, items=0, items_failed=0):
    counts = MiniBatchCounts(total=total, scheduled=scheduled, running=1, succeeded=succeeded, failed=failed)
    ended = ItemCounts(total=items, succeeded=items - items_failed, failed=items_failed)
    return Snapshot(
        state=RUNNING, run_id="r", run_uri="/r", output_uri="/r/o", epoch=1, mini_batches=counts, items=ended
    )


@pytest.mark.parametrize(
    ("now", "items_scheduled", "expected"),
    [
        pytest.param(snapshot(), 0, (None, 0, 0, 0, None), id="nothing is cut yet"),
        pytest.param(
            snapshot(scheduled=40, succeeded=4, failed=1, items=25, items_failed=7),
            200,
            (None, 35, 175, 7, None),
            id="while the inputs are listed, what remains is of what is cut, and progress is unknown",
        ),
        pytest.param(
            snapshot(total=40, scheduled=40, succeeded=4, failed=1, items=25, items_failed=7),
            200,
            (40, 35, 175, 7, 12.5),
            id="once they are listed, progress is the part that ended, well or not",
        ),
        pytest.param(
            snapshot(total=3, scheduled=3, succeeded=1, items=5), None, (3, 2, None, 0, 33.33), id="rows nobody counted"
        ),
        pytest.param(
            snapshot(total=1, scheduled=1, succeeded=1, items=9), 8, (1, 0, 0, 0, 100.0), id="never less than none"
        ),
    ],
)
def test_the_metrics_state_what_is_finished_and_what_remains(now, items_scheduled, expected):
    values = metrics(now, items_scheduled=items_scheduled)
    assert tuple(values.values()) == expected
    assert list(values) == [
        "Total mini batches",
        "Remaining mini batches",
        "Remaining items",
        "Failed items",
        "Job progress",
    ]


def test_each_line_has_its_time_and_every_metric_under_the_prefix(tmp_path):
    store = LocalStore(str(tmp_path))
    times = iter([START, START + 10])
    log = MetricsLog(store, prefix="nightly.", clock=lambda: next(times))
    log.write(snapshot(scheduled=2), items_scheduled=10)
    log.write(snapshot(total=2, scheduled=2, succeeded=1, items=5), items_scheduled=10)
    first, last = map(json.loads, store.get("logs/metrics.jsonl").splitlines())
    assert first["time"] == "2027-01-15T08:00:00Z"
    assert last == {
        "time": "2027-01-15T08:00:10Z",
        "nightly.Total mini batches": 2,
        "nightly.Remaining mini batches": 1,
        "nightly.Remaining items": 5,
        "nightly.Failed items": 0,
        "nightly.Job progress": 50.0,
    }


def test_the_metrics_of_a_resumed_run_follow_those_of_the_first(tmp_path):
    store = LocalStore(str(tmp_path))
    for _ in range(2):
        MetricsLog(store, prefix="", clock=lambda: START).write(snapshot(), items_scheduled=0)
    assert len(store.get("logs/metrics.jsonl").splitlines()) == 2
