"""The worker's processes: what each runs, when it is killed, and what becomes of what it ran.

Everything here happens on one event loop, in reaction to messages of host and children; the two tasks that talk to the
coordinator are in `agent`.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from longshore_agent.gateway import Peer
from longshore_agent.outbox import Outbox
from longshore_agent.slots import BUSY, Exit, Slot, State
from longshore_agent.stager import Stager
from longshore_agent.work import Lease, Verdict
from longshore_protocol import clock, errors, messages
from longshore_protocol.job import Job
from longshore_protocol.messages import HostSpec
from longshore_protocol.text import MESSAGE, TRACEBACK, printable
from longshore_protocol.wire import INPUT, Deferral, Failure, process_name
from longshore_storage.redaction import redacted

_OF_WHAT_RUNS = (messages.DONE, messages.FAILED, messages.LOADED)
_LONGEST_TICK = 2.0  # seconds between two ticks, on a busy machine
_UNKILLABLE = 10.0  # seconds a process may outlive its kill (a stopped host) before it is given up
_Said = tuple[str, str, str]  # category, one line, the traceback's last lines


class Worker:
    """Feeds the slots of one worker. Implements `gateway.Handler` and `stager.Takers`."""

    def __init__(
        self,
        job: Job,
        spec: HostSpec,
        *,
        agent: str,
        copies: Mapping[str, str] | None = None,
        staged: str | None = None,
    ) -> None:
        """`staged` is a folder that the processes read and cannot write to, where there is one."""
        self.name = spec.worker
        self._job = job
        self._spec = spec
        self._outbox = Outbox(agent)
        self._slots = [Slot(index) for index in range(job.processes_per_worker)]
        self._by_process: dict[int, Slot] = {}
        self._peers: dict[int, Peer] = {}
        self._next_process = 0
        self._host: Peer | None = None
        self._host_number = 0  # of the host that is connected, or was last: a process ends with the host that has it
        self._ready: deque[Lease] = deque()
        self._held: dict[int, Lease] = {}
        # Beside the processes' folder, and not in it: a host that ends removes that.
        inputs = os.path.join(staged or os.path.dirname(spec.work_dir), f"longshore-inputs-{job.run_id}-{spec.worker}")
        self._stager = Stager(job.inputs, inputs, takers=self, copies=copies)
        self._ahead = self._stager.ahead if self._stager.remote else Slot.backlog
        self._clock = time.monotonic
        self._ticked = self._clock()
        self.demand = asyncio.Event()  # more leases are wanted
        self.report_now = asyncio.Event()  # the outbox is worth a report, or there is nothing to wait for
        self.ending = asyncio.Event()  # no process will be started any more
        self.ended = asyncio.Event()  # no process is left and none will be started

    # --- for the agent's tasks -------------------------------------------------------------------------------------

    @property
    def outbox(self) -> Outbox:
        """What is to be reported."""
        return self._outbox

    def want(self) -> int:
        """Return how many more mini-batches to lease now; 0 when what is held will do."""
        if self.ending.is_set():
            return 0
        target = sum(slot.wanted() + self._ahead(slot) for slot in self._slots if slot.state is State.READY)
        missing = target - len(self._held)
        return missing if missing >= max(1, target // 4) else 0

    def take(self, leases: Iterable[Lease]) -> None:
        """Leases came in: hand them to the processes, or back when they come after a drain."""
        leases = list(leases)
        # One that expired while we stalled may come back to us: its earlier attempt is not ours any more.
        self._abandon(self._held.pop(lease.grant.mini_batch, None) for lease in leases)
        self._held.update((lease.grant.mini_batch, lease) for lease in leases)
        if self.ending.is_set():
            self._give_back(leases)
            leases = []
        remote = self._stager.remote
        for lease in leases:
            if lease.grant.input in remote:
                self._stager.add(lease)
            else:
                self._ready.append(lease)
        self.settle()

    def held(self) -> list[list[int]]:
        """Return the [mini_batch, attempt] of every lease in hand."""
        return [[number, lease.grant.attempt] for number, lease in self._held.items()]

    def pids(self) -> dict[str, int]:
        """Return the pids of agent, host and processes by name; 0 for one that is out of this machine's sight."""
        pids = {process_name(process): peer.pid for process, peer in self._peers.items()}
        if self._host is not None:
            pids["host"] = self._host.pid
        return {**pids, "agent": os.getpid()}

    @property
    def fetched(self) -> int:
        """A number that grows while inputs are fetched."""
        return self._stager.fetched

    def oldest_begin(self) -> float:
        """Return the Unix time at which the mini-batch began that has run longest; infinity when none runs."""
        begun = [oldest[1] for slot in self._slots if (oldest := slot.work.oldest()) is not None]
        return time.time() - (self._clock() - min(begun)) if begun else math.inf

    def is_idle(self) -> bool:
        """Tell whether nothing is held: what is in the outbox is all there will be for now."""
        return not self._held

    def forget(self, leases: Iterable[list[int]]) -> None:
        """These [mini_batch, attempt] are no longer ours: do not run what is not started, do not report what is."""
        held = self._held
        self._abandon(
            held.pop(number) for number, attempt in leases if number in held and held[number].grant.attempt == attempt
        )

    def drain(self) -> None:
        """Give back what no process has yet; once the rest is done, end the processes in an orderly way."""
        self.ending.set()
        self._give_back([*self._ready, *self._stager.underway()])
        self.settle()

    def stop(self) -> None:
        """Kill everything, now."""
        self.ending.set()
        if self._host is not None:
            self._host.send([messages.STOP])
        self.ended.set()

    async def close(self) -> None:
        """Leave nothing on this machine of what was staged."""
        await self._stager.close()

    def states(self) -> list[dict[str, Any]]:
        """Return what each process does, for the status: see `Slot.described`."""
        now = self._clock()
        return [slot.described(now) for slot in self._slots if slot.process >= 0]

    def tick(self) -> None:
        """Kill what is overdue, give up what cannot be killed, start what waited long enough."""
        now = self._clock()
        absence, self._ticked = now - self._ticked - _LONGEST_TICK, now
        for slot in self._slots:
            if absence > 0:  # this process was stopped, and may not have heard yet what its processes did meanwhile
                slot.postpone(absence, now)
            verdict = slot.overdue(self._job.timeouts, now)
            if verdict is not None:
                self._kill(slot, verdict, now)
            elif slot.dying_since is not None and now - slot.dying_since > _UNKILLABLE:
                self._bury(slot)
        self.settle()

    # --- gateway.Handler -------------------------------------------------------------------------------------------

    def host_connected(self, peer: Peer) -> None:
        """Send the host its spec, and processes to start. It takes the place of an earlier one, which is dead."""
        if self._host is not None:
            earlier = self._host
            self.host_gone(earlier)
            earlier.close()
        self._host = peer
        self._host_number += 1
        peer.send([messages.SPEC, asdict(self._spec)])

    def child_connected(self, peer: Peer, process: int) -> bool:
        """Give the child its spec."""
        slot = self._by_process.get(process)
        if slot is None or slot.state is not State.SPAWNING:
            return False
        slot.state, slot.connected, slot.device = State.STARTING, True, peer.device
        self._peers[process] = peer
        peer.send([messages.SPEC, asdict(self._spec)])
        return True

    def host_said(self, message: list[Any]) -> None:
        """A process ended, the host says."""
        slot = self._by_process.get(message[1])
        if slot is not None:
            slot.exit = Exit(*message[2:])
            if not slot.connected:  # what it said before is read: its connection was closed first
                self._bury(slot)

    def host_gone(self, peer: Peer) -> None:
        """The host died, and every child with it."""
        if self._host is peer:
            self._host = None
            for slot in self._slots:
                if slot.state is not State.GONE and not slot.connected:
                    self._bury(slot)

    def child_gone(self, peer: Peer, process: int) -> None:
        """A child closed its connection: it is dead or dying; the host says how."""
        if self._peers.get(process) is peer:
            del self._peers[process]
            slot = self._by_process[process]
            slot.connected = False
            if slot.exit is not None or self._host is None or slot.host != self._host_number:
                self._bury(slot)  # no host has more to report of it
            elif slot.dying_since is None:
                slot.dying_since = self._clock()

    def child_said(self, process: int, message: list[Any], body: bytes) -> None:
        """A child reports."""
        slot = self._by_process.get(process)
        if slot is None:
            return
        kind, now = message[0], self._clock()
        if (kind in _OF_WHAT_RUNS and not slot.work.runs(message[1], message[2])) or (
            kind == messages.BEGUN and not slot.work.begun(message[1], message[2], now)
        ):
            # Whoever speaks there is not, or not only, the process that we feed.
            self.child_malformed(process, f"{kind} of mini-batch {message[1]}, attempt {message[2]}, out of turn")
        elif kind == messages.DONE:
            lease = slot.work.done(message[1], message[2], now)
            self._stager.release(lease)
            slot.took(message[6] / 1e6)
            slot.blameless = slot.blameless or slot.killed is not None
            if not lease.abandoned:
                del self._held[message[1]]
                self._outbox.complete(message, process=process, rows=body)
        elif kind == messages.LOADED:
            slot.work.loaded(message[1], message[2], now)
        elif kind == messages.FAILED:
            _, _, _, items, category, text, trace, started, elapsed = message
            lease = slot.work.done(message[1], message[2], now)
            self._stager.release(lease)
            slot.took(elapsed)
            slot.blameless = slot.blameless or slot.killed is not None or category == errors.PROCESS_DIED
            said, log = _said(category, text, trace), self._log("error", process)  # where the child wrote all of it
            if category == errors.SYSTEM:  # a file of this machine could not be read for now
                self._defer(lease, INPUT, text)
            else:
                self._fail(lease, process, items=items, said=said, times=(started, elapsed), log=log)
        elif kind == messages.READY and slot.state is State.STARTING:
            slot.ready(now, message[2:], at_once=self._job.concurrency_per_process)
            self.report_now.set()
        elif kind == messages.INIT_FAILED and slot.state is State.STARTING and not slot.told:
            slot.told = True
            self._init_failed(slot, _said(message[1], message[2], message[3]))

    def child_malformed(self, process: int, why: str) -> None:
        """Disconnect and kill a process that sent what it must not; what it runs fails as ProcessDied."""
        peer, slot = self._peers.get(process), self._by_process.get(process)
        if peer is not None and slot is not None:
            peer.close()
            if slot.killed is None:
                reason = f"its process sent a malformed message: {why}"
                self._kill(slot, Verdict(errors.PROCESS_DIED, reason), self._clock())

    def is_busy(self, process: int) -> bool:
        """Tell whether a child has so many short mini-batches queued that its results can wait a moment."""
        slot = self._by_process.get(process)
        return slot is not None and len(slot.work) >= BUSY

    def settle(self) -> None:
        """Act on what changed: start processes, feed them, ask for more, report."""
        now, ending = self._clock(), self.ending.is_set()
        for slot in self._slots:
            if slot.state is State.READY:
                if slot.connected and slot.killed is None and not slot.blameless:
                    self._feed(slot, now)
            elif slot.state is State.GONE and not ending and self._host is not None and now >= slot.not_before:
                self._spawn(slot, now)
            elif ending and slot.state in (State.SPAWNING, State.STARTING) and slot.killed is None:
                self._kill(slot, Verdict(errors.SYSTEM, "the step ended"), now)
        if ending and self._host is not None and all(slot.state is State.GONE for slot in self._slots):
            self._host.send([messages.STOP])
            self.ended.set()
        if ending and self._host is None:
            self.ended.set()
        if self.want():
            self.demand.set()
        if self._outbox.is_full() or (self.is_idle() and not self._outbox.batch.is_empty()):
            self.report_now.set()

    # --- stager.Takers ---------------------------------------------------------------------------------------------

    def staged(self, lease: Lease) -> None:
        """A mini-batch can be run now."""
        self._ready.append(lease)
        self.settle()

    def not_staged(self, lease: Lease, said: tuple[str, str], times: tuple[float, float]) -> None:
        """A mini-batch failed before any process had it."""
        self._fail(lease, -1, items=-1, said=(*said, ""), times=times, log="")
        self.settle()

    def deferred(self, lease: Lease, origin: str, message: str) -> None:
        """A mini-batch cannot be fetched for now."""
        self._defer(lease, origin, message)
        self.settle()

    # --- inside ----------------------------------------------------------------------------------------------------

    def _give_back(self, leases: list[Lease]) -> None:
        """Leases that no process has begun are for other workers."""
        for lease in leases:
            self._held.pop(lease.grant.mini_batch, None)
            self._outbox.give_back(lease.grant.mini_batch, lease.grant.attempt)
        self._abandon(leases)

    def _abandon(self, leases: Iterable[Lease | None]) -> None:
        gone = [lease for lease in leases if lease is not None]
        for lease in gone:
            lease.abandoned = True
        if gone:
            earlier, self._ready = self._ready, deque()
            self._wait_again(earlier)

    def _spawn(self, slot: Slot, now: float) -> None:
        assert self._host is not None
        self._by_process.pop(slot.process, None)
        slot.spawned(self._next_process, now, host=self._host_number)
        self._by_process[slot.process] = slot
        self._next_process += 1
        self._host.send([messages.SPAWN, slot.process, slot.index])

    def _feed(self, slot: Slot, now: float) -> None:
        room = slot.room()
        if not room:
            return
        leases = [self._ready.popleft() for _ in range(min(room, len(self._ready)))]
        if leases:
            slot.work.sent(leases, now)
            slices = b"[%s]" % b",".join([lease.grant.slice for lease in leases])
            self._peers[slot.process].send([messages.RUN, [lease.grant[:3] for lease in leases]], slices)
        elif self.ending.is_set() and not slot.work:
            slot.state, slot.since = State.ENDING, now
            self._peers[slot.process].send([messages.SHUTDOWN])

    def _kill(self, slot: Slot, why: Verdict, now: float) -> None:
        slot.killed, slot.dying_since = why, now
        if self._host is not None:
            dumped = why.message if why.category == errors.TIMEOUT else ""
            self._host.send([messages.KILL, slot.process, dumped])

    def _bury(self, slot: Slot) -> None:
        """The slot's process is dead, or given up: settle what it held."""
        if slot.state is State.GONE:
            return
        now = self._clock()
        peer = self._peers.pop(slot.process, None)
        cause, before_ready = slot.cause_of_death(), slot.state in (State.SPAWNING, State.STARTING)
        stacks = "" if slot.exit is None else slot.exit.stacks
        running, waiting = slot.died(now)
        if peer is not None:
            peer.close()
        said, log = _said(cause.category, cause.message, stacks), self._log("stderr", slot.process)
        for lease, since in running:
            self._stager.release(lease)
            times = (clock.now() - (now - since), now - since)
            self._fail(lease, slot.process, items=-1, said=said, times=times, log=log)
        if before_ready and not slot.told and not self.ending.is_set():
            self._init_failed(slot, said)
        self._wait_again(waiting)

    def _wait_again(self, leases: Iterable[Lease]) -> None:
        """Leases that no process has begun go before those that wait; for abandoned ones it is the end."""
        wanted = []
        for lease in leases:
            if lease.abandoned:
                self._stager.release(lease)
            else:
                wanted.append(lease)
        self._ready.extendleft(reversed(wanted))
        if wanted and self.ending.is_set():
            self._give_back(wanted)

    def _fail(
        self, lease: Lease, process: int, *, items: int, said: _Said, times: tuple[float, float], log: str
    ) -> None:
        if not lease.abandoned:
            grant, (category, message, trace) = lease.grant, said
            said = category, redacted(message), redacted(trace)
            del self._held[grant.mini_batch]
            self._outbox.fail(Failure(grant.mini_batch, grant.attempt, items, process, *said, *times, log))

    def _defer(self, lease: Lease, origin: str, message: str) -> None:
        if not lease.abandoned:
            grant = lease.grant
            del self._held[grant.mini_batch]
            self._outbox.defer(Deferral(grant.mini_batch, grant.attempt, origin, message))

    def _init_failed(self, slot: Slot, said: _Said) -> None:
        log = self._log("stderr", slot.process)
        self._outbox.init_failed(Failure(-1, 0, 0, slot.process, *said, clock.now(), 0.0, log))

    def _log(self, kind: str, process: int) -> str:
        suffix = "" if kind == "error" else "." + kind
        return f"logs/user/{kind}/{self._spec.worker}/{process_name(process)}{suffix}.txt"


def _said(category: str, message: str, trace: str) -> _Said:
    """Return what a process reported of a failure, as text that can be shown anywhere."""
    return category, printable(message, MESSAGE), printable(trace, TRACEBACK, lines=True)
