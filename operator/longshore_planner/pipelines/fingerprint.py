"""Fingerprints: everything in which two runs of a step must be equal for the later one to reuse the earlier outputs.

A fingerprint is stored as its parts, so that a status can name the differences when a step runs again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from longshore_api.errors import listed, shown
from longshore_storage.redaction import recorded

_SURROGATE = re.compile("[\ud800-\udfff]")
_DIFFERENCES_SHOWN = 3  # per sentence
_FILES = 3  # names per list of files

HELD = "held"  # the part with details of inputs, used in messages, not in the digest
_CONTENTS, _MODE = "contents", "contentFingerprint"


def comparable(parts: dict[str, Any]) -> dict[str, Any]:
    """Return parts in a normal form that every store preserves and every user may read.

    5.0 becomes 5, empty values are left out because they equal absent ones, and URLs lose their secrets.
    """
    kept = {key: _kept(each) for key, each in parts.items()}
    return {key: each for key, each in kept.items() if each not in (None, "", {}, [])}


def _kept(value: Any) -> Any:
    match value:
        case dict():
            return comparable(value)
        case list():
            return [_kept(each) for each in value]
        case str():
            return recorded(value)
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def digest(parts: Mapping[str, Any]) -> str:
    """Return the digest of parts, 32 hexadecimal digits, independent of the order of keys."""
    compared = {key: each for key, each in parts.items() if key != HELD}
    text = json.dumps(compared, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # File names that are not UTF-8 contain surrogates, which API servers replace by this character.
    return hashlib.sha256(_SURROGATE.sub("\ufffd", text).encode()).hexdigest()[:32]


def without_contents(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts without the contents of inputs and models."""
    return {key: each for key, each in parts.items() if key not in (_CONTENTS, _MODE, HELD)}


def why_not(parts: Mapping[str, Any], nearest: Mapping[str, Any]) -> str:
    """Return one sentence with the differences between a step and its nearest earlier run."""
    found = list(differences(parts, nearest))
    if not found:
        return "nothing changed"
    words = [each for each, _ in zip(found, range(_DIFFERENCES_SHOWN), strict=False)]
    if len(found) > _DIFFERENCES_SHOWN:
        words.append(f"{len(found) - _DIFFERENCES_SHOWN} more")
    return "; ".join(words)


def distance(parts: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """Return the number of differences."""
    return sum(1 for _ in differences(parts, other))


def differences(parts: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """Yield each difference as a phrase, the step's own differences before those of the steps that it reads."""
    if parts.get("kind") != other.get("kind"):
        yield f"the kind of step changed from {other.get('kind')} to {parts.get('kind')}"
    yield from _code(parts.get("code", {}), other.get("code", {}))
    if parts.get("entry") != other.get("entry"):
        yield f"the script changed from {other.get('entry')} to {parts.get('entry')}"
    yield from _arguments(parts.get("arguments", []), other.get("arguments", []))
    yield from _values("param", parts, other, "params")
    yield from _environment(parts.get("environment", {}), other.get("environment", {}))
    yield from (f"model {name} changed" for name in _changed(parts, other, "models"))
    yield from (f"input {name} changed" for name in _changed(parts, other, "inputs"))
    yield from _contents(parts, other)
    yield from (f"output {name} changed" for name in _changed(parts, other, "outputs"))
    yield from _values("", parts, other, "settings", absent="the default")
    if parts.get("version", "") != other.get("version", ""):
        yield f"version changed from {shown(other.get('version', ''))} to {shown(parts.get('version', ''))}"
    again = _changed(parts, other, "steps")
    if again:
        yield f"step{'s' * (len(again) > 1)} {listed(again)}, which it reads from, ran again"


def _code(now: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    changed = [name for name in sorted({*now, *before}) if now.get(name) != before.get(name)]
    if changed:
        names = changed if len(changed) <= _FILES else [*changed[: _FILES - 1], f"{len(changed) - _FILES + 1} more"]
        yield f"code changed: {listed(names)}"


def _contents(parts: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """Yield the differences between files of inputs and models, as far as both runs recorded them."""
    if _CONTENTS not in parts:
        return
    if _CONTENTS not in other:
        yield "the earlier run did not record the contents of its inputs"
        return
    mode, before = (each.get(_MODE, "stamps") for each in (parts, other))
    if mode != before:
        yield f"contentFingerprint changed from {before} to {mode}"
        return
    held, earlier = parts.get(HELD, {}), other.get(HELD, {})
    for name in (each for each in _changed(parts, other, _CONTENTS) if each in parts[_CONTENTS]):
        if name in other[_CONTENTS]:
            yield f"{_label(name)}: {_held_difference(held.get(name, {}), earlier.get(name, {}))}"
        elif _is_same(name, parts, other):  # otherwise the input itself changed, which is yielded already
            yield f"{_label(name)}: one of the two runs did not record its files"


def _label(name: str) -> str:
    kind, _, rest = name.partition(" ")
    return f'{kind} "{rest}"' if rest else "the inputs"


def _is_same(name: str, parts: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether an input or model, given by the name of its contents, has the same paths in both runs."""
    kind, _, rest = name.partition(" ")
    part = "models" if kind == "model" else "inputs"
    return bool((parts.get(part) or {}).get(rest) == (other.get(part) or {}).get(rest))


def _held_difference(now: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """Return a sentence that names the files of an input that differ."""
    if now.get("unknown"):
        return f"its files cannot be compared: {now['unknown']}"
    if before.get("unknown"):
        return f"its files could not be compared in the earlier run: {before['unknown']}"
    files, earlier = now.get("files", {}), before.get("files", {})
    count, count_before = now.get("count", 0), before.get("count", 0)
    if len(files) < count or len(earlier) < count_before:
        if count != count_before:
            return f"it has {count:,} files, and had {count_before:,}; which ones differ was not recorded"
        return f"one or more of its {count:,} files changed; which ones was not recorded"
    changes = [
        f'the file "{name}" {"was added" if name not in earlier else "was removed" if name not in files else "changed"}'
        for name in sorted({*files, *earlier})
        if files.get(name) != earlier.get(name)
    ]
    more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
    return f"{changes[0]}{more}" if changes else "its files changed"


def _arguments(now: list[str], before: list[str]) -> Iterator[str]:
    for number, (value, earlier) in enumerate(zip(now, before, strict=False), start=1):
        if value != earlier:
            yield f"argument {number} changed from {earlier} to {value}"
    if len(now) > len(before):
        yield f"arguments were added: {' '.join(now[len(before) :])}"
    if len(now) < len(before):
        yield f"arguments were removed: {' '.join(before[len(now) :])}"


def _environment(now: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    for name in ("image", "python"):
        if now.get(name) != before.get(name):
            change = f"from {_format_value(before.get(name))} to {_format_value(now.get(name))}"
            yield f"the environment's {name} changed {change}"
    installed, earlier = now.get("packages", {}), before.get("packages", {})
    for name, shown_as in (("requirements", "packages"), ("python", "Python versions"), ("indexes", "package indexes")):
        added, removed = installed.get(name, []), earlier.get(name, [])
        if added != removed:
            change = f"from {_without(removed, added)} to {_without(added, removed)}"
            yield f"the environment's {shown_as} changed {change}"
    yield from _values("environment variable", now, before, "variables")


def _without(names: Sequence[str], others: Sequence[str]) -> str:
    """Return the names that the others lack, at most _FILES of them."""
    left = [each for each in names if each not in others]
    return listed(left if len(left) <= _FILES else [*left[: _FILES - 1], f"{len(left) - _FILES + 1} more"])


def _values(
    what: str, parts: Mapping[str, Any], other: Mapping[str, Any], part: str, *, absent: str = "none"
) -> Iterator[str]:
    now, before = parts.get(part, {}), other.get(part, {})
    for name in _changed(parts, other, part):
        change = (
            f"from {_format_value(before.get(name), absent=absent)} to {_format_value(now.get(name), absent=absent)}"
        )
        yield f"{what} {name} changed {change}".lstrip()


def _changed(parts: Mapping[str, Any], other: Mapping[str, Any], part: str) -> list[str]:
    now, before = parts.get(part) or {}, other.get(part) or {}
    return [name for name in sorted({*now, *before}) if now.get(name) != before.get(name)]


def _format_value(value: Any, *, absent: str = "none") -> str:
    if value is None:
        return absent
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
