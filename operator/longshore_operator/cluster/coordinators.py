"""What the operator asks of coordinators. No call blocks: a `Poller` asks them, apart from reconciles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from longshore_client import api
from longshore_client.api import CoordinatorError
from longshore_protocol.snapshot import Snapshot

__all__ = ["AnswerPending", "CoordinatorError", "Coordinators", "Endpoint", "Polled"]


class AnswerPending(Exception):
    """The coordinator has not answered yet; its step is requeued as soon as it has, or has failed to."""


@dataclass(frozen=True)
class Endpoint:
    """The coordinator of one step."""

    namespace: str
    step: str
    http: api.Endpoint


@dataclass(frozen=True)
class Polled:
    """A snapshot, and which pods were known to have ended when it was asked for."""

    snapshot: Snapshot
    ended: frozenset[str] = frozenset()  # uids


class Coordinators(Protocol):
    """All that the operator asks of coordinators."""

    @property
    def interval(self) -> float:
        """Seconds between two snapshots of one coordinator."""

    def snapshot(self, endpoint: Endpoint, *, generation: int, ended: frozenset[str]) -> Polled:
        """Return the latest snapshot, which was asked for after the step's spec had this generation.

        `ended` are the uids of the step's pods that have ended. When the coordinator has not been asked since one of
        them did, it is asked at once.

        Raises AnswerPending; CoordinatorError when the latest call failed.
        """

    def gone(self, endpoint: Endpoint, worker: str) -> bool:
        """Report that a worker's agent is dead; return whether the coordinator has acknowledged that, once per report.

        A new agent of that name may start then, and not before: it would be taken for the dead one. True as well when
        the coordinator does not answer.
        """

    def drain(self, endpoint: Endpoint, worker: str) -> None:
        """Ask that a worker's agent ends, without the loss of a try; it exits with code 0 when it has finished.

        This concerns the agent that is registered when the request arrives, if any; a later one of that name may work.
        """
