"""The agent's main loop: register with the coordinator, then lease and report concurrently until the step ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import tempfile
import weakref
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from tenacity import AsyncRetrying, Retrying, stop_after_attempt

from longshore_agent import gateway, staging
from longshore_agent.coordinator_client import CoordinatorClient, Orders, Superseded
from longshore_agent.named_files import NamedFiles
from longshore_agent.named_operations import requests_of
from longshore_agent.outbox import Batch
from longshore_agent.paths import paths_of
from longshore_agent.preparing import prepare
from longshore_agent.registering import collect_registrations, content_digest
from longshore_agent.resources import ResourceMonitor
from longshore_agent.shipping import Shipper
from longshore_agent.unreadable import GRAIN, Suspects, UnreadableError
from longshore_agent.worker import Worker
from longshore_protocol import wire
from longshore_protocol.job import Job
from longshore_protocol.wire import Completion, Failure
from longshore_storage.retrying import policy
from longshore_storage.store import Store, open_store

_T = TypeVar("_T")
_REPORT_SECONDS = 1.0  # the longest time that a result waits before it is reported
_HEARTBEAT = 2.0  # seconds between reports while there is nothing to report
_WRITE_ATTEMPTS = 5
_SLOW_WRITE = 30.0  # seconds after which an unfinished write is reported
_RECHECK_SECONDS = 0.5  # between two attempts to read files whose mode does not allow it
_SHIP_SECONDS = 2.0  # between two uploads of changed logs to the run folder
_DEREGISTER_SECONDS = 5.0  # the coordinator may have exited before the agent
_FAILURES_PER_REPORT = 200  # each may carry 20 long lines of a traceback; the coordinator accepts 64 MB


@dataclass(frozen=True)
class Settings:
    """Settings of an agent, read from its environment variables."""

    coordinator: str  # URL
    token: str
    worker: str
    socket_path: str
    work_dir: str | None = None  # parent of the processes' private folders; None: a temporary folder
    stage_dir: str | None = None  # for staged inputs, read-only to the processes; None: beside their folders
    patience: float = 300.0  # seconds to retry calls that the coordinator does not answer
    ca: str | None = None  # file with the certificate authority of the coordinator


async def run_agent(settings: Settings, listening: socket.socket) -> None:
    """Serve the coordinator until the step ends or SIGTERM arrives.

    Whenever a new coordinator has taken over, the agent drops all leases and registers again.

    Args:
        settings: The agent's settings.
        listening: The bound Unix socket on which host and child processes connect.

    Raises:
        Refused: The coordinator rejects this agent permanently.
        Unreachable: No coordinator answered for `settings.patience` seconds.
        StagingError: The job's source, models or side inputs cannot be staged.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    with tempfile.TemporaryDirectory(prefix="longshore-", dir=settings.work_dir) as work_dir:
        if settings.work_dir is not None:
            os.chmod(work_dir, 0o770)  # noqa: S103  (the host may run as another user of our group)
        async with CoordinatorClient(
            settings.coordinator,
            token=settings.token,
            worker=settings.worker,
            patience=settings.patience,
            ca=settings.ca,
        ) as client:
            peers: weakref.WeakSet[gateway.Peer] = weakref.WeakSet()  # each lives as long as its connection
            agent: Agent | None = None

            def make_peer() -> gateway.Peer:
                assert agent is not None, "peers are accepted once an agent is registered"
                peer = gateway.Peer(agent.worker)
                peers.add(peer)
                return peer

            server: asyncio.AbstractServer | None = None
            while True:
                # Random: segment names contain it, and the pid of a restarted container is the same again.
                registration = await _unless_stopped(stopping, client.register(secrets.token_hex(4)))
                if registration is None:
                    return
                job = registration.job
                paths = paths_of(job, worker=settings.worker, shared=os.path.dirname(work_dir))
                paths.make()
                identity = (registration.agent, registration.epoch)
                try:
                    data = await _unless_stopped(stopping, prepare(job, paths, client, identity))
                except Superseded:
                    continue
                if data is None:
                    with contextlib.suppress(TimeoutError, Superseded):
                        async with asyncio.timeout(_DEREGISTER_SECONDS):
                            await client.deregister()
                    return
                spec = staging.host_spec(
                    job, data, worker=settings.worker, work_dir=work_dir, paths=paths, agent=registration.agent
                )
                shipper = Shipper(job, paths, worker=settings.worker, private=tempfile.gettempdir())
                folder = paths.named if settings.stage_dir is None else f"{settings.stage_dir}/named"
                named = NamedFiles(folder, patience=job.timeouts.storage)
                worker = Worker(
                    job,
                    spec,
                    agent=registration.agent,
                    copies=data.copies,
                    staged=settings.stage_dir,
                    requests=requests_of(job, named, exchange=work_dir),
                    named=named,
                )
                agent = Agent(client, job, worker, identity=identity, shipper=shipper, registrations=spec.registrations)
                for peer in list(peers):  # host and children of the old epoch exit; the host then reconnects
                    peer.close()
                peers.clear()
                if server is None:
                    server = await gateway.serve(listening, make_peer)
                try:
                    await agent.work(stopping)
                except Superseded:
                    continue
                server.close()
                return


class Agent:
    """The work of one registration: leases, reports, timeouts, resource samples and uploads."""

    def __init__(
        self,
        client: CoordinatorClient,
        job: Job,
        worker: Worker,
        *,
        identity: tuple[str, int],
        shipper: Shipper,
        registrations: str = "",
    ) -> None:
        self.worker = worker
        self._client = client
        self._job = job
        self._identity = identity
        self._shipper = shipper
        self._registrations = registrations
        self._suspects = Suspects()
        self._awaits_files = False  # a report waits until scripts make their files readable
        self._segments: Store = open_store(job.run_uri)
        self._resources = ResourceMonitor(self._segments, worker.name, interval=job.resource_monitor_interval)
        self._sending = asyncio.Lock()
        self._clock = asyncio.get_running_loop().time
        self._sent = self._clock()
        self._renew_every = wire.lease_term(job.timeouts) / 4
        self._renew_at = self._clock() + self._renew_every

    async def work(self, stopping: asyncio.Event) -> None:
        """Work until the step ends, or drain and return once `stopping` is set.

        Raises:
            Superseded: A new coordinator took over.
            Refused: The coordinator rejects this agent permanently.
            Unreachable: No coordinator answered in time.
        """
        tasks = [
            asyncio.create_task(each)
            for each in (self._lease(), self._report(), self._watch(), self._monitor(), self._drain_when(stopping))
        ]
        if self._shipper.ships_logs:
            tasks.append(asyncio.create_task(self._ship_logs()))
        ended = asyncio.create_task(_wait(self.worker.ended))
        try:
            await asyncio.wait({ended, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # raises the exception that ended the task
        finally:
            async with self._sending:  # a report in flight holds results and must not be cancelled
                for task in (ended, *tasks):
                    task.cancel()
            await asyncio.gather(ended, *tasks, return_exceptions=True)
            await self.worker.close()
        await self._send()
        await self._register()
        if self._shipper.ships_logs or self._shipper.ships_output:
            await asyncio.to_thread(self._ship_remaining)
        await self._client.deregister()

    async def _register(self) -> None:
        """Upload and report what processes registered in shutdown(); the step waits for it."""
        worker, (name, epoch) = self.worker, self._identity
        if not worker.shutdowns.completed and not worker.shutdowns.failed:
            return
        collecting = asyncio.create_task(asyncio.to_thread(self._collect))
        while not (await asyncio.wait({collecting}, timeout=_HEARTBEAT))[0]:
            processes = [{"state": wire.REGISTERING}]
            await self._client.report(wire.report(name, epoch, processes=processes))
        try:
            registered = collecting.result()
        except OSError as error:  # no shutdown() counts as ended: the run is interrupted, and can be resumed
            sys.stderr.write(f"longshore-agent: what shutdown() registers cannot be uploaded: {error}\n")
            return
        shutdowns = len(worker.shutdowns.completed) + worker.shutdowns.failed
        await self._client.report(wire.report(name, epoch, registered=registered, shutdowns=shutdowns))

    def _collect(self) -> list[list[Any]]:
        """Upload the files that processes register; return the registrations for a report. Blocking."""
        found: list[list[Any]] = []
        for process in self.worker.shutdowns.completed:
            folder = os.path.join(self._registrations, wire.process_name(process))
            collect = partial(collect_registrations, folder, self._segments, outputs=[self._job.output.name])
            try:
                made = Retrying(**policy(_is_retried, stop=stop_after_attempt(_WRITE_ATTEMPTS)))(collect)
            except ValueError as error:
                found.append([process, "", f"the Models and Datasets of shutdown() cannot be registered: {error}"])
            else:
                found += [[process, each.to_json(), content_digest(folder, each)] for each in made]
        return found

    async def _lease(self) -> None:
        while True:
            await self.worker.demand.wait()
            self.worker.demand.clear()
            wanted = self.worker.leases_wanted()
            if not wanted:
                continue
            granted, orders = await self._client.lease(wanted)
            self.worker.take([staging.stage(self._job, grant) for grant in granted])
            if self._obey(orders):
                return await _forever()
            if not granted:
                self.worker.demand.set()  # the long poll timed out without work: repeat it

    async def _report(self) -> None:
        """Report results every second, or at once when there are many or the worker is idle; send heartbeats."""
        while True:
            # Not wait_for: until Python 3.11 it can lose a cancellation that coincides with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_REPORT_SECONDS, self._renew_every)):
                    await self.worker.report_now.wait()
            self.worker.report_now.clear()
            now = self._clock()
            if not self.worker.outbox.batch.is_empty() or now >= min(self._sent + _HEARTBEAT, self._renew_at):
                await self._send()

    async def _send(self) -> None:
        async with self._sending:
            await self._deliver(self.worker.outbox.take())

    async def _deliver(self, batch: Batch) -> None:
        name, epoch = self._identity
        self._sent = self._clock()
        # Output of failed attempts is uploaded before they are reported: the retry elsewhere must overwrite it.
        if batch.rows or (self._shipper.ships_output and (batch.completed or batch.failed)):
            await self._write(batch)
        while len(batch.failed) > _FAILURES_PER_REPORT:
            some, batch.failed = batch.failed[:_FAILURES_PER_REPORT], batch.failed[_FAILURES_PER_REPORT:]
            await self._send_report(wire.report(name, epoch, failed=some, processes=self.worker.states()))
        now = self._clock()
        held: list[list[int]] = []
        if now >= self._renew_at:
            held, self._renew_at = self.worker.held(), now + self._renew_every
        await self._send_report(
            wire.report(
                name,
                epoch,
                segment=batch.segment,
                bytes=batch.size,
                digests=batch.digests,
                headers=batch.headers,
                completed=batch.completed,
                failed=batch.failed,
                returned=batch.returned,
                deferred=batch.deferred,
                held=held,
                init_failed=batch.init_failed,
                processes=self.worker.states(),
                fetched=self.worker.fetched,
            )
        )

    async def _send_report(self, report: dict[str, Any]) -> None:
        orders = await self._client.report(report)
        if orders.lost:  # only the attempts in this report: later ones may have been granted meanwhile
            lost = set(orders.lost)
            self.worker.forget([pair for pair in report["held"] if pair[0] in lost])
        self._obey(orders)

    async def _write(self, batch: Batch) -> None:
        """Write rows and output files; defer the batch's results when the store keeps failing."""
        rows = await asyncio.to_thread(batch.seal)  # hashes several megabytes
        try:
            await AsyncRetrying(**policy(_is_retried, stop=stop_after_attempt(_WRITE_ATTEMPTS)))(self._put, batch, rows)
        except UnreadableError as error:
            later = self.worker.outbox.batch
            others: list[Completion | Failure] = [*batch.failed, *later.completed, *later.failed]
            batch.refuse(self._suspects.judge(error.files, batch.completed, others))
        except OSError as error:
            batch.defer(str(error))

    async def _put(self, batch: Batch, rows: bytes) -> None:
        """Make results durable. Leases are renewed meanwhile, so that none expires while the store is slow."""
        writing, began = asyncio.create_task(self._put_results(batch.segment, rows)), self._clock()
        while not (await asyncio.wait({writing}, timeout=self._renew_every))[0]:
            unreported = [[done.mini_batch, done.attempt] for done in batch.completed]
            elapsed, deferred = self._clock() - began, []
            if elapsed > _SLOW_WRITE and not self._awaits_files:  # it may never end: report the cause
                text = f"writing {self._segments.child(batch.segment)} has taken {elapsed:.0f} s so far"
                deferred = [wire.Deferral(-1, 0, wire.STORE, text)]
            held = self.worker.held() + unreported
            states, fetched = self.worker.states(), self.worker.fetched
            await self._send_report(
                wire.report(*self._identity, held=held, deferred=deferred, processes=states, fetched=fetched)
            )
        writing.result()

    async def _put_results(self, segment: str, rows: bytes) -> None:
        """Write a segment and upload the files that scripts wrote.

        Raises:
            UnreadableError: The agent may not read some files, and no running mini-batch can change that.
            OSError: Anything else cannot be written; the message names the target.
        """
        if rows:
            try:
                await asyncio.to_thread(self._segments.put, segment, rows)
            except OSError as error:
                raise _write_error(self._segments.child(segment), error) from error
        try:
            while True:
                try:
                    return await asyncio.to_thread(self._shipper.ship_output)
                except UnreadableError as error:
                    changed = [each.changed for each in error.files if not self._suspects.is_known(each)]
                    if max(changed, default=0.0) + GRAIN < self.worker.oldest_begin() or self.worker.ended.is_set():
                        raise
                    self._awaits_files = True  # the running mini-batch may still make them readable
                await asyncio.sleep(_RECHECK_SECONDS)
        except UnreadableError:
            raise
        except OSError as error:
            raise _write_error(self._job.output.uri, error) from error
        finally:
            self._awaits_files = False

    async def _ship_logs(self) -> None:
        while True:
            await asyncio.sleep(_SHIP_SECONDS)
            try:
                await asyncio.to_thread(self._shipper.ship_logs)
            except OSError as error:
                sys.stderr.write(f"longshore-agent: logs could not be uploaded and will be retried: {error}\n")

    def _ship_remaining(self) -> None:
        """Upload all logs and the output of failed mini-batches and of shutdown(). Blocking."""
        try:
            for attempt in Retrying(**policy(_is_retried, stop=stop_after_attempt(_WRITE_ATTEMPTS))):
                with attempt:
                    self._shipper.ship_output()
                    self._shipper.ship_logs(all_of_them=True)
        except OSError as error:
            sys.stderr.write(f"longshore-agent: some logs or output could not be uploaded: {error}\n")

    async def _watch(self) -> None:
        """Check timeouts, several times within the shortest of them."""
        timeouts = self._job.timeouts
        pause = max(0.02, min(0.5, timeouts.run_invocation / 10, timeouts.init / 10))
        while True:
            await asyncio.sleep(pause)
            self.worker.tick()

    async def _monitor(self) -> None:
        """Record resource usage; the last sample is taken before the processes exit."""
        await self._resources.run(self.worker.pids, self.worker.ending)
        await _forever()

    async def _drain_when(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self.worker.drain()
        await _forever()

    def _obey(self, orders: Orders) -> bool:
        """Carry out the coordinator's orders; return whether leasing must end."""
        if orders.stop:
            self.worker.stop()
        elif orders.drain or orders.finished:
            self.worker.drain()
        return orders.stop or orders.drain or orders.finished


async def _unless_stopped(stopping: asyncio.Event, coroutine: Coroutine[Any, Any, _T]) -> _T | None:
    """Return the result of `coroutine`; cancel it and return None once `stopping` is set."""
    task, stop = asyncio.create_task(coroutine), asyncio.create_task(_wait(stopping))
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        stop.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)


def _is_retried(error: BaseException) -> bool:
    return isinstance(error, OSError) and not isinstance(error, UnreadableError)


def _write_error(target: str, error: OSError) -> OSError:
    return OSError(f"cannot write {target}: {error.strerror or error}")


async def _forever() -> None:
    await asyncio.Event().wait()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
