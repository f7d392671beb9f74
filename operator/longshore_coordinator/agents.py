"""The registered agents of a run: per worker, the one that registered last. No I/O; the time is an argument."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from longshore_protocol.snapshot import MOST_DEVICES, Device
from longshore_protocol.wire import DOWNLOADING, REGISTERING

_REPORT_TIMEOUT = 60.0  # seconds: an agent that downloads data reports every few seconds


class UnknownAgentError(Exception):
    """An agent called that is not registered here, or was replaced; it must register again."""


@dataclass
class _Agent:
    worker: str
    last_call: float  # monotonic seconds
    processes: list[dict[str, Any]] = field(default_factory=list)
    draining: bool = False
    fetched: int = 0  # progress of its downloads, in any unit

    def download(self, now: float) -> str:
        """Return the data that the worker is downloading before init(); "" for none, or if it stopped reporting."""
        is_alive = now - self.last_call < _REPORT_TIMEOUT
        return next((each["what"] for each in self.processes if is_alive and each["state"] == DOWNLOADING), "")

    def is_ready(self) -> bool:
        return any(each["state"] in ("ready", "ending") for each in self.processes)


class Agents:
    """The agents of one run that requested `wanted` workers."""

    def __init__(self, *, wanted: int) -> None:
        self._wanted = wanted
        self._agents: dict[str, _Agent] = {}
        self._devices: dict[str, Counter[str]] = {}  # worker -> device -> processes, as last reported

    def register(self, worker: str, boot: str, epoch: int, now: float) -> str:
        """Add a worker's agent; return the identity that it uses for leases."""
        agent = f"{worker}.{epoch}.{boot}"
        self._agents[agent] = _Agent(worker, now)
        return agent

    def remove(self, worker: str) -> str | None:
        """Remove a worker's agent, which has died; return its identity, or None if there is none."""
        for agent, entry in self._agents.items():
            if entry.worker == worker:
                del self._agents[agent]
                return agent
        return None

    def drain(self, worker: str) -> None:
        """Drain a worker's current agent: it ends when its processes have finished. Later agents are not affected."""
        for entry in self._agents.values():
            if entry.worker == worker:
                entry.draining = True

    def is_draining(self, agent: str) -> bool:
        """Return whether an agent is draining."""
        entry = self._agents.get(agent)
        return entry is not None and entry.draining

    def deregister(self, agent: str) -> None:
        """Remove an agent that has shut down gracefully."""
        self._agents.pop(agent, None)

    def record_call(self, agent: str, now: float) -> str:
        """Record the time of an agent's call; return its worker. Raises UnknownAgentError."""
        entry = self._agents.get(agent)
        if entry is None:
            raise UnknownAgentError(f'agent "{agent}" is not registered here, or was replaced; it must register again')
        entry.last_call = now
        return entry.worker

    def postpone(self, seconds: float) -> None:
        """Extend all timeouts by the time for which this process was suspended, when no agent could call."""
        for entry in self._agents.values():
            entry.last_call += seconds

    def record_fetched(self, agent: str, fetched: int) -> bool:
        """Record the progress of an agent's downloads; return whether it has increased."""
        entry = self._agents[agent]
        entry.fetched, before = fetched, entry.fetched
        return fetched > before

    def set_processes(self, agent: str, processes: list[dict[str, Any]]) -> None:
        """Record the states of an agent's processes."""
        entry = self._agents[agent]
        entry.processes = processes
        if known := Counter(each["device"] for each in processes if each.get("device")):
            self._devices[entry.worker] = known

    def processes(self) -> list[dict[str, Any]]:
        """Return the last reported state of each process, sorted by worker."""
        agents = sorted(self._agents.values(), key=lambda agent: agent.worker)
        return [{"worker": agent.worker, **each} for agent in agents for each in agent.processes]

    def devices(self) -> tuple[Device, ...]:
        """Return the devices of the first workers' processes, also of workers that have exited."""
        found = (
            Device(worker, device, count)
            for worker, devices in sorted(self._devices.items())
            for device, count in sorted(devices.items())
        )
        return tuple(islice(found, MOST_DEVICES))

    def count(self) -> int:
        """Return the number of registered agents."""
        return len(self._agents)

    def workers(self) -> dict[str, str]:
        """Return the worker of each registered agent."""
        return {agent: entry.worker for agent, entry in self._agents.items()}

    def are_registering(self, now: float) -> bool:
        """Return whether a worker is uploading what its processes registered."""
        return any(
            now - entry.last_call < _REPORT_TIMEOUT and any(each["state"] == REGISTERING for each in entry.processes)
            for entry in self._agents.values()
        )

    def is_ready(self, agent: str) -> bool:
        """Return whether an agent has a process that has passed init()."""
        return self._agents[agent].is_ready()

    def worker(self, agent: str) -> str:
        """Return the worker of a registered agent."""
        return self._agents[agent].worker

    def ready(self) -> int:
        """Return the number of workers with a process that has passed init()."""
        return sum(entry.is_ready() for entry in self._agents.values())

    def downloads(self, now: float) -> list[str]:
        """Return the data that workers are downloading before init(), one entry per worker."""
        return list(filter(None, (entry.download(now) for entry in self._agents.values())))

    def waiting(self, now: float) -> tuple[str, str]:
        """Return why nothing runs, as (reason, message); empty strings if a worker is ready."""
        if not self._agents:
            return "WaitingForWorkers", f"waiting for the first of {self._wanted} workers to connect"
        if not self.ready() and (downloads := self.downloads(now)):
            count = f"{len(downloads)} of {self._wanted} workers"
            return "BringingData", f"{count} are downloading {downloads[0]} before init()"
        if not self.ready():
            return "Initializing", f"{len(self._agents)} of {self._wanted} workers connected, init() still running"
        return "", ""
