"""The code and settings that a run's rows depend on, recorded in the ledger by each epoch.

A run whose code or settings have changed is not resumed unless its user accepts that, because the output would mix rows
of both. A new file counts as a change if it is a module. Models and side inputs are compared by name, version and
location, and by the stamps of their files if these can be listed. Environment variables, and arguments with secrets in
URLs, are recorded as digests only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from longshore_coordinator.ledger import Ledger
from longshore_protocol.job import Job
from longshore_protocol.redaction import redacted
from longshore_storage.code_files import ALL_FILES, MOST_FILES, bounded
from longshore_storage.contents import contents_of
from longshore_storage.redaction import unsigned
from longshore_storage.store import Store

REPORT = "logs/sys/job_report/code.json"

_MAX_SHOWN = 5  # differences in a message
_MAX_LISTED = 10_000  # files of a model or side input whose stamps are compared: more take too long at each start
_MAX_VALUE = 80  # characters of a value in a message


def code_of(job: Job) -> dict[str, Any]:
    """Return the code and settings of a job as a record of the ledger: {"shown": {...}, "digests": {...}}.

    The keys of both describe their values in words. Blocks, because it lists models and side inputs.
    """
    shown = {"the entry script": job.entry_script, "the interpreter": job.runtime}
    digests = {_file(name): digest for name, digest in bounded(job.code, job.entry_script).items()}
    for number, value in enumerate(job.arguments, start=1):
        if redacted(value) == value:
            shown[f"argument {number}"] = value
        else:
            digests[f"argument {number}"] = _digest(f"{job.run_id} {unsigned(value)}")
    digests |= {
        f'the environment variable "{name}"': _digest(f"{job.run_id} {name} {value}")
        for name, value in job.variables.items()
    }
    if job.code_uri and not job.code:
        digests |= _contents("the source", [job.code_uri], names_files=True)
    for model in job.models:
        name = f'the model "{model.name}"'
        shown |= {f"the version of {name}": str(model.version), f"the location of {name}": _format_location(model.uri)}
        digests |= _contents(name, [model.uri])
    for side in job.side_inputs:
        name = f'the side input "{side.name}"'
        shown[f"the location of {name}"] = ", ".join(map(_format_location, side.uris))
        digests |= _contents(name, side.uris)
    return {"shown": {name: value for name, value in shown.items() if value}, "digests": digests}


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the differences between two records, one clause each."""
    found = []
    for kind in ("digests", "shown"):
        then, new = before.get(kind, {}), now.get(kind, {})
        for name in (*then, *(each for each in new if each not in then)):
            if then.get(name) == new.get(name) or _is_unknown(name, then, new):
                continue
            if name not in new:
                found.append(f"{name} was removed")
            elif name not in then:
                found += [f"{name} was added"] if _counts_when_added(name) else []
            elif kind == "shown":
                found.append(f"{name} changed from {_quoted(then[name])} to {_quoted(new[name])}")
            else:
                found.append(f"{name} changed")
    return found


def refusal(found: list[str]) -> str:
    """Return the message for a run that is not resumed because of the differences `found`."""
    more = len(found) - _MAX_SHOWN
    differences = "; ".join(found[:_MAX_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return (
        f"its rows were made with other code or settings: {differences}. Undo the change, start a new run, or accept "
        "rows of both (--accept-changed-code, on a cluster spec.acceptChangedCode: true)"
    )


@dataclass
class UsedCode:
    """One version of the code, and the mini-batches that were completed with it."""

    epochs: list[int]
    code: dict[str, Any] | None  # None if the epochs did not record it
    mini_batches: list[list[int]]  # sorted ranges, [first, last] each

    def count(self) -> int:
        """Return the number of mini-batches."""
        return sum(last - first + 1 for first, last in self.mini_batches)


def used_codes(records: Iterable[dict[str, Any]]) -> list[UsedCode]:
    """Return the versions of the code that completed mini-batches of a run, in the order of their first use."""
    used: list[tuple[list[int], dict[str, Any] | None, list[int]]] = []
    current: tuple[int, dict[str, Any] | None] = (0, None)
    seen = bytearray()  # a byte a mini-batch
    for record in records:
        if "code" in record:
            current = record["code"]["epoch"], {key: record["code"].get(key, {}) for key in ("shown", "digests")}
        elif "done" in record:
            _use(used, *current).extend(_unseen((raw[0] for raw in record["done"]["mini_batches"]), seen))
    return [UsedCode(epochs, code, _ranges(sorted(numbers))) for epochs, code, numbers in used if numbers]


def write_code_report(store: Store, ledger: Ledger) -> str:
    """Write the report of the mini-batches of each version of the code; return a clause about it, "" for one version.

    Raises OSError.
    """
    used = used_codes(ledger.records())
    if len(used) < 2:
        return ""
    report = [
        {
            "epochs": each.epochs,
            "miniBatches": each.mini_batches,
            "changes": [] if number == 0 else changes(used[number - 1].code or {}, each.code or {}),
            "code": each.code,
        }
        for number, each in enumerate(used)
    ]
    store.put(REPORT, json.dumps(report, indent=1).encode())
    counts = ", ".join(str(each.count()) for each in used)
    return f"{len(used)} versions of the code made the rows ({counts} mini-batches); {REPORT} lists them"


def _use(
    used: list[tuple[list[int], dict[str, Any] | None, list[int]]], epoch: int, code: dict[str, Any] | None
) -> list[int]:
    """Return the list of mini-batches of a version of the code, for the caller to extend; add it if it is new."""
    for epochs, known, numbers in used:
        if known == code or (known is not None and code is not None and not changes(known, code)):
            if epoch not in epochs:
                epochs.append(epoch)
            return numbers
    used.append(([epoch], code, []))
    return used[-1][2]


def _unseen(numbers: Iterable[int], seen: bytearray) -> Iterator[int]:
    """Yield the numbers that are not marked in `seen`, marking them."""
    for number in numbers:
        if number >= len(seen):
            seen.extend(bytes(number + 1 - len(seen)))
        if not seen[number]:
            seen[number] = 1
            yield number


def _ranges(numbers: Iterable[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def _contents(name: str, locations: Iterable[str], *, names_files: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the digest of the contents of some locations, if known; with `names_files`, also that of each file."""
    found = contents_of(locations, most=_MAX_LISTED)
    if not found.unknown:
        if names_files:
            yield from ((f'{_CONTENT}{_A_FILE}{file}"', digest) for file, digest in found.files.items())
        yield f"{_CONTENT}{name}", found.digest


def _is_unknown(name: str, then: dict[str, str], now: dict[str, str]) -> bool:
    """Return whether the contents of a location are missing in one of two records."""
    return name.startswith(_CONTENT) and not (name in then and name in now)


_CONTENT = "the content of "
SOURCE_CONTENT = f"{_CONTENT}the source"  # in a record, if the coordinator lists the source
_A_FILE = 'the file "'
_MODULES = (".py", ".so")


def _counts_when_added(name: str) -> bool:
    """Return whether an addition can change rows; a new source file can only if it is a module."""
    return not name.startswith(_A_FILE) or name.endswith(tuple(f'{suffix}"' for suffix in _MODULES))


def _file(name: str) -> str:
    return f"one of the more than {MOST_FILES:,} source files" if name == ALL_FILES else f'{_A_FILE}{name}"'


def _format_location(uri: str) -> str:
    return redacted(unsigned(uri))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _quoted(value: str) -> str:
    return json.dumps(value if len(value) <= _MAX_VALUE else f"{value[:_MAX_VALUE]}...", ensure_ascii=False)
