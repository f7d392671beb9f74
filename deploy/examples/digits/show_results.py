"""Show what a run of the example found: `python show_results.py RUN_DIR [--labels FILE] [--required 0.9]`.

Prints the first ten rows and the accuracy. Exits 1 when an image is missing from the output or in it twice, or when
fewer digits were read right than are required: nine in ten, if not told otherwise.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from pathlib import Path

LABELS = Path(__file__).resolve().parent / "data" / "labels.csv"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--labels", type=Path, default=LABELS)
    parser.add_argument("--required", type=float, default=0.9)
    given = parser.parse_args()
    outputs = list((given.run_dir / "inferences").glob("*.txt"))
    with given.labels.open(newline="") as file:
        truth = {row["image"]: row["digit"] for row in csv.DictReader(file)}
    if not outputs:
        print(f"there is no output in {given.run_dir}: did the run succeed?")
        return 1
    (output,) = outputs
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
    print(f"Every one of {len(truth)} images exactly once; accuracy {accuracy:.3f} ({given.required} is required)")
    return 0 if accuracy >= given.required else 1


if __name__ == "__main__":
    sys.exit(main())
