"""Compare Longshore with multiprocessing.Pool: the same work, machine, minute and number of processes.

`python tests/benchmarks/run.py [--only NAME] [--repeat N] [--record]`. Prints a table of ratios, Longshore's time
divided by the Pool's (medians of N), and refuses to compare two outputs that differ. `--record` keeps the table in
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cases import CASES, PROCESSES, Case

HERE = Path(__file__).resolve().parent
RECORD = HERE.parents[1] / "docs" / "benchmarks.md"
HEADING = "## Last measurement\n"
STARTS = 5  # the one-mini-batch run is repeated, and its best counts: the rest is the machine's noise
COLUMNS = ("case", "Pool", "Longshore", "ratio", "limit", "verdict", "Pool, whole", "Longshore, whole", "ratio")
NARROWEST = 8  # characters of a column


@dataclass(frozen=True)
class Took:
    """Seconds: of the work alone, and of the command from start to exit."""

    work: float
    whole: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[case.name for case in CASES], help="measure one case")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="take the medians of N comparisons")
    parser.add_argument("--record", action="store_true", help="keep the table in docs/benchmarks.md")
    chosen = parser.parse_args()
    if chosen.repeat < 1 or (chosen.record and chosen.only):
        parser.error("--repeat must be 1 or more, and --record keeps whole tables: it does not go with --only")

    lines = list(table(measure(case, chosen.repeat) for case in CASES if chosen.only in (None, case.name)))
    if chosen.record:
        above = RECORD.read_text().partition(HEADING)[0]
        RECORD.write_text("\n".join([above + HEADING, machine(chosen.repeat), "", *lines, ""]))


def measure(case: Case, repeat: int) -> tuple[str, ...]:
    """Return the case's row of the table."""
    with tempfile.TemporaryDirectory(prefix="longshore-bench-") as folder:
        place = Path(folder)
        (place / "data").mkdir()
        case.make(place / "data")
        (place / "step.yaml").write_text(case.manifest(place / "data"))
        if not case.against_pool:
            best = min(run_longshore(place, f"run{number}").whole for number in range(STARTS))
            within = "holds" if best <= case.limit else "EXCEEDED"
            return case.title, "", "", "", f"{case.limit:.2f} s", within, "", f"{best:.2f} s", ""
        pairs = [(run_pool(case, place), run_longshore(place, f"run{number}")) for number in range(repeat)]
        if rows_digest(place / "pool.txt") != rows_digest(place / "run0" / "rows" / "rows.txt"):
            sys.exit(f"{case.name}: Longshore and the Pool wrote different rows, so their times mean nothing")

    work = statistics.median(ours.work / peer.work for peer, ours in pairs)
    whole = statistics.median(ours.whole / peer.whole for peer, ours in pairs)
    return (
        case.title,
        f"{statistics.median(peer.work for peer, _ in pairs):.2f} s",
        f"{statistics.median(ours.work for _, ours in pairs):.2f} s",
        f"{work:.2f}",
        f"{case.limit:.2f}",
        "holds" if work <= case.limit else "EXCEEDED",
        f"{statistics.median(peer.whole for peer, _ in pairs):.2f} s",
        f"{statistics.median(ours.whole for _, ours in pairs):.2f} s",
        f"{whole:.2f}",
    )


def run_pool(case: Case, place: Path) -> Took:
    command = [sys.executable, str(HERE / "pool_side.py"), case.name, str(place / "data"), str(place / "pool.txt")]
    printed, whole = timed(command)
    return Took(json.loads(printed)["seconds"], whole)


def run_longshore(place: Path, name: str) -> Took:
    """Run the step in `place`; its work is what lies between the first lease and the written output."""
    command = [sys.executable, "-m", "longshore_cli", "run", str(place / "step.yaml")]
    _, whole = timed([*command, "--json", "--run-dir", str(place / name)])
    moments = json.loads((place / name / "logs" / "sys" / "job_report" / "timing.json").read_text())
    return Took(moments["assembled"] - moments["first_lease"], whole)


def timed(command: list[str]) -> tuple[str, float]:
    """Run a command to its end; return what it printed and the seconds it took. Exits when the command fails."""
    started = time.perf_counter()
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    took = time.perf_counter() - started
    if ended.returncode:
        sys.exit(f"{' '.join(command)} ended with {ended.returncode}: {ended.stdout}")
    return ended.stdout, took


def rows_digest(path: Path) -> str:
    """Return a digest of the file's rows in any order: the Pool writes them as they come."""
    digest = hashlib.sha256()
    for row in sorted(path.read_bytes().splitlines()):
        digest.update(row + b"\n")
    return digest.hexdigest()


def table(rows: Iterable[tuple[str, ...]]) -> Iterable[str]:
    """Print the rows as they come, as a Markdown table, and hand its lines on."""
    widths = [max(len(case.title) for case in CASES), *(max(len(column), NARROWEST) for column in COLUMNS[1:])]
    for row in (COLUMNS, tuple("-" * width for width in widths), *rows):
        first, *others = row
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        line = f"| {' | '.join(cells)} |"
        print(line, flush=True)
        yield line


def machine(repeat: int) -> str:
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({platform.machine()}), {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, {PROCESSES} processes, medians of {repeat}."
    )


if __name__ == "__main__":
    main()
