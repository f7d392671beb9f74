"""What the processes of a run register in shutdown(), and whether a shutdown() is still owed. No I/O.

An entry script's shutdown() runs once the mini-batches are done. A run whose workers were all lost before any
shutdown() ended is interrupted, and the next coordinator waits for a worker that runs it, because what it registers is
part of the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from longshore_protocol.job import Job
from longshore_protocol.registrations import MODEL, Registration, pack, read_registration, require_room

Entry = tuple[str, str]  # a registration as JSON, digest of its files


@dataclass
class Shutdowns:
    """The state of one run, restored from its ledger."""

    defined: bool = False  # the entry script has a shutdown()
    completed: bool = False  # one has ended
    tries: int = 0  # epochs that ended without one
    fault: str = ""  # why what a process registers cannot be read
    _entries: dict[str, list[Entry]] = field(default_factory=dict)  # by worker: those of its last agent

    def restore(self, record: Mapping[str, Any]) -> None:
        """Apply a record of the ledger."""
        self.defined = self.defined or record.get("defined", False)
        self.completed = self.completed or record.get("completed", False)
        self.tries += record.get("tries", 0)
        self.fault = record.get("fault", "")
        if "worker" in record:
            self._entries[record["worker"]] = [(text, digest) for text, digest in record["entries"]]

    def of_agent(self, worker: str, registered: list[list[Any]], shutdowns: int) -> dict[str, Any] | None:
        """Apply an agent's last report; return the record for the ledger, or None if no shutdown() ended.

        A later agent of a worker replaces what an earlier one reported, because its processes ran shutdown() again.
        """
        if not shutdowns:
            return None
        record: dict[str, Any] = {
            "completed": True,
            "worker": worker,
            "entries": [[text, digest] for _, text, digest in registered if text],
        }
        faults = [digest for _, text, digest in registered if not text]
        record |= {"fault": faults[0]} if faults else {}
        self.restore(record)
        return record

    def is_owed(self, job: Job) -> bool:
        """Return whether a shutdown() is to run before the run can succeed."""
        return self.defined and not self.completed and self.tries < job.max_tries

    def packed(self, job: Job) -> str:
        """Return the registrations of the run, those of its output last. Raises ValueError.

        Processes that register the same under one name register it once.
        """
        if self.fault:
            raise ValueError(self.fault)
        found: dict[Any, Registration] = {}
        for worker in sorted(self._entries):
            for text, digest in self._entries[worker]:
                given = read_registration(text)
                about = {**vars(given), "paths": digest if given.kind == MODEL else given.paths}
                found.setdefault(repr(sorted(about.items())), given)
        made = list(found.values())
        if job.output.registration is not None:
            made.append(job.output.registration)
        require_room(made)
        return pack(made)
