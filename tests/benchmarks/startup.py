"""Compare the start-up time of this checkout with that of another commit.

`python tests/benchmarks/startup.py --against REVISION [--pairs N]` runs a step of one mini-batch with either code in
turn, whole commands, and prints medians and their ratio. CPU seconds are those of all processes of a run; other load
on the machine disturbs them less than it does the time from start to end.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from cases import CASES

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDERS = ("operator", "worker")  # with the packages
(CASE,) = (each for each in CASES if each.name == "start")


class Took(NamedTuple):
    """Seconds of one run."""

    whole: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", required=True, metavar="REVISION", help="the commit to compare with")
    parser.add_argument("--pairs", type=int, default=10, metavar="N", help="runs of each code (default: 10)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="longshore-bench-") as folder:
        place = Path(folder)
        (place / "data").mkdir()
        CASE.make(place / "data")
        (place / "step.yaml").write_text(CASE.manifest(place / "data"))
        earlier = extract(chosen.against, place / "earlier")
        for code in (earlier, CHECKOUT):
            run(code, place, "warm")  # compiles the modules
        pairs = [(run(earlier, place, "before"), run(CHECKOUT, place, "now")) for _ in range(chosen.pairs)]
    print(f"{'median of ' + str(chosen.pairs):24}{chosen.against[:12]:>14}{'now':>10}{'ratio':>8}")
    for name in Took._fields:
        before, now = (statistics.median(getattr(took, name) for took in side) for side in zip(*pairs, strict=True))
        title = {"whole": "start to end", "cpu": "CPU of all processes"}[name]
        print(f"{title:24}{before:12.2f} s{now:8.2f} s{now / before:8.2f}")


def extract(revision: str, folder: Path) -> Path:
    """Write the packages of a commit into a folder; return it."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", revision, *FOLDERS], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "--extract", "--directory", folder], input=archive.stdout, check=True)
    return folder


def run(code: Path, place: Path, name: str) -> Took:
    """Run the step once with the packages in `code`."""
    path = os.pathsep.join(str(code / each) for each in FOLDERS)
    environment = {**os.environ, "PYTHONPATH": path}
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=place) as folder:
        command = [sys.executable, "-m", "longshore_cli", "run", str(place / "step.yaml"), "--quiet"]
        began, used = time.perf_counter(), _cpu()
        subprocess.run([*command, "--run-dir", f"{folder}/run"], env=environment, stdout=subprocess.DEVNULL, check=True)
        return Took(time.perf_counter() - began, _cpu() - used)


def _cpu() -> float:
    """Return the CPU seconds of all processes that have ended below this one."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
