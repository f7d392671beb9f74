"""What the rows of a run depend on besides its inputs: its code and settings, recorded in the ledger by each epoch.

A run whose code or settings changed since is not resumed unless its user accepts that: rows of both would stand in one
output. A file that was added counts if it is a module. Models and side inputs count by name, version and place, and by
the stamps of their files where these can be listed. The environment's variables are kept as digests, because they may
hold secrets, as are arguments with the secrets of URLs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from longshore_coordinator.ledger import Ledger
from longshore_protocol.job import Job
from longshore_storage.code_files import ALL_FILES, MOST_FILES, bounded
from longshore_storage.contents import contents_of
from longshore_storage.redaction import redacted, unsigned
from longshore_storage.store import Store

REPORT = "logs/sys/job_report/code.json"

_SHOWN = 5  # differences in a sentence
_MOST_LISTED = 10_000  # files of a model or side input whose stamps are compared: more take too long at each start
_LONGEST = 80  # characters of a value in a sentence


def code_of(job: Job) -> dict[str, Any]:
    """Return the code and settings of a job as a record of the ledger: {"shown": {...}, "digests": {...}}.

    Keys of both name what they are the value or the digest of. Blocks: lists models and side inputs.
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
        shown |= {f"the version of {name}": str(model.version), f"the location of {name}": _place(model.uri)}
        digests |= _contents(name, [model.uri])
    for side in job.side_inputs:
        name = f'the side input "{side.name}"'
        shown[f"the location of {name}"] = ", ".join(map(_place, side.uris))
        digests |= _contents(name, side.uris)
    return {"shown": {name: value for name, value in shown.items() if value}, "digests": digests}


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return each difference between two records in a few words."""
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
    """Return why a run is not resumed, and how it can be."""
    told = "; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
    return (
        f"its rows were made with other code or settings: {told}. Undo the change, start a new run, or go on with rows "
        "of both (--accept-changed-code, on a cluster spec.acceptChangedCode: true)"
    )


@dataclass
class UsedCode:
    """Code with which mini-batches were completed."""

    epochs: list[int]
    code: dict[str, Any] | None  # None: completed before codes were recorded
    mini_batches: list[list[int]]  # first and last number of each range, in order

    def count(self) -> int:
        """Return how many mini-batches these are."""
        return sum(last - first + 1 for first, last in self.mini_batches)


def used_codes(records: Iterable[dict[str, Any]]) -> list[UsedCode]:
    """Return each code that completed mini-batches of a run, in the order in which they were first used."""
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
    """Write which mini-batches came of which code; return that in a few words, "" for a run of one code.

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
    return f"{len(used)} codes made the rows ({counts} mini-batches): see {REPORT}"


def _use(
    used: list[tuple[list[int], dict[str, Any] | None, list[int]]], epoch: int, code: dict[str, Any] | None
) -> list[int]:
    """Return the numbers of the mini-batches of a code, to which those of an epoch are added."""
    for epochs, known, numbers in used:
        if known == code or (known is not None and code is not None and not changes(known, code)):
            if epoch not in epochs:
                epochs.append(epoch)
            return numbers
    used.append(([epoch], code, []))
    return used[-1][2]


def _unseen(numbers: Iterable[int], seen: bytearray) -> Iterator[int]:
    """Yield the numbers that are not marked in `seen`, and mark them."""
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


def _contents(name: str, places: Iterable[str], *, names_files: bool = False) -> Iterator[tuple[str, str]]:
    """Yield what some places hold, if it is known, and with `names_files` what each file of few does."""
    found = contents_of(places, most=_MOST_LISTED)
    if not found.unknown:
        if names_files:
            yield from ((f'{_CONTENT}{_A_FILE}{file}"', digest) for file, digest in found.files.items())
        yield f"{_CONTENT}{name}", found.digest


def _is_unknown(name: str, then: dict[str, str], now: dict[str, str]) -> bool:
    """Return whether what a place held is not known of one of two times."""
    return name.startswith(_CONTENT) and not (name in then and name in now)


_CONTENT = "the content of "
_A_FILE = 'the file "'
_MODULES = (".py", ".so")


def _counts_when_added(name: str) -> bool:
    """Return whether something new makes other rows: a file that nothing read before does only as a module."""
    return not name.startswith(_A_FILE) or name.endswith(tuple(f'{suffix}"' for suffix in _MODULES))


def _file(name: str) -> str:
    return f"one of the more than {MOST_FILES:,} source files" if name == ALL_FILES else f'{_A_FILE}{name}"'


def _place(uri: str) -> str:
    return redacted(unsigned(uri))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _quoted(value: str) -> str:
    return json.dumps(value if len(value) <= _LONGEST else f"{value[:_LONGEST]}...", ensure_ascii=False)
