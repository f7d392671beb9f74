"""A step whose output is known beforehand: files, manifest, and what a run in one process, one by one, would write."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from longshore_coordinator.ledger import Ledger
from longshore_protocol.wire import Completion
from longshore_storage.store import open_store

_SCRIPT = "varied_rows.py"
_LATER = 999_999  # an epoch after all others: its replay shows what the whole ledger holds


@dataclass(frozen=True)
class Oracle:
    """What the output must be, and its counts."""

    output: bytes
    rows: int
    items: int
    items_failed: int  # items of a mini-batch without a result
    short: list[int]  # mini-batches with such items


class Varied:
    """The step, in the folder of the fixture `longshore`. A lease lasts three seconds: run() has two, all else one."""

    def __init__(
        self, longshore: Any, *, mini_batches: int, size: int, workers: int, processes: int, milliseconds: int
    ) -> None:
        self._longshore = longshore
        self._total = mini_batches
        self._size = size
        self._calls = longshore.write("calls.txt", "")
        self._hold = longshore.folder / "hold"
        for number in range(mini_batches * size - 1):  # the last mini-batch is short of a file
            longshore.write(f"data/{number:06d}", str(number * 7919))
        scratch = longshore.folder / "t"  # what killed commands leave in it goes with the test's folder
        scratch.mkdir()
        longshore.variables["TMPDIR"] = str(scratch)
        longshore.manifest(
            longshore.step(
                _SCRIPT,
                arguments=["--calls", str(self._calls), "--milliseconds", milliseconds, "--hold", str(self._hold)],
                nodeCount=workers,
                processCountPerNode=processes,
                miniBatchSize=size,
                runMaxTry=200,
                errorThreshold=-1,
                runInvocationTimeoutSeconds=2,
                taskOverheadTimeoutSeconds=1,
                progressUpdateTimeoutSeconds=600,
            )
        )

    def number_of_calls(self) -> int:
        """Return how many calls of run() began so far."""
        return self._calls.read_bytes().count(b"begin")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no call of run() end meanwhile, and so no run."""
        self._hold.touch()
        try:
            yield
        finally:
            self._hold.unlink()

    def ended_calls(self) -> list[tuple[int, int]]:
        """Return the pid and the mini-batch of every call of run() that ended, in the order of their ends."""
        lines = [line.split() for line in self._calls.read_text().split("\n")[:-1]]
        return [(int(pid), int(name) // self._size) for what, pid, name in lines if what == "end"]

    def oracle(self) -> Oracle:
        """Call run() for each mini-batch in turn, in this process."""
        script = self._load()
        paths = sorted(map(str, (self._longshore.folder / "data").iterdir()))
        output: list[str] = []
        failed = 0
        short: list[int] = []
        for first in range(0, len(paths), self._size):
            items = paths[first : first + self._size]
            rows = script.run(items)
            output += [f"{row}\n" for row in rows]
            if len(rows) < len(items):
                failed += len(items) - len(rows)
                short.append(first // self._size)
        return Oracle("".join(output).encode(), len(output), len(paths), failed, short)

    def committed(self) -> list[tuple[str, Completion]]:
        """Return every valid completion in the run's ledger, with its worker, as it was written: nothing is merged."""
        ledger = Ledger(open_store(str(self._longshore.run_dir)), _LATER)
        return [(worker, Completion(*raw)) for worker, _, _, completions in ledger.done() for raw in completions]

    def assert_exactly_once(self, ended: Any, oracle: Oracle) -> None:
        """See that the run succeeded with the oracle's output, and that ledger, status and reports say so."""
        assert ended.code == 0, ended
        assert (ended.run_dir / "out" / "parallel_run_step.txt").read_bytes() == oracle.output
        times = Counter(completion.mini_batch for _, completion in self.committed())
        assert times == dict.fromkeys(range(self._total), 1)
        assert [each["miniBatch"] for each in ended.failed] == oracle.short
        assert {each["category"] for each in ended.failed} <= {"WrongReturn"}
        assert ended.mini_batches.items() >= {"total": self._total, "succeeded": self._total}.items()
        assert "failed" not in ended.mini_batches
        assert ended.items == {"total": oracle.items, "succeeded": oracle.rows, "failed": oracle.items_failed}
        assert ended.status["output"]["rows"] == oracle.rows
        assert json.loads((ended.run_dir / "status.json").read_text()) == ended.status
        troubles = {path: path.read_text() for path in ended.run_dir.glob("logs/sys/node/*/[ah]*.txt")}
        assert not "".join(troubles.values()), troubles  # agents and hosts have nothing to complain of

    def _load(self) -> Any:
        spec = importlib.util.spec_from_file_location("varied_rows_oracle", Path(self._longshore.entries) / _SCRIPT)
        assert spec is not None
        assert spec.loader is not None
        script = importlib.util.module_from_spec(spec)
        with mock.patch.object(sys, "argv", [_SCRIPT, "--calls", "/dev/null", "--milliseconds", "0"]):
            spec.loader.exec_module(script)
        script.init()
        return script
