"""Run folders as runs of many mini-batches leave them shortly before their end, without anything having been run."""

from collections.abc import Iterator
from dataclasses import dataclass

from longshore_agent.outbox import Outbox
from longshore_coordinator.enumerate import cut
from longshore_coordinator.ledger import Ledger
from longshore_protocol import errors, messages
from longshore_protocol.job import APPEND_ROW, Input, Job, MiniBatchSize, Output
from longshore_protocol.wire import Failure
from longshore_storage.store import open_store

_AT_ONCE = 500  # mini-batches of a report, each of which is a segment
_REPORTS = 8  # in a flush of the ledger
_TRIES = 3
_TRACEBACK = "Traceback (most recent call last):\n" + "".join(
    f'  File "/code/{name}.py", line {line}, in {name}\n    return {name}(*arguments, **options)\n'
    for line, name in enumerate(("run", "score", "predict", "transform", "validate"), 7)
)


@dataclass(frozen=True)
class SyntheticRun:
    """`mini_batches` of one file each, of which the last `left` are still to be done and `failing` percent failed."""

    folder: str
    mini_batches: int
    failing: int = 0
    left: int = 0
    workers: int = 4

    @property
    def job(self) -> Job:
        """The job, which names files that are not there."""
        return Job(
            name="synthetic",
            run_id="synthetic-1",
            run_uri=self.folder,
            inputs=(Input("images", ("/data/images",)),),
            mini_batch=MiniBatchSize("files", 1),
            output=Output(APPEND_ROW, f"{self.folder}/output"),
            source_uri="/code",
            entry_script="score.py",
            max_tries=_TRIES,
            workers=self.workers,
        )

    def cut(self, job: Job) -> Iterator:
        """Cut the plan as a coordinator does, from names instead of from a folder."""
        return cut(job, list_files=lambda *_: map(self.file, range(self.mini_batches)))

    @staticmethod
    def file(number: int) -> str:
        """Return the name of a mini-batch's file."""
        return f"/data/images/train/{number:08d}.png"

    def rows(self, number: int) -> bytes:
        """Return the rows that a mini-batch returned; b"" of one that failed."""
        return b"" if self.fails(number) else b"%08d.png cat 0.%06d\n" % (number, number % 10**6)

    def fails(self, number: int) -> bool:
        """Tell whether a mini-batch failed permanently."""
        return number % 100 < self.failing

    def write(self) -> None:
        """Write segments and ledger, as agents and a coordinator that was killed did."""
        store = open_store(self.folder)
        store.make()
        ledger = Ledger.claim(store, {"step": self.job.name})
        list(ledger.replay())
        ends = range(0, self.mini_batches - self.left, _AT_ONCE)
        for report, first in enumerate(ends):
            worker = f"worker-{report % self.workers}"
            outbox = Outbox(f"{worker}.1.{report:08x}")
            for number in range(first, min(first + _AT_ONCE, self.mini_batches - self.left)):
                self._report(number, outbox, worker, ledger)
            batch = outbox.take()
            data = batch.seal()
            store.put(batch.segment, data)
            entry = {"worker": worker, "segment": batch.segment, "bytes": len(data), "digests": batch.digests}
            ledger.append({"done": {**entry, "headers": [], "mini_batches": batch.completed}})
            if report % _REPORTS == _REPORTS - 1:
                ledger.flush()
        ledger.flush()

    def _report(self, number: int, outbox: Outbox, worker: str, ledger: Ledger) -> None:
        started, process = 1_800_000_000.0 + number / 1000, number % 2
        if not self.fails(number):
            message = [messages.DONE, number, 1, 1, 1, int(started * 1e6), 2000, 1500, 1000, ""]
            outbox.complete(message, process=process, rows=self.rows(number))
            return
        message = f"ValueError: cannot score {self.file(number)}: it has {number} channels"
        log = f"logs/user/error/{worker}/process{process:03}.txt"
        for attempt in range(1, _TRIES + 1):
            failure = Failure(number, attempt, 1, process, errors.USER_ERROR, message,
                              f"{_TRACEBACK}{message}", started, 0.001, log)  # fmt: skip
            ledger.append({"tried": {"worker": worker, "terminal": attempt == _TRIES, "failure": failure}})
