"""The workers of a local run: one agent process and one host process each, restarted when they exit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import longshore_host
import longshore_protocol
import longshore_run
import longshore_shims
from longshore_agent.paths import WorkerPaths, paths_of
from longshore_agent.shipping import Shipper
from longshore_cli.terminal import print_error
from longshore_host import orphans, parent_death
from longshore_protocol.job import Job
from longshore_run import context

_QUICK = 5.0  # seconds; a process that exits sooner counts as a quick end
_QUICK_ENDS = 4  # consecutive quick ends after which the worker is abandoned
_PRIVATE = "LONGSHORE_"  # prefix of Longshore's own variables; scripts inherit all others, including credentials
_EXIT_TIMEOUT = 5.0  # seconds for processes to exit at the end of the run


@dataclass(frozen=True)
class Place:
    """Folders and settings that the processes of a local run share."""

    scratch: Path  # temporary folder
    sockets: Path  # folder of the sockets, with a short path
    python: str  # the interpreter for the entry script
    url: str  # of the coordinator
    token: str


class Workers:
    """Starts the processes of a job's workers and restarts them when they exit, until `over` returns True.

    Args:
        job: the job.
        place: folders and settings.
        on_gone: called with the worker whose agent has exited.
        on_failed: called with a worker that cannot be kept running, and a message.
        over: returns whether the run has finished.
    """

    def __init__(
        self,
        job: Job,
        place: Place,
        *,
        on_gone: Callable[[str], None],
        on_failed: Callable[[str, str], None],
        over: Callable[[], bool],
    ) -> None:
        self._job = job
        self._place = place
        self._on_gone = on_gone
        self._on_failed = on_failed
        self._over = over
        self._names = [f"worker-{index}" for index in range(job.workers)]
        self._running: dict[tuple[str, str], asyncio.subprocess.Process] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = False
        self._given_up: set[str] = set()
        self._packages = link_packages(place.scratch)

    def start(self) -> None:
        """Start every worker's agent and host."""
        for name in self._names:
            self._tasks.append(asyncio.create_task(self._keep(name, "agent", partial(self._agent, name))))
            self._tasks.append(asyncio.create_task(self._keep(name, "host", partial(self._host, name))))

    async def stop(self) -> None:
        """Wait for the processes to exit, kill those that do not, and copy their logs."""
        self._ending = True
        for (worker, part), process in list(self._running.items()):
            if part == "host" and (worker, "agent") not in self._running:
                send(process, signal.SIGTERM)  # no agent is left to send it stop
            send(process, signal.SIGCONT)  # a stopped process cannot end by itself
        _, pending = await asyncio.wait(self._tasks, timeout=_EXIT_TIMEOUT) if self._tasks else (set(), set())
        for process in list(self._running.values()):
            send(process, signal.SIGKILL)
        if pending:
            await asyncio.wait(pending)
        if not orphans.CAN_ADOPT:  # what killed hosts left; adopted orphans are killed at the command's end
            mark = os.fsencode(f"{context.VARIABLE}={self._place.scratch}/")
            await asyncio.to_thread(orphans.kill_marked, [mark])
        await asyncio.to_thread(self._ship_last_words)

    async def _keep(self, worker: str, part: str, start: Callable[[str], tuple[Sequence[str], dict[str, str]]]) -> None:
        quick_ends = 0
        log = self._log(worker, part)
        while not self._ending and worker not in self._given_up:
            began = time.monotonic()
            link = parent_death.link()
            command, environment = start(link.argument)
            with log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    env=environment,
                    cwd=self._place.scratch,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,  # not reached by the terminal's Ctrl-C: the run handles it
                    pass_fds=link.descriptors,
                )
            self._running[worker, part] = process
            code = await process.wait()
            parent_death.forget(process.pid)
            del self._running[worker, part]
            if part == "agent":
                self._on_gone(worker)
            # A process that exits with code 0 during the run was terminated by a signal from outside: restart it.
            if self._ending or (code == 0 and self._over()):
                return
            quick_ends = quick_ends + 1 if code >= 0 and time.monotonic() - began < _QUICK else 0
            if quick_ends == _QUICK_ENDS:
                self._give_up(worker, f"its {part} exited {quick_ends} times in a row: {last_line(log)}")

    def _give_up(self, worker: str, why: str) -> None:
        """Kill the remaining process of a worker and do not restart either of its processes."""
        self._given_up.add(worker)
        for (name, _), process in self._running.items():
            if name == worker:
                send(process, signal.SIGKILL)
        self._on_failed(worker, why)

    def _log(self, worker: str, part: str) -> Path:
        path = Path(self._places(worker).logs, "sys", "node", worker, f"{part}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _places(self, worker: str) -> WorkerPaths:
        return paths_of(self._job, worker=worker, shared=str(self._place.scratch))

    def _ship_last_words(self) -> None:
        """Copy the logs of agents and hosts, also of killed ones, to the run folder."""
        for worker in self._names:
            places = self._places(worker)
            if not places.copies_logs:
                return
            try:
                Shipper(self._job, places, worker=worker, private=str(self._place.scratch)).ship_logs()
            except OSError as error:
                print_error(f'cannot copy all logs of "{worker}" to {self._job.run_uri}: {error}')

    def _agent(self, worker: str, parent: str) -> tuple[Sequence[str], dict[str, str]]:
        environment = {
            **os.environ,
            "LONGSHORE_COORDINATOR": self._place.url,
            "LONGSHORE_TOKEN": self._place.token,
            "LONGSHORE_WORKER": worker,
            "LONGSHORE_SOCKET": self._socket(worker),
            "LONGSHORE_WORK_DIR": str(self._place.scratch),
            "TMPDIR": str(self._place.scratch),
        }
        return [sys.executable, "-m", "longshore_cli.tethered", parent, "longshore_agent"], environment

    def _host(self, worker: str, parent: str) -> tuple[Sequence[str], dict[str, str]]:
        environment = users_environment(self._packages)
        return [self._place.python, "-m", "longshore_host", self._socket(worker), parent], environment

    def _socket(self, worker: str) -> str:
        return str(self._place.sockets / socket_name(worker))


def socket_name(worker: str) -> str:
    """Return the name of the socket on which a worker's agent listens."""
    return f"{worker}.sock"


def users_environment(packages: str) -> dict[str, str]:
    """Return the environment of the user's interpreter, with the folder `packages` on its path."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_PRIVATE)}
    inherited = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [packages, inherited]))
    return environment


def link_packages(folder: Path) -> str:
    """Create a folder with links to the packages that the user's interpreter needs; return its path."""
    packages = folder / "packages"
    packages.mkdir()
    for package in (longshore_host, longshore_protocol, longshore_run, longshore_shims):
        source = Path(package.__path__[0])
        (packages / source.name).symlink_to(source)
    return str(packages)


def send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal to a process; do nothing if it has exited."""
    if process.returncode is None:
        # Popen.send_signal may reap the process before the event loop does.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def last_line(log: Path) -> str:
    """Return the last line of a process's log."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "(its log is empty)"
