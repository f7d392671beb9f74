"""A step whose output is known beforehand: files, manifest, and what a run in one process, one by one, would write."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from longshore_coordinator.ledger import Ledger
from longshore_protocol.wire import Completion
from longshore_storage.store import open_store

_ENTRIES = Path(__file__).parents[1] / "data" / "entries"
_SCRIPT = "varied_rows.py"
_LATER = 999_999  # an epoch after all others: its replay shows what the whole ledger holds

_MANIFEST = """\
apiVersion: longshore.dev/v1alpha1
kind: ParallelRunStep
metadata: {{name: varied}}
spec:
  inputs: [{{name: files, file: {{paths: ["files/*"]}}}}]
  output: {{name: rows}}
  source: {{uri: "file:{source}"}}
  entryScript: {script}
  arguments: ["--calls", "{calls}", "--milliseconds", "{milliseconds}"]
  nodeCount: {workers}
  processCountPerNode: {processes}
  miniBatchSize: {size}
  outputAction: append_row
  appendRowFileName: rows.txt
  runMaxTry: 200
  runInvocationTimeoutSeconds: 2
  taskOverheadTimeoutSeconds: 1
  progressUpdateTimeoutSeconds: 600
"""


@dataclass(frozen=True)
class Oracle:
    """What the output must be, and its counts."""

    output: bytes
    rows: int
    items: int
    items_failed: int  # azureml.md 1.4: items of a mini-batch without a result


class Varied:
    """The step in a folder. A lease lasts three seconds: run() has two, and all else one."""

    def __init__(self, folder: Path, *, mini_batches: int, size: int, workers: int, processes: int, milliseconds: float) -> None:  # fmt: skip
        self.folder = folder
        self.mini_batches = mini_batches
        self._size = size
        self._calls = folder / "calls.txt"
        self._calls.touch()
        self._milliseconds = milliseconds
        inputs = folder / "files"
        inputs.mkdir()
        for number in range(mini_batches * size - 1):  # the last mini-batch is short of a file
            (inputs / f"{number:06d}").write_bytes(b"%d" % (number * 7919))
        text = _MANIFEST.format(
            source=_ENTRIES,
            script=_SCRIPT,
            calls=self._calls,
            milliseconds=milliseconds,
            workers=workers,
            processes=processes,
            size=size,
        )
        (folder / "step.yaml").write_text(text)

    def calls(self) -> list[tuple[str, int, str]]:
        """Return what the script noted: ("begin" or "end", pid, name of the first file) of every call of run()."""
        lines = self._calls.read_text().split("\n")[:-1]
        return [(what, int(pid), name) for what, pid, name in map(str.split, lines)]

    def number_of_calls(self) -> int:
        """Return how many calls of run() began so far, without reading what they are."""
        return self._calls.read_bytes().count(b"begin")

    def oracle(self) -> Oracle:
        """Call run() for each mini-batch in turn, in this process."""
        run = self._load()
        paths = sorted(map(str, (self.folder / "files").iterdir()))
        output: list[str] = []
        failed = 0
        for first in range(0, len(paths), self._size):
            items = paths[first : first + self._size]
            rows = run(items)
            output += [f"{row}\n" for row in rows]
            failed += max(0, len(items) - len(rows))
        return Oracle("".join(output).encode(), rows=len(output), items=len(paths), items_failed=failed)

    def _load(self) -> Any:
        spec = importlib.util.spec_from_file_location("varied_rows_oracle", _ENTRIES / _SCRIPT)
        assert spec is not None and spec.loader is not None
        script = importlib.util.module_from_spec(spec)
        with mock.patch.object(sys, "argv", [_SCRIPT, "--calls", "/dev/null", "--milliseconds", "0"]):
            spec.loader.exec_module(script)
            script.init()
        return script.run


def committed(run_dir: Path) -> list[tuple[str, Completion]]:
    """Return every valid completion in a run's ledger, with its worker, as written: nothing is merged."""
    ledger = Ledger(open_store(str(run_dir)), _LATER)
    return [(worker, Completion(*raw)) for worker, _, _, completions in ledger.done() for raw in completions]


def assert_exactly_once(run_dir: Path, status_text: str, varied: Varied, oracle: Oracle) -> None:
    """See that a run succeeded with the oracle's output, and that ledger, status and reports say so."""
    assert (run_dir / "rows" / "rows.txt").read_bytes() == oracle.output
    times_committed = Counter(completion.mini_batch for _, completion in committed(run_dir))
    assert times_committed == dict.fromkeys(range(varied.mini_batches), 1)
    assert (run_dir / "failed.jsonl").read_bytes() == b""

    status = json.loads(status_text)
    progress = status["progress"]
    total = varied.mini_batches
    assert progress["miniBatches"] == progress["miniBatches"] | {"total": total, "succeeded": total, "failed": 0}
    assert progress["items"] == {"total": oracle.items, "succeeded": oracle.rows, "failed": oracle.items_failed}
    assert status["output"]["rows"] == oracle.rows
    assert json.loads((run_dir / "status.json").read_text()) == status
