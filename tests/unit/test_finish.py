"""The end of a run: the output is written once, and a later coordinator relies on it as long as it is the same."""

import itertools

import jobs
import pytest

from longshore_agent.outbox import Outbox
from longshore_coordinator import finish
from longshore_coordinator.assembly import Assembled, AssemblyError
from longshore_coordinator.finish import write_output
from longshore_coordinator.ledger import Ledger
from longshore_protocol import messages
from longshore_protocol.job import APPEND_ROW, Output
from longshore_storage.store import open_store

OUT = "out/rows.txt"
fresh = itertools.count()


class Bench:
    """A run folder with a ledger, as coordinators that follow one another leave and find it."""

    def __init__(self, uri):
        self.store = open_store(uri)
        self.job = jobs.job(uri=uri, output=Output(APPEND_ROW, f"{uri}/out", file_name="rows.txt"))
        self.committed = 0
        self.start()

    def start(self):
        """Let a coordinator's successor claim the run."""
        self.ledger = Ledger.claim(self.store, {})
        list(self.ledger.replay())

    def commit(self, *rows):
        """Commit more mini-batches, with these rows, as an agent and the coordinator do."""
        outbox = Outbox(f"w0.{self.ledger.epoch}.{next(fresh)}")
        for each in rows:
            message = [messages.DONE, self.committed, 1, 1, 1, 1_000_000, 4, 3, 2, ""]
            outbox.complete(message, process=0, rows=each)
            self.committed += 1
        batch = outbox.take()
        self.store.put(batch.segment, batch.seal())
        entry = {"worker": "w0", "segment": batch.segment, "bytes": batch.size, "digests": batch.digests}
        self.ledger.append({"done": {**entry, "headers": batch.headers, "mini_batches": batch.completed}})
        self.ledger.flush()

    def write(self):
        return write_output(self.job, self.store, self.ledger, expected=self.committed)


@pytest.fixture
def bench(tmp_path):
    return Bench(str(tmp_path / "run"))


@pytest.fixture
def assembled(monkeypatch):
    """The number of times that the output is put together."""
    times, assemble = [], finish.assemble
    monkeypatch.setattr(finish, "assemble", lambda *arguments: (times.append(1), assemble(*arguments))[1])
    return times


def test_a_coordinator_that_finds_the_output_written_does_not_write_it_again(bench, assembled):
    bench.commit(b"one\n", b"two\n")
    first = bench.write()
    bench.start()
    assert bench.write() == first == Assembled(rows=2, bytes=8)
    assert len(assembled) == 1
    assert bench.store.get(OUT) == b"one\ntwo\n"


CHANGES = {
    "another mini-batch is committed": lambda bench: bench.commit(b"three\n"),
    "the output is gone": lambda bench: bench.store.delete(OUT),
    "the output is shorter": lambda bench: bench.store.put(OUT, b"one\n"),
    "the output is longer": lambda bench: bench.store.put(OUT, b"one\ntwo\nthree\n"),
    "the marker is gone": lambda bench: bench.store.delete("state/output.json"),
    "the marker is not JSON": lambda bench: bench.store.put("state/output.json", b"{"),
    "the marker is of another version": lambda bench: bench.store.put("state/output.json", b"{}"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_the_output_is_written_again_when_it_is_not_certain_to_be_the_same(bench, assembled, change):
    bench.commit(b"one\n", b"two\n")
    bench.write()
    bench.start()
    change(bench)
    bench.write()
    assert len(assembled) == 2
    assert bench.store.get(OUT).startswith(b"one\ntwo\n")


def test_a_ledger_that_lacks_what_the_leases_call_done_writes_nothing(bench):
    bench.commit(b"one\n")
    bench.committed += 1
    with pytest.raises(AssemblyError, match="the ledger has 1 mini-batches, but 2 are completed"):
        bench.write()
    assert not bench.store.exists(OUT)
