"""How the operator scales: `python tests/benchmarks/operator_scale [--steps 100 300 1000] [--mute 100]`.

It starts a control plane without nodes, simulated kubelets and coordinators, and one operator on one core. It adds
steps until there are as many as each of --steps says, and measures a window of their lives. Then, in a fresh cluster,
it measures --healthy steps beside --mute steps whose coordinators accept connections and never answer. It needs root,
and Debian for what is missing, as the local cluster does; it ends and removes everything it starts.

A status lag is the time from any moment to the visibility, in a watch, of a snapshot taken after it. The first and
the last pod of one more step: median and worst of three steps that are created while the others run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path

from localcluster.processes import Problem
from report import requests, table
from scenario import Measured, Settings, scenario


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is ended
    with tempfile.TemporaryDirectory(prefix="longshore-bench-operator-") as folder:
        log = options.log or Path(folder, "operator.log")
        settings = Settings(options.window, options.patience, options.delay, options.failing, log)
        found: list[Measured] = []
        try:
            asyncio.run(_measure(settings, options, found))
        except Problem as problem:
            print(f"bench-operator: {problem}", file=sys.stderr)
            return 1
        finally:  # what has been measured is shown, however it ends
            _print(found, options)
    return 0


def _print(found: list[Measured], options: argparse.Namespace) -> None:
    if not found:
        return
    cpus = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    print(f"{cpus}, windows of {options.window:.0f} s, steps of two workers, one operator")
    print(*table(found), sep="\n")
    for each in found if options.requests else ():
        print(f"\nAPI requests in {each.window:.0f} s at {each.healthy} steps:", *requests(each), sep="\n")


async def _measure(settings: Settings, options: argparse.Namespace, found: list[Measured]) -> None:
    if options.steps:
        async with scenario(settings) as running:
            for count in sorted(options.steps):
                found.append(await running.measure(count))  # noqa: PERF401  (each is kept at once)
    if options.mute:
        async with scenario(settings) as running:
            found.append(await running.measure(options.healthy, options.mute))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="*", default=[100, 300, 1000], metavar="N", help="that run")
    parser.add_argument("--mute", type=int, default=100, metavar="N", help="steps without an answer; 0: skip that part")
    parser.add_argument("--healthy", type=int, default=100, metavar="N", help="steps beside the mute ones")
    parser.add_argument("--window", type=float, default=60.0, metavar="SECONDS", help="that are measured")
    parser.add_argument("--patience", type=float, default=900.0, metavar="SECONDS", help="until steps must run")
    parser.add_argument("--delay", type=float, default=1.0, metavar="SECONDS", help="from a pod's creation to running")
    parser.add_argument("--failing", type=int, default=0, metavar="PERCENT", help="of the pods, which are replaced")
    parser.add_argument("--requests", action="store_true", help="print the API requests by verb and kind")
    parser.add_argument("--log", type=Path, metavar="FILE", help="keep the operator's log")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
