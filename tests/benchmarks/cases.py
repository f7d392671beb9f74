"""What is measured: the cases, the data each works on, and the ParallelRunStep that describes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

ENTRIES = Path(__file__).resolve().parent / "entries"
PROCESSES = 2
CSV_BLOCK = 10 * 1024 * 1024  # bytes of a mini-batch; Azure ML's MB are these
CSV_FILES, CSV_BLOCKS_PER_FILE = 4, 10  # about 450 MB in all


@dataclass(frozen=True)
class Case:
    """One comparison. `limit` is of Longshore's time to the Pool's, or of seconds where there is no Pool."""

    name: str
    title: str
    entry: str
    limit: float
    make: Callable[[Path], None]  # writes the data into an empty folder
    size: int  # files of a mini-batch, or bytes of a tabular one
    tabular: bool = False
    against_pool: bool = True

    def manifest(self, data: Path) -> str:
        """Return the ParallelRunStep as a YAML document (JSON is YAML)."""
        source: dict[str, Any] = {"file": {"paths": [f"{data}/*"]}}
        if self.tabular:
            source = {"tabular": {"format": "csv", "paths": [f"{data}/*.csv"]}}
        return json.dumps(
            {
                "apiVersion": "longshore.dev/v1alpha1",
                "kind": "ParallelRunStep",
                "metadata": {"name": f"bench-{self.name}"},
                "spec": {
                    "inputs": [{"name": "data", **source}],
                    "output": {"name": "rows"},
                    "source": {"uri": f"file://{ENTRIES}"},
                    "entryScript": self.entry,
                    "nodeCount": 1,
                    "processCountPerNode": PROCESSES,
                    "miniBatchSize": str(self.size),
                    "errorThreshold": -1,
                    "outputAction": "append_row",
                    "appendRowFileName": "rows.txt",
                },
            },
            indent=2,
        )


def tiny_files(folder: Path) -> None:
    for number in range(10_000):
        (folder / f"{number:05d}.txt").write_text("1\n")


def small_images(folder: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20_000, 28, 28), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number:05d}.png")


def large_tables(folder: Path) -> None:
    """Write one block of random rows many times over: as slow to read as fresh ones, and quick to make."""
    random, rows = np.random.default_rng(2), 190_000
    table = pd.DataFrame(
        {
            "id": np.arange(rows),
            "name": random.choice(["ash", "beech", "cedar", "douglas fir"], rows),
            "height": random.normal(size=rows).round(12),
            "width": random.normal(size=rows).round(12),
            "weight": random.normal(size=rows).round(12),
        }
    )
    header, _, block = table.to_csv(index=False).encode().partition(b"\n")
    for number in range(CSV_FILES):
        with (folder / f"{number}.csv").open("wb") as file:
            file.write(header + b"\n")
            file.writelines([block] * CSV_BLOCKS_PER_FILE)


def one_file(folder: Path) -> None:
    (folder / "only.txt").write_text("1\n")


CASES = (
    Case("tiny", "10,000 files, one a mini-batch, nothing to do", "names.py", 3.0, tiny_files, 1),
    Case("images", "20,000 PNGs of 28 x 28, ten a mini-batch", "ink.py", 1.15, small_images, 10),
    Case("tables", "450 MB of CSV in mini-batches of 10 MB", "outliers.py", 1.1, large_tables, CSV_BLOCK, tabular=True),
    Case("start", "a run of one mini-batch, start to finish", "names.py", 1.5, one_file, 1, against_pool=False),
)
