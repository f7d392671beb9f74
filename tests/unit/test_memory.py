"""What a coordinator holds for each mini-batch, counted in bytes: a million must fit into a small pod."""

import tracemalloc

import pytest
from synthetic_run import SyntheticRun

from longshore_coordinator.finish import write_end, write_output
from longshore_coordinator.ledger import Ledger
from longshore_coordinator.observe import Milestones, take_snapshot
from longshore_coordinator.restore import restore
from longshore_coordinator.run import Run
from longshore_storage.store import open_store

MINI_BATCHES, FAILING = 12_000, 20
FIXED = 8_000_000  # bytes whatever the number of mini-batches: buffers, caches, one object of the ledger


@pytest.fixture
def synthetic(tmp_path):
    run = SyntheticRun(str(tmp_path / "run"), MINI_BATCHES, failing=FAILING, workers=2)
    run.write()
    return run


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_restoring_and_ending_a_run_holds_few_bytes_for_each_mini_batch(synthetic):
    store = open_store(synthetic.folder)
    ledger = Ledger.claim(store, {})
    run = Run(synthetic.job, ledger=ledger, restored=restore(ledger, resumed_by_user=False), now=0.0)
    run.add(list(synthetic.cut(synthetic.job)))
    run.finish_listing()
    assert run.verdict is not None
    held, _ = tracemalloc.get_traced_memory()
    assert held < 120 * MINI_BATCHES
    ledger.flush()
    tracemalloc.reset_peak()
    done = MINI_BATCHES - MINI_BATCHES * FAILING // 100
    written = write_output(synthetic.job, store, ledger, expected=done)
    last = take_snapshot(run, Milestones(0.0), state="Succeeded", epoch=2, written=written, now=1.0)
    write_end(synthetic.job, store, ledger, run.plan, last, written=written, milestones=Milestones(0.0))
    _, most = tracemalloc.get_traced_memory()
    assert most - held < FIXED + 200 * MINI_BATCHES
    assert store.get("output/parallel_run_step.txt") == b"".join(map(synthetic.rows, range(MINI_BATCHES)))
    assert store.get("failed.jsonl").count(b"\n") == MINI_BATCHES - done
