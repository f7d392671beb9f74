"""What a chaos run does, as a function of its seed: data, script, workers, and what is broken when; and the oracle."""

from __future__ import annotations

import csv
import errno
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILES, CSV_BYTES, CSV_ROWS, JSON_LINES, PARQUET, KEYS = (
    "files",
    "csv by bytes",
    "csv by rows",
    "jsonl",
    "parquet",
    "keys",
)
KINDS = (FILES, CSV_BYTES, CSV_ROWS, JSON_LINES, PARQUET, KEYS)
IN_ORDER, COROUTINES = "in order", "coroutines"
LOCAL, S3 = "local", "s3"

KILL, STOP, DOUBLE_RESUME, INTERRUPT = "kill", "stop", "two resumes at once", "interrupt"
FULL_DISK, FAILING_WRITES, FAILING_READS = "full disk", "failing writes", "failing reads"
OUTAGE, CLOCK, SLOW_LISTING = "store outage", "clock jump", "slow listing"
COMMAND, AGENT, HOST, CHILD = "command", "agent", "host", "child"

_TYPES = {"text": "string"}
TEXTS = ("plain", "with, comma", 'with "quotes"', "two\nlines", "ünïcödé 雪", "", "007", "NA", " padded ", "x" * 300)


@dataclass(frozen=True)
class Event:
    """Something that happens once so many calls of run() have begun."""

    calls: int
    what: str
    victim: str = ""
    seconds: float = 0.0  # how long it lasts
    pick: float = 0.0  # 0 to 1: which of the processes that there are
    amount: float = 0.0  # errno of a fault, seconds of a clock


@dataclass(frozen=True)
class Scenario:
    """One chaos run."""

    seed: int
    kind: str
    script: str
    store: str
    output: str  # format
    workers: int
    processes: int
    size: int  # of a mini-batch: files, rows or bytes
    bad: frozenset[int] = frozenset()  # ids whose mini-batch fails at every try
    items: list[list[dict[str, Any]]] = field(default_factory=list)  # rows by file
    events: tuple[Event, ...] = ()

    def __str__(self) -> str:
        """Say in a few words what it is."""
        shape = f"{self.workers} x {self.processes}, {self.script}, {self.output}"
        return f"{self.kind} in {self.store}, {shape}, {len(self.bad)} bad, {len(self.events)} events"


def scenario(seed: int, *, scale: float = 1.0) -> Scenario:
    """Return the scenario of a seed; `scale` multiplies its data."""
    luck = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    files = max(6, int((240 if kind == FILES else 30) * scale))
    rows = [1 if kind == FILES else luck.choice((0, 3, 20, 40)) for _ in range(files)]
    items, number = [], 0
    for count in rows:
        items.append([_row(luck, number + each) for each in range(count)])
        number += count
    knows_cut = kind in (FILES, CSV_ROWS, KEYS)
    bad = frozenset(luck.sample(range(number), 2)) if knows_cut and luck.random() < 0.5 else frozenset()
    store = S3 if kind in (FILES, CSV_BYTES, PARQUET) and luck.random() < 0.4 else LOCAL
    size = {FILES: luck.choice((1, 2, 5)), CSV_ROWS: 7, JSON_LINES: 2000, PARQUET: 9}.get(kind, 1500)
    return Scenario(
        seed=seed,
        kind=kind,
        script=luck.choice((IN_ORDER, IN_ORDER, COROUTINES)),
        store=store,
        output=luck.choice(("text", "csv", "jsonl", "parquet")),
        workers=luck.choice((1, 2, 3)),
        processes=luck.choice((1, 2)),
        size=size,
        bad=bad,
        items=items,
        events=_events(luck, kind, store, calls=_calls(kind, items, size)),
    )


def _row(luck: random.Random, number: int) -> dict[str, Any]:
    return {"id": number, "k": luck.choice((1541815603606036480, 1541815603606036481, 7)), "text": luck.choice(TEXTS)}


def _calls(kind: str, items: list[list[dict[str, Any]]], size: int) -> int:
    """Return about how many mini-batches there are."""
    if kind == KEYS:
        return 3
    if kind in (FILES, CSV_ROWS, PARQUET):
        per_file = size if kind != FILES else 1
        cut = sum(-(-len(each) // per_file) for each in items)
        return cut // size if kind == FILES else cut
    return len(items)


def _events(luck: random.Random, kind: str, store: str, *, calls: int) -> tuple[Event, ...]:
    possible: list[Callable[[], Event]] = [
        lambda: Event(_at(), KILL, luck.choice((CHILD, HOST, AGENT, COMMAND)), pick=luck.random()),
        lambda: Event(_at(), KILL, COMMAND),
        lambda: Event(_at(), STOP, luck.choice((HOST, AGENT, COMMAND)), luck.uniform(1, 4), luck.random()),
        lambda: Event(_at(), DOUBLE_RESUME),
        lambda: Event(_at(), INTERRUPT),
        lambda: Event(_at(), FULL_DISK, seconds=luck.uniform(0.5, 3), amount=errno.ENOSPC),
        lambda: Event(_at(), FAILING_WRITES, seconds=luck.uniform(0.5, 3), amount=errno.EIO),
        lambda: Event(_at(), CLOCK, amount=luck.choice((-86400.0, -3600.0, 3600.0, 1e6))),
        lambda: Event(0, SLOW_LISTING, seconds=luck.uniform(1, 4), amount=luck.uniform(0.02, 0.2)),
    ]
    if store == S3:
        possible.append(lambda: Event(_at(), OUTAGE, seconds=luck.uniform(1, 5)))
    elif kind != FILES:  # there the script opens the files: what it raises is its own
        possible.append(lambda: Event(_at(), FAILING_READS, seconds=luck.uniform(0.5, 2), amount=errno.EIO))

    def _at() -> int:
        return luck.randrange(0, max(1, calls))

    chosen = [luck.choice(possible)() for _ in range(luck.randint(3, 7))]
    return tuple(sorted(chosen, key=lambda event: event.calls))


# --- data ------------------------------------------------------------------------------------------------------------


def files_of(chosen: Scenario) -> dict[str, bytes]:
    """Return the content of each input file by its name."""
    ending = {FILES: "txt", JSON_LINES: "jsonl", PARQUET: "parquet"}.get(chosen.kind, "csv")
    names = [f"{number % 3}/{number:05}.{ending}" for number in range(len(chosen.items))]
    return {name: _content(chosen.kind, rows) for name, rows in zip(names, chosen.items, strict=True)}


def _content(kind: str, rows: list[dict[str, Any]]) -> bytes:
    if kind == FILES:
        return str(rows[0]["id"]).encode()
    if kind == JSON_LINES:
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if kind == PARQUET:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = pa.schema([("id", pa.int64()), ("k", pa.int64()), ("text", pa.string())])
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=types), file, row_group_size=16)
        return file.getvalue()
    return _csv([("id", "k", "text"), *(tuple(row.values()) for row in rows)]).encode()


def _csv(rows: list[tuple[Any, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


# --- the script, and what it must come to ----------------------------------------------------------------------------

SCRIPT = """
import os, time, asyncio
import pandas
BAD, CALLS, IS_TEXT = {bad!r}, {calls!r}, {is_text!r}

def note():
    file = os.open(CALLS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"begin\\n")
    os.close(file)

def result(mini_batch):
    if isinstance(mini_batch, list):
        frame = pandas.DataFrame({{"id": [int(open(path).read()) for path in mini_batch]}})
        frame["text"] = [os.path.basename(path) for path in mini_batch]
    else:
        frame = pandas.DataFrame({{"id": mini_batch["id"], "text": mini_batch["text"]}})
        frame.insert(1, "k", mini_batch["k"])
    if BAD & set(frame["id"]):
        raise ValueError("bad row")
    frame["double"] = frame["id"] * 2
    if IS_TEXT:
        return [repr(row) for row in frame.to_dict("records")]
    return frame
"""
RUNS = {
    IN_ORDER: """
def run(mini_batch):
    note()
    time.sleep(0.02)
    return result(mini_batch)
""",
    COROUTINES: """
async def run(mini_batch):
    note()
    await asyncio.sleep(0.02)
    return result(mini_batch)
""",
}


def script_of(chosen: Scenario, *, calls: Path) -> str:
    """Return the entry script, which notes each call of run() in the file `calls`."""
    return SCRIPT.format(bad=set(chosen.bad), calls=str(calls), is_text=chosen.output == "text") + RUNS[chosen.script]


def spec_of(chosen: Scenario, *, data: str) -> dict[str, Any]:
    """Return the fields of the step that follow from the scenario; `data` is the folder or URL of its files."""
    tabular: dict[str, Any] = {"paths": [f"{data}/*/*"]}
    cut: dict[str, Any] = {"miniBatchSize": f"{chosen.size}"}
    if chosen.kind == JSON_LINES:
        tabular |= {"format": "jsonl"}
    elif chosen.kind == PARQUET:
        tabular |= {"format": "parquet"}
        cut = {"miniBatch": {"rows": chosen.size}}
    else:
        tabular |= {
            "format": "csv",
            "keepDefaultNa": False,
            "columnTypes": {"text": "string"},
            "supportMultiLine": True,
        }
        if chosen.kind == CSV_ROWS:
            cut = {"miniBatch": {"rows": chosen.size}}
        if chosen.kind == KEYS:
            cut = {"partitionKeys": ["k"]}
    given = {"file": {"paths": tabular["paths"]}} if chosen.kind == FILES else {"tabular": tabular}
    header = {"header": True} if chosen.output == "csv" else {}
    return {
        "inputs": [{"name": "data", **given}],
        "output": {"name": "out", "format": chosen.output, **header},
        "nodeCount": chosen.workers,
        "processCountPerNode": chosen.processes,
        "runMaxTry": 15,
        "errorThreshold": -1,
        "runInvocationTimeoutSeconds": 10,
        "taskOverheadTimeoutSeconds": 10,
        **cut,
    }


def expected_rows(chosen: Scenario) -> list[dict[str, Any]]:
    """Return the rows of the output, in order."""
    return [
        _result(chosen, name, row)
        for batch in _mini_batches(chosen)
        if not chosen.bad & {row["id"] for _, row in batch}
        for name, row in batch
    ]


def failed_mini_batches(chosen: Scenario) -> int:
    """Return how many mini-batches must fail."""
    return sum(bool(chosen.bad & {row["id"] for _, row in batch}) for batch in _mini_batches(chosen))


def _result(chosen: Scenario, name: str, row: dict[str, Any]) -> dict[str, Any]:
    if chosen.kind == FILES:
        return {"id": row["id"], "text": name.rpartition("/")[2], "double": row["id"] * 2}
    return {"id": row["id"], "k": row["k"], "text": row["text"], "double": row["id"] * 2}


def _mini_batches(chosen: Scenario) -> list[list[tuple[str, dict[str, Any]]]]:
    """Return the rows of each mini-batch with the names of their files; where no row is bad, of each file."""
    by_file = sorted(zip(files_of(chosen), chosen.items, strict=True))
    rows = [(name, row) for name, found in by_file for row in found]
    if chosen.kind == FILES:
        return [rows[start : start + chosen.size] for start in range(0, len(rows), chosen.size)]
    if chosen.kind == KEYS:
        groups: dict[int, list[tuple[str, dict[str, Any]]]] = {}
        for name, row in rows:
            groups.setdefault(row["k"], []).append((name, row))
        return list(groups.values())
    step = chosen.size if chosen.kind == CSV_ROWS else max(1, len(rows))
    cut = [
        [(name, row) for row in found[start : start + step]]
        for name, found in by_file
        for start in range(0, len(found), step)
    ]
    return [each for each in cut if each]


def read_output(chosen: Scenario, path: Path) -> list[dict[str, Any]]:
    """Return the rows of an output file; of bytes that can be told beforehand, the very bytes are compared, too.

    Raises AssertionError.
    """
    if chosen.output == "parquet":
        import pyarrow.parquet as pq

        return pq.read_table(path).to_pylist()
    text = path.read_bytes().decode()
    if chosen.output == "jsonl":
        return [json.loads(line) for line in text.splitlines()]
    expected = expected_rows(chosen)
    if chosen.output == "csv":
        rows = [tuple(row.values()) for row in expected]
        assert text == _csv([tuple(expected[0]), *rows]), "the bytes are not those of a sequential run"
        return expected
    assert text == "".join(f"{row!r}\n" for row in expected), "the bytes are not those of a sequential run"
    return expected
