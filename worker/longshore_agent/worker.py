"""The processes of one worker: the mini-batches that each runs, its timeouts, and the handling of its death.

Everything here runs on one event loop, in response to messages of host and children. The tasks that call the
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
from longshore_agent.named_files import NamedFiles
from longshore_agent.outbox import Outbox
from longshore_agent.peer_messages import printable_error
from longshore_agent.requests import Requests
from longshore_agent.shutdowns import Shutdowns
from longshore_agent.slots import BUSY, Exit, Slot, State
from longshore_agent.stager import Stager
from longshore_agent.work import Lease, Verdict
from longshore_protocol import clock, errors, messages
from longshore_protocol.job import Job
from longshore_protocol.messages import HostSpec
from longshore_protocol.redaction import redacted
from longshore_protocol.wire import INPUT, Deferral, Failure, process_name

_ABOUT_RUNNING = (messages.DONE, messages.FAILED, messages.LOADED)
_LONGEST_TICK = 2.0  # seconds between two ticks on a busy machine; a longer gap means that the agent was suspended
_UNKILLABLE = 10.0  # seconds after its kill at which a process counts as dead (its host may be suspended)
_Error = tuple[str, str, str]  # category, message (one line), last lines of the traceback


class Worker:
    """The slots of one worker and the leases they work on. Implements `gateway.Handler` and `stager.Callbacks`."""

    def __init__(
        self,
        job: Job,
        spec: HostSpec,
        *,
        agent: str,
        copies: Mapping[str, str] | None = None,
        staged: str | None = None,
        requests: Requests | None = None,
        named: NamedFiles | None = None,
    ) -> None:
        """Create the worker; processes start once a host connects.

        Args:
            job: The job of the run.
            spec: The specification for host and children.
            agent: Name of this registration, the prefix of segment names.
            copies: Local paths of input files that were downloaded already, by URL.
            staged: Parent folder for staged inputs that the processes cannot write to, if there is one.
            requests: Answers the requests of scripts; None refuses all.
            named: Downloads that scripts request, whose progress counts as the worker's.
        """
        self.name = spec.worker
        self._job = job
        self._spec = spec
        self._outbox = Outbox(agent)
        self._slots = [Slot(index) for index in range(job.processes_per_worker)]
        self._by_process: dict[int, Slot] = {}
        self._peers: dict[int, Peer] = {}
        self._next_process = 0
        self._host: Peer | None = None
        self._host_number = 0  # of the current or last host: a process exits with the host that spawned it
        self._ready: deque[Lease] = deque()
        self._held: dict[int, Lease] = {}
        # Not inside the processes' folder, which a host removes when it exits.
        inputs = os.path.join(staged or os.path.dirname(spec.work_dir), f"longshore-inputs-{job.run_id}-{spec.worker}")
        self._stager = Stager(job.inputs, inputs, callbacks=self, copies=copies)
        self._ahead = self._stager.ahead if self._stager.remote else Slot.backlog
        self._requests = requests or Requests({})
        self._named = named
        if named is not None:
            named.failing = self._note_failing
        self._clock = time.monotonic
        self._ticked = self._clock()
        self.demand = asyncio.Event()  # more leases are needed
        self.report_now = asyncio.Event()  # the outbox is full, or the worker is idle
        self.ending = asyncio.Event()  # no further process will be started
        self.shutdowns = Shutdowns(spec.registrations)
        self.ended = asyncio.Event()  # all processes have exited and no further one will be started

    # --- for the agent's tasks -------------------------------------------------------------------------------------

    @property
    def outbox(self) -> Outbox:
        """The results that wait to be reported."""
        return self._outbox

    def leases_wanted(self) -> int:
        """Return how many more mini-batches to lease now; 0 while enough are leased."""
        if self.ending.is_set():
            return 0
        target = sum(slot.wanted() + self._ahead(slot) for slot in self._slots if slot.state is State.READY)
        missing = target - len(self._held)
        return missing if missing >= max(1, target // 4) else 0

    def take(self, leases: Iterable[Lease]) -> None:
        """Add granted leases: queue or stage their mini-batches, or release them during a drain."""
        leases = list(leases)
        # A lease that expired while this agent was suspended may be granted to it again, as a later attempt.
        self._abandon(self._held.pop(lease.grant.mini_batch, None) for lease in leases)
        self._held.update((lease.grant.mini_batch, lease) for lease in leases)
        if self.ending.is_set():
            self._release(leases)
            leases = []
        remote = self._stager.remote
        for lease in leases:
            if lease.grant.input in remote:
                self._stager.add(lease)
            else:
                self._ready.append(lease)
        self.reconcile()

    def held(self) -> list[list[int]]:
        """Return [mini_batch, attempt] of every lease of this agent."""
        return [[number, lease.grant.attempt] for number, lease in self._held.items()]

    def pids(self) -> dict[str, int]:
        """Return the pids of agent, host and processes by name; 0 for one outside of this pid namespace."""
        pids = {process_name(process): peer.pid for process, peer in self._peers.items()}
        if self._host is not None:
            pids["host"] = self._host.pid
        return {**pids, "agent": os.getpid()}

    @property
    def fetched(self) -> int:
        """A counter that grows while inputs, or files that a script requests, are downloaded."""
        return self._stager.fetched + (self._named.fetched if self._named is not None else 0)

    def oldest_begin(self) -> float:
        """Return the Unix time at which the longest-running mini-batch began; infinity if none is running."""
        begun = [oldest[1] for slot in self._slots if (oldest := slot.work.oldest()) is not None]
        return time.time() - (self._clock() - min(begun)) if begun else math.inf

    def is_idle(self) -> bool:
        """Return whether there are no leases, so that no further results will arrive for now."""
        return not self._held

    def forget(self, leases: Iterable[list[int]]) -> None:
        """Drop lost leases ([mini_batch, attempt]): skip unstarted ones and do not report the results of others."""
        held = self._held
        self._abandon(
            held.pop(number) for number, attempt in leases if number in held and held[number].grant.attempt == attempt
        )

    def drain(self) -> None:
        """Release all leases that no process has; shut the processes down once the others have ended."""
        self.ending.set()
        self._release([*self._ready, *self._stager.underway()])
        self.reconcile()

    def stop(self) -> None:
        """Kill all processes."""
        self.ending.set()
        if self._host is not None:
            self._host.send([messages.STOP])
        self.ended.set()

    async def close(self) -> None:
        """Cancel unanswered requests and delete all staged files."""
        await self._requests.close()
        await self._stager.close()

    def states(self) -> list[dict[str, Any]]:
        """Return the status of each process; see `Slot.described`."""
        now = self._clock()
        return [slot.described(now) for slot in self._slots if slot.process >= 0]

    def tick(self) -> None:
        """Kill overdue processes, give up unkillable ones, and restart those whose backoff has passed."""
        now = self._clock()
        elapsed, self._ticked = now - self._ticked, now
        absence, waiting = elapsed - _LONGEST_TICK, self._requests.waiting()
        for slot in self._slots:
            if slot.process >= 0 and waiting[process_name(slot.process)]:  # the agent works for it, not it itself
                slot.postpone(elapsed, now)
            elif absence > 0:  # messages that arrived while this process was suspended may be unread
                slot.postpone(absence, now)
            verdict = slot.overdue(self._job.timeouts, now)
            if verdict is not None:
                self._kill(slot, verdict, now)
            elif slot.dying_since is not None and now - slot.dying_since > _UNKILLABLE:
                self._reap(slot)
        self.reconcile()

    # --- gateway.Handler -------------------------------------------------------------------------------------------

    def host_connected(self, peer: Peer) -> None:
        """Send the host its spec. It replaces an earlier host, which is dead."""
        if self._host is not None:
            earlier = self._host
            self.host_gone(earlier)
            earlier.close()
        self._host = peer
        self._host_number += 1
        peer.send([messages.SPEC, asdict(self._spec)])

    def child_connected(self, peer: Peer, process: int) -> bool:
        """Send the child its spec; return False for a process that was not expected to connect."""
        slot = self._by_process.get(process)
        if slot is None or slot.state is not State.SPAWNING:
            return False
        slot.state, slot.connected, slot.device = State.STARTING, True, peer.device
        self._peers[process] = peer
        peer.send([messages.SPEC, asdict(self._spec)])
        return True

    def host_message(self, message: list[Any]) -> None:
        """Record the exit of a process."""
        slot = self._by_process.get(message[1])
        if slot is not None:
            slot.exit = Exit(*message[2:])
            if not slot.connected:  # its connection is closed, so all of its messages have been read
                self._reap(slot)

    def host_gone(self, peer: Peer) -> None:
        """Reap the children of a host that disconnected: they exit with it."""
        if self._host is peer:
            self._host = None
            for slot in self._slots:
                if slot.state is not State.GONE and not slot.connected:
                    self._reap(slot)

    def child_gone(self, peer: Peer, process: int) -> None:
        """Record that a child disconnected: it is dead or dying, and its host reports its exit."""
        if self._peers.get(process) is peer:
            del self._peers[process]
            slot = self._by_process[process]
            slot.connected = False
            if slot.exit is not None or self._host is None or slot.host != self._host_number:
                self._reap(slot)  # no host will report its exit
            elif slot.dying_since is None:
                slot.dying_since = self._clock()

    def child_message(self, process: int, message: list[Any], body: bytes) -> None:
        """Handle a message of a child."""
        slot = self._by_process.get(process)
        if slot is None:
            return
        kind, now = message[0], self._clock()
        if (kind in _ABOUT_RUNNING and not slot.work.runs(message[1], message[2])) or (
            kind == messages.BEGUN and not slot.work.begun(message[1], message[2], now)
        ):
            # The sender is not, or not only, the process that was sent this mini-batch.
            self.child_malformed(process, f"{kind} of mini-batch {message[1]}, attempt {message[2]}, out of turn")
        elif kind == messages.DONE:
            lease = slot.work.done(message[1], message[2], now)
            self._stager.release(lease)
            slot.took(message[6] / 1e6, blameless=slot.killed is not None)
            if not lease.abandoned:
                del self._held[message[1]]
                self._outbox.complete(message, process=process, rows=body)
        elif kind == messages.LOADED:
            slot.work.loaded(message[1], message[2], now)
        elif kind == messages.FAILED:
            _, number, attempt, items, category, text, trace, started, elapsed = message
            lease = slot.work.done(number, attempt, now)
            self._stager.release(lease)
            slot.took(elapsed, blameless=slot.killed is not None or category == errors.PROCESS_DIED)
            error, log = printable_error(category, text, trace), self._log("error", process)  # has the whole traceback
            if category == errors.SYSTEM:  # a local file is temporarily unreadable
                self._defer(lease, INPUT, text)
            else:
                self._fail(lease, process, items=items, error=error, times=(started, elapsed), log=log)
        else:
            self._life_message(slot, message, now)

    def _life_message(self, slot: Slot, message: list[Any], now: float) -> None:
        """Handle a child's message about init() or shutdown()."""
        if message[0] == messages.BYE:
            self.shutdowns.process_shut_down(slot)
        elif message[0] == messages.READY and slot.state is State.STARTING:
            self.shutdowns.process_ready(slot)
            slot.ready(now, message[2:], at_once=self._job.concurrency_per_process)
            self.report_now.set()
        elif message[0] == messages.INIT_FAILED and slot.state is State.STARTING and not slot.init_failed:
            slot.init_failed = True
            self._init_failed(slot, printable_error(*message[1:]))

    def child_malformed(self, process: int, why: str) -> None:
        """Disconnect and kill a process that sent an invalid message; its mini-batch fails as ProcessDied."""
        peer, slot = self._peers.get(process), self._by_process.get(process)
        if peer is not None and slot is not None:
            peer.close()
            if slot.killed is None:
                verdict = Verdict(errors.PROCESS_DIED, f"its process sent a malformed message: {why}")
                self._kill(slot, verdict, self._clock())

    def requested(self, peer: Peer, process: str, operation: str, values: Mapping[str, Any]) -> None:
        """Begin to answer a request of a script."""
        self._requests.start(peer, process, operation, values)

    def requester_gone(self, peer: Peer) -> None:
        """Cancel a request whose connection was closed."""
        self._requests.drop(peer)

    def is_busy(self, process: int) -> bool:
        """Return whether a child has so many mini-batches queued that reading its results can wait a moment."""
        slot = self._by_process.get(process)
        return slot is not None and len(slot.work) >= BUSY

    def reconcile(self) -> None:
        """Act on changes: spawn and feed processes, request leases and reports, and detect the end."""
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
        if self.leases_wanted():
            self.demand.set()
        if self._outbox.is_full() or (self.is_idle() and not self._outbox.batch.is_empty()):
            self.report_now.set()

    # --- stager.Callbacks ---------------------------------------------------------------------------------------------

    def staged(self, lease: Lease) -> None:
        """Queue a mini-batch whose input is staged."""
        self._ready.append(lease)
        self.reconcile()

    def not_staged(self, lease: Lease, error: tuple[str, str], times: tuple[float, float]) -> None:
        """Fail a mini-batch whose input cannot be staged."""
        self._fail(lease, -1, items=-1, error=(*error, ""), times=times, log="")
        self.reconcile()

    def deferred(self, lease: Lease, origin: str, message: str) -> None:
        """Defer a mini-batch whose input cannot be staged because infrastructure fails."""
        self._defer(lease, origin, message)
        self.reconcile()

    # --- inside ----------------------------------------------------------------------------------------------------

    def _release(self, leases: list[Lease]) -> None:
        """Release leases that no process has begun, for other workers."""
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
            self._requeue(earlier)

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

    def _kill(self, slot: Slot, cause: Verdict, now: float) -> None:
        slot.killed, slot.dying_since = cause, now
        if self._host is not None:
            dumped = cause.message if cause.category == errors.TIMEOUT else ""
            self._host.send([messages.KILL, slot.process, dumped])

    def _reap(self, slot: Slot) -> None:
        """Fail or requeue the mini-batches of a process that is dead, or that could not be killed."""
        if slot.state is State.GONE:
            return
        now = self._clock()
        peer = self._peers.pop(slot.process, None)
        cause, before_ready = slot.cause_of_death(), slot.state in (State.SPAWNING, State.STARTING)
        stacks = "" if slot.exit is None else slot.exit.stacks
        self.shutdowns.process_died(slot)
        running, waiting = slot.died(now)
        if peer is not None:
            peer.close()
        error, log = printable_error(cause.category, cause.message, stacks), self._log("stderr", slot.process)
        for lease, since in running:
            self._stager.release(lease)
            times = (clock.now() - (now - since), now - since)
            self._fail(lease, slot.process, items=-1, error=error, times=times, log=log)
        if before_ready and not slot.init_failed and not self.ending.is_set():
            self._init_failed(slot, error)
        self._requeue(waiting)

    def _requeue(self, leases: Iterable[Lease]) -> None:
        """Put leases that no process has begun first in the queue; discard abandoned ones."""
        every = list(leases)
        wanted = [each for each in every if not each.abandoned]
        for lease in every:
            if lease.abandoned:
                self._stager.release(lease)
        self._ready.extendleft(reversed(wanted))
        if wanted and self.ending.is_set():
            self._release(wanted)

    def _fail(
        self, lease: Lease, process: int, *, items: int, error: _Error, times: tuple[float, float], log: str
    ) -> None:
        if not lease.abandoned:
            grant, (category, message, trace) = lease.grant, error
            error = category, redacted(message), redacted(trace)
            del self._held[grant.mini_batch]
            self._outbox.fail(Failure(grant.mini_batch, grant.attempt, items, process, *error, *times, log))

    def _defer(self, lease: Lease, origin: str, message: str) -> None:
        if not lease.abandoned:
            del self._held[lease.grant.mini_batch]
            self._outbox.defer(Deferral(lease.grant.mini_batch, lease.grant.attempt, origin, message))

    def _note_failing(self, origin: str, message: str) -> None:
        """Report to the coordinator that a store or disk fails, which delays a request of a script."""
        self._outbox.defer(Deferral(-1, 0, origin, message))

    def _init_failed(self, slot: Slot, error: _Error) -> None:
        log = self._log("stderr", slot.process)
        self._outbox.init_failed(Failure(-1, 0, 0, slot.process, *error, clock.now(), 0.0, log))

    def _log(self, kind: str, process: int) -> str:
        suffix = "" if kind == "error" else "." + kind
        return f"logs/user/{kind}/{self._spec.worker}/{process_name(process)}{suffix}.txt"
