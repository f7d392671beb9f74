"""Who works for this run: one agent per worker, the latest that registered. Pure, time passed in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from longshore_protocol.snapshot import MOST_DEVICES, Device
from longshore_protocol.wire import BRINGING

_SILENT = 60.0  # seconds: an agent that brings data says so every few


class UnknownAgentError(Exception):
    """The call is of an agent that this coordinator does not know, or knows to be replaced: it must register anew."""


@dataclass
class _Agent:
    worker: str
    heard: float  # monotonic
    processes: list[dict[str, Any]] = field(default_factory=list)
    draining: bool = False
    fetched: int = 0  # grows while it fetches inputs

    def brings(self, now: float) -> str:
        """Return what the worker brings before its processes start, "" when it does not, or is not heard any more."""
        is_here = now - self.heard < _SILENT
        return next((each["what"] for each in self.processes if is_here and each["state"] == BRINGING), "")

    def is_ready(self) -> bool:
        return any(each["state"] in ("ready", "ending") for each in self.processes)


class Agents:
    """The agents of one run; `wanted` workers were asked for."""

    def __init__(self, *, wanted: int) -> None:
        self._wanted = wanted
        self._agents: dict[str, _Agent] = {}
        self._devices: dict[str, Counter[str]] = {}  # worker -> device -> processes; what was last heard of each

    def join(self, worker: str, boot: str, epoch: int, now: float) -> str:
        """Take in a worker's agent; return the identity under which it leases."""
        agent = f"{worker}.{epoch}.{boot}"
        self._agents[agent] = _Agent(worker, now)
        return agent

    def leave(self, worker: str) -> str | None:
        """A worker's agent is dead; return its identity, None when there was none."""
        for agent, entry in self._agents.items():
            if entry.worker == worker:
                del self._agents[agent]
                return agent
        return None

    def drain(self, worker: str) -> None:
        """The agent that a worker has now is to end once its processes are through; one that comes later is not."""
        for entry in self._agents.values():
            if entry.worker == worker:
                entry.draining = True

    def is_draining(self, agent: str) -> bool:
        """Tell whether this one agent is to end."""
        entry = self._agents.get(agent)
        return entry is not None and entry.draining

    def bye(self, agent: str) -> None:
        """An agent said farewell."""
        self._agents.pop(agent, None)

    def heard(self, agent: str, now: float) -> str:
        """Note a call of an agent; return its worker. Raises UnknownAgentError."""
        entry = self._agents.get(agent)
        if entry is None:
            raise UnknownAgentError(f"agent {agent} is not registered here, or was replaced")
        entry.heard = now
        return entry.worker

    def postpone(self, seconds: float) -> None:
        """Leave out an absence of this process: no agent could be heard in it."""
        for entry in self._agents.values():
            entry.heard += seconds

    def moved(self, agent: str, fetched: int) -> bool:
        """Note how much an agent has fetched; return whether that is more than before."""
        entry = self._agents[agent]
        entry.fetched, before = fetched, entry.fetched
        return fetched > before

    def set_processes(self, agent: str, processes: list[dict[str, Any]]) -> None:
        """Note what an agent's processes do."""
        entry = self._agents[agent]
        entry.processes = processes
        if known := Counter(each["device"] for each in processes if each.get("device")):
            self._devices[entry.worker] = known

    def processes(self) -> list[dict[str, Any]]:
        """Return what the processes of each worker last reported that they do, by worker."""
        agents = sorted(self._agents.values(), key=lambda agent: agent.worker)
        return [{"worker": agent.worker, **each} for agent in agents for each in agent.processes]

    def devices(self) -> tuple[Device, ...]:
        """Return what the processes of the first workers compute on; of those that are gone, did."""
        found = (
            Device(worker, device, count)
            for worker, devices in sorted(self._devices.items())
            for device, count in sorted(devices.items())
        )
        return tuple(islice(found, MOST_DEVICES))

    def count(self) -> int:
        """Return how many agents are here."""
        return len(self._agents)

    def workers(self) -> dict[str, str]:
        """Return the worker of each agent that is here."""
        return {agent: entry.worker for agent, entry in self._agents.items()}

    def is_ready(self, agent: str) -> bool:
        """Return whether an agent has a process that is past init()."""
        return self._agents[agent].is_ready()

    def worker(self, agent: str) -> str:
        """Return the worker of an agent that is here."""
        return self._agents[agent].worker

    def ready(self) -> int:
        """Return how many workers have a process that is past init()."""
        return sum(entry.is_ready() for entry in self._agents.values())

    def brings(self, now: float) -> list[str]:
        """Return what is brought, by each worker that brings something before its processes start."""
        return list(filter(None, (entry.brings(now) for entry in self._agents.values())))

    def waiting(self, now: float) -> tuple[str, str]:
        """Return why nothing runs, as (reason, sentence); empty when a worker is ready."""
        if not self._agents:
            return "WaitingForWorkers", f"waiting for the first of {self._wanted} workers to connect"
        if not self.ready() and (brought := self.brings(now)):
            return "BringingData", f"{len(brought)} of {self._wanted} workers bring {brought[0]} before init()"
        if not self.ready():
            return "Initializing", f"{len(self._agents)} of {self._wanted} workers connected, init() still running"
        return "", ""
