"""`make chaos SEEDS=1-20 MINUTES=10`: random runs under random faults, each compared with its oracle.

Prints a line for each run and the counts of all. Exit code 1 where a run lost, invented or reordered a row, hung, or
ended otherwise than it must; its folder is kept.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from driver import Chaos
from scenarios import scenario


def main() -> int:
    """Carry out the command."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seeds", default="1-1000000", help="FIRST-LAST, or one number (default: as many as fit)")
    parser.add_argument("--minutes", type=float, default=10.0, help="no run begins later than this (default: 10)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the data of each run (default: 1)")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    total: Counter[str] = Counter()
    until = time.monotonic() + 60 * options.minutes
    for seed in range(int(first), int(last or first) + 1):
        if time.monotonic() > until:
            break
        folder = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
        with Chaos(scenario(seed, scale=options.scale), folder) as chaos:
            outcome = chaos.run()
        total["run"] += 1
        total["wrong"] += bool(outcome.fault)
        total.update(outcome.done)
        print(outcome, flush=True)
        if outcome.fault:
            print(f"  kept in {folder}", flush=True)
        else:
            shutil.rmtree(folder)
    print(", ".join(f"{count} x {what}" for what, count in sorted(total.items())))
    return 1 if total["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
