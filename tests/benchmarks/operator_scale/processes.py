"""The processes of a measurement, none of which survives it, and what they use."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
_TICK = os.sysconf("SC_CLK_TCK")
_PATIENCE = 30.0  # seconds until a process that was asked to end is killed
_SAMPLE = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Usage:
    """What a process has used since its start."""

    cpu: float  # seconds
    memory: int  # bytes, resident now

    @staticmethod
    def of(pid: int) -> Usage:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
        return Usage((int(fields[11]) + int(fields[12])) / _TICK, resident << 10)


def cores() -> tuple[int | None, int | None]:
    """Return the core of the operator and that of the simulators; (None, None) where there is one only.

    The API server and etcd use both: a process of this one inherits its affinity, so this one has none.
    """
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


@contextmanager
def running(
    command: list[str], log: Path, *, core: int | None, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command, on one core if given; end it with SIGTERM, and with SIGKILL when this process is killed."""
    pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *pinned, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running_operator(kubeconfig: Path, log: Path) -> Iterator[Operator]:
    """Run the operator as one process on one core."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "longshore_operator", "--metrics-port", str(port)]
    environment = {"KUBECONFIG": str(kubeconfig), "LONGSHORE_IMAGE": "longshore:simulated"}
    with running(command, log, core=cores()[0], **environment) as process:
        yield Operator(process, port, log)


@dataclass(frozen=True)
class Operator:
    """A running operator, as its metrics describe it."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def usage(self) -> Usage:
        return Usage.of(self.process.pid)

    def requests(self) -> Counter[tuple[str, str]]:
        """Return the API requests so far by verb and kind."""
        counts: Counter[tuple[str, str]] = Counter()
        for name, labels, value in samples(self._metrics()):
            if name == "longshore_api_requests_total":
                counts[labels["verb"], labels["kind"]] += int(value)
        return counts

    def reconciles(self) -> int:
        """Return the number of reconciles so far."""
        found = samples(self._metrics())
        return int(sum(value for name, _, value in found if name == "longshore_reconciles_total"))

    def is_ready(self) -> bool:
        """Return whether /readyz answers 200. Raises RuntimeError when the process has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the operator ended: {self.log.read_text()[-2000:]}")
        try:
            self._get("/readyz")
        except OSError:
            return False
        return True

    def _metrics(self) -> str:
        return self._get("/metrics")

    def _get(self, path: str) -> str:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
        with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return str(answer.read().decode())


def samples(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Yield name, labels and value of each sample in Prometheus' text format."""
    for line in text.splitlines():
        if found := _SAMPLE.fullmatch(line):
            yield found["name"], dict(_LABEL.findall(found["labels"] or "")), float(found["value"])
