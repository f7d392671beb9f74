"""Show what a run of the example found: `python show_results.py RUN_DIR`.

Prints the first ten rows and the accuracy. Exits 1 when an image is missing from the output or in it twice, or when
fewer than nine in ten digits were read right.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path

LABELS = Path(__file__).resolve().parent / "data" / "labels.csv"
REQUIRED = 0.9


def main(run_dir: str) -> int:
    output = Path(run_dir) / "inferences" / "mnist_outputs.txt"
    with LABELS.open(newline="") as file:
        truth = {row["image"]: row["digit"] for row in csv.DictReader(file)}
    if not output.exists():
        print(f"{output} is not there: did the run succeed?")
        return 1
    rows = output.read_text().splitlines()
    found = [row.partition(": ")[::2] for row in rows]

    print(f"The first of {len(rows)} rows in {output}:", *rows[:10], sep="\n  ")
    seen = Counter(image for image, _ in found)
    missing, unknown = truth.keys() - seen.keys(), seen.keys() - truth.keys()
    repeated = [image for image, times in seen.items() if times > 1]
    if missing or unknown or repeated:
        print(f"{len(missing)} images missing, {len(repeated)} there more than once, {len(unknown)} never asked for")
        return 1
    accuracy = sum(truth[image] == digit for image, digit in found) / len(truth)
    print(f"Every one of {len(truth)} images exactly once; accuracy {accuracy:.3f} (at least {REQUIRED} is required)")
    return 0 if accuracy >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
