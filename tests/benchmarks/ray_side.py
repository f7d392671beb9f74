"""The peer of docs/explanation/comparison.md: images scored with Ray Data, with the entry script of the benchmark.

`pip install 'ray[data]'` in an environment of its own, with Pillow; then `python ray_side.py DATA OUTPUT SIZE` prints,
as JSON, the seconds from the listing to the written output and those of the whole program, with batches of SIZE files.
DATA is what the case `images` of `cases.py` wrote.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

ENTRY = Path(__file__).resolve().parent / "entries" / "ink.py"
PROCESSES = 2


class Scorer:
    """The entry script in the shape that Ray Data asks for."""

    def __init__(self) -> None:
        spec = importlib.util.spec_from_file_location("entry", ENTRY)
        assert spec
        assert spec.loader
        self._entry = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self._entry)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"row": self._entry.run(list(batch["item"]))}


def main(data: Path, output: Path, size: int) -> None:
    import ray  # type: ignore[import-not-found]

    began = time.perf_counter()
    ray.init(num_cpus=PROCESSES, include_dashboard=False, log_to_driver=False)
    started = time.perf_counter()
    paths = sorted(str(each) for each in data.iterdir())
    dataset = ray.data.from_items(paths, override_num_blocks=8 * PROCESSES)
    dataset.map_batches(Scorer, batch_size=size, concurrency=PROCESSES).write_csv(str(output))
    ended = time.perf_counter()
    ray.shutdown()
    print(json.dumps({"seconds": ended - started, "whole": time.perf_counter() - began}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
