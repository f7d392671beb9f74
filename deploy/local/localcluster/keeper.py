"""The first process of the cluster's namespace: `python -m localcluster.keeper STATE`.

It starts when it reads a line from stdin, and exits if stdin closes before, so that no cluster runs unrecorded. Then it
keeps the components in its folder running, except the held ones. When it exits, the kernel kills all other processes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from localcluster.places import Places

AGAIN_AFTER = 1.0  # seconds between starts of a component that ends
INTERVAL = 0.2  # seconds between reads of the folders of components and held ones


class Keeper:
    """Runs the components, and reaps whatever else becomes a child of the first process."""

    def __init__(self, place: Places) -> None:
        self._place = place
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}

    def keep(self) -> None:
        """Keep the components running until the process is killed."""
        while True:
            self._reap()
            wanted = {each.stem for each in self._place.components.glob("*.json")}
            held = {each.name for each in self._place.held.iterdir()}
            for name in sorted(wanted - held - self._running.keys()):
                if time.monotonic() - self._started.get(name, -AGAIN_AFTER) >= AGAIN_AFTER:
                    self._start(name)
            for name in held & self._running.keys():
                self._running[name].kill()
            signal.sigtimedwait({signal.SIGCHLD}, INTERVAL)

    def _start(self, name: str) -> None:
        command = json.loads((self._place.components / f"{name}.json").read_text())
        with (self._place.logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_unblock,  # noqa: PLW1509, no thread is here
            )
        self._started[name] = time.monotonic()
        (self._place.running / name).write_text(str(self._running[name].pid))

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) > 0:
                for name in [name for name, each in self._running.items() if each.pid == pid]:
                    del self._running[name]
                    (self._place.running / name).unlink()


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _furnish(place: Places) -> None:
    """Give the namespace folders of its own where components insist on a place."""
    subprocess.run(["mount", "--make-rshared", "/"], check=True)  # kubelet shares mounts with containers
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    for folder in ("/var/log", "/var/lib/kubelet", "/var/lib/cni"):
        own = place.state / folder.strip("/").replace("/", "-")
        for each in (own, Path(folder)):
            each.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", own, folder], check=True)


def main() -> None:
    """Wait for the line, and keep."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # taken by sigtimedwait, never missed between looks
    if not sys.stdin.readline():
        return
    place = Places(Path(sys.argv[1]))
    _furnish(place)
    Keeper(place).keep()


if __name__ == "__main__":
    main()
