"""Leader election: of several operators the holder of a Lease works, the others stand by.

standby --acquire--> leader --renew--> leader --release (shutdown), or renewal fails for `renew_deadline`--> standby

A candidate never compares its clock with another machine's. It takes a Lease for expired when it has seen no change of
it for the Lease's whole duration, by its own monotonic clock. A leader stops acting `renew_deadline` seconds after the
last renewal that it *sent*, which is before anybody else may take the Lease for expired.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from longshore_operator.cluster.api import ApiError, Conflict, Manifest, NotFound

LEASE = "Lease"

_log = logging.getLogger("longshore.operator")


class Leases(Protocol):
    """The API server's Leases. Each call raises ApiError."""

    def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return the Lease, None when there is none."""

    def create(self, manifest: Manifest) -> object:
        """Create the Lease. Raises Conflict when there is one."""

    def replace(self, manifest: Manifest) -> None:
        """Replace the Lease whose metadata.resourceVersion this is. Raises Conflict, NotFound."""


@dataclass(frozen=True)
class Candidate:
    """Who stands for election, and for which Lease."""

    namespace: str
    name: str  # of the Lease
    identity: str  # of this process; no two may have the same one


@dataclass(frozen=True)
class Terms:
    """Times of an election, in seconds.

    A leader that is killed is followed within `duration` + `retry`. `renew_deadline` + the time that an API call may
    still take effect after it was sent must be less than `duration`.
    """

    duration: float = 10.0
    renew_deadline: float = 7.0
    retry: float = 1.0  # between tries, of leader and standby alike

    @staticmethod
    def of(duration: float) -> Terms:
        """Return the terms of Leases that last so long."""
        return Terms(duration, 0.7 * duration, 0.1 * duration)


class Election:
    """One candidate's part in an election.

    `started` is called when this process becomes the leader, `stopped` when it no longer is; both from the election's
    thread, which must go on renewing: they must not block for longer than a fraction of `terms.renew_deadline`.
    """

    def __init__(
        self,
        leases: Leases,
        candidate: Candidate,
        *,
        started: Callable[[], None],
        stopped: Callable[[], None],
        terms: Terms = Terms(),
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._leases = leases
        self._candidate = candidate
        self._started, self._stopped = started, stopped
        self._terms = terms
        self._clock, self._now = clock, now
        self._leads = False
        self._until = float("-inf")  # by the clock: until then this process may act as the leader
        self._observed: dict[str, Any] | None = None  # the Lease's spec
        self._observed_at = 0.0  # by the clock: when it was first read like this
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def leads(self) -> bool:
        """Whether this process may act as the leader now. Any thread may ask."""
        return self._clock() < self._until

    def start(self) -> None:
        """Stand for election, in a thread, until `stop`."""
        self._thread = threading.Thread(target=self._run, name="leader-election")
        self._thread.start()

    def stop(self) -> None:
        """End the thread and release the Lease, so that a standby takes over at once.

        Call it when nothing of the leader's work is in progress any more.
        """
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        self.release()

    def _run(self) -> None:
        while not self._ending.is_set():
            self.attempt()
            self._ending.wait(self._terms.retry)

    def attempt(self) -> None:
        """Try once to acquire or to renew the Lease, and report a change of leadership."""
        sent = self._clock()
        try:
            held = self._hold()
        except (ApiError, NotFound, OSError) as error:
            _log.warning("cannot reach Lease %s/%s: %s", self._candidate.namespace, self._candidate.name, error)
            held = None
        if held:
            self._until = sent + self._terms.renew_deadline
        elif held is not None:
            self._until = float("-inf")  # another operator holds it
        if self.leads == self._leads:
            return
        self._leads = self.leads
        if self._leads:
            _log.info("this operator (%s) is the leader", self._candidate.identity)
            self._started()
        else:
            _log.warning("this operator (%s) is no longer the leader", self._candidate.identity)
            self._stopped()

    def release(self) -> None:
        """Give the Lease back, if this process holds it."""
        held, self._until, self._leads = self._leads, float("-inf"), False
        if not held:
            return
        try:
            lease = self._leases.read(LEASE, self._candidate.namespace, self._candidate.name)
            if lease is not None and lease.get("spec", {}).get("holderIdentity") == self._candidate.identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                self._leases.replace(lease)
        except (ApiError, NotFound, OSError) as error:
            _log.warning("cannot release the Lease, which expires by itself: %s", error)

    def _hold(self) -> bool | None:
        """Acquire or renew the Lease; return whether this process holds it now, None when that is not known."""
        where = (self._candidate.namespace, self._candidate.name)
        lease = self._leases.read(LEASE, *where)
        if lease is None:
            metadata = {"namespace": where[0], "name": where[1]}
            manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": LEASE, "metadata": metadata}
            return self._write(self._leases.create, {**manifest, "spec": self._spec({})})
        spec = lease.get("spec") or {}
        if spec != self._observed:
            self._observed, self._observed_at = spec, self._clock()
        holder = spec.get("holderIdentity")
        if holder and holder != self._candidate.identity:
            duration = float(spec.get("leaseDurationSeconds") or self._terms.duration)
            if self._clock() < self._observed_at + duration:
                return False
        return self._write(self._leases.replace, {**lease, "spec": self._spec(spec)})

    @staticmethod
    def _write(write: Callable[[Manifest], object], lease: Manifest) -> bool | None:
        try:
            write(lease)
        except Conflict:  # another candidate was faster, or an earlier write of ours whose answer was lost
            return None
        return True

    def _spec(self, before: dict[str, Any]) -> dict[str, Any]:
        instant = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        renewed = {
            "holderIdentity": self._candidate.identity,
            "leaseDurationSeconds": round(self._terms.duration),
            "renewTime": instant,
        }
        if before.get("holderIdentity") == self._candidate.identity:
            return {**before, **renewed}
        changes = before.get("leaseTransitions")
        return {**renewed, "acquireTime": instant, "leaseTransitions": 0 if changes is None else changes + 1}
