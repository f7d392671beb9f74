"""Pack the result of a survey into the few bytes of a container's termination message.

Digests of files that do not fit are folded into one digest of their folder ("lib/"), the deepest folders first. The
choice depends on names only, for each source separately: a change in one source never looks like a change of another.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from longshore_agent.source_copies import DIGITS
from longshore_protocol.survey import ALL_FILES, ALL_INPUTS, SourceFound, SurveyResult
from longshore_protocol.termination import LIMIT

_ROOM = 3600  # bytes for digests; the rest is for git states and for errors of the estimates
_STEP = 512
_LEAST = 27  # the size of one digest in bytes


class ResultTooLargeError(Exception):
    """The result does not fit even when all digests are folded; the message is one sentence."""


def survey_message(result: SurveyResult) -> str:
    """Pack a result into at most LIMIT bytes, folding digests as necessary. Raises ResultTooLargeError."""
    inputs = {f"{step}/{name}": each for step, found in result.contents.items() for name, each in found.items()}
    room = _ROOM
    if inputs:
        most = max(0, _ROOM - _LEAST * len(result.sources)) // 2
        of_inputs = min(most, -(-_size(inputs) // _STEP) * _STEP)
        inputs, room = fold(inputs, of_inputs), _ROOM - of_inputs
    # Shares are powers of two and grow in large steps, so another source or input seldom changes how others are folded.
    share = room >> max(0, len(result.sources) - 1).bit_length()
    folded = SurveyResult(
        tuple(SourceFound(fold(each.files, share), each.git) for each in result.sources),
        {step: _of_step(step, found, inputs) for step, found in result.contents.items()},
    )
    without_git = replace(folded, sources=tuple(replace(each, git=None) for each in folded.sources))
    counted = {step: {name: _without_files(each) for name, each in held.items()} for step, held in result.held.items()}
    unfolded = {step: held for step, held in result.held.items() if ALL_INPUTS not in folded.contents[step]}
    for each in (
        replace(folded, held=unfolded),
        replace(folded, held={step: counted[step] for step in unfolded}),
        folded,
        without_git,
        replace(without_git, contents={}),
    ):
        if len(words := each.pack()) <= LIMIT:
            return words
    text = f"The digests of {len(result.sources)} sources exceed a termination message; let steps share sources."
    raise ResultTooLargeError(text)


def fold(digests: Mapping[str, str], room: int) -> dict[str, str]:
    """Return digests by name, with as few folders folded as possible so that they fit into `room` bytes when packed.

    As the last resort, one digest replaces all of them; it may still exceed `room`.
    """
    parents = {name[:end] for name in digests for end in _ends(name)}
    folders = [*sorted(parents, key=lambda each: (-each.count("/"), each)), ALL_FILES]
    number = bisect_left(
        range(len(folders)),
        True,
        key=lambda each: _size(_groups(digests, folders[:each])) <= room,
    )
    groups = _groups(digests, folders[:number])
    return {name: digests[name] if name in digests else _digest(each, digests) for name, each in groups.items()}


def _without_files(held: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contents of an input without the digests of its files."""
    return {key: each for key, each in held.items() if key != "files"}


def _of_step(step: str, found: Iterable[str], inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the digests of one step's inputs from those of all steps, which may be folded."""
    every = inputs.get(f"{step}/") or inputs.get(ALL_FILES)
    return {ALL_INPUTS: every} if every else {name: inputs[f"{step}/{name}"] for name in found}


def _groups(digests: Mapping[str, str], folders: Iterable[str]) -> dict[str, list[str]]:
    """Group names by the outermost folded folder that contains them; other names form their own groups."""
    known, groups = set(folders), dict[str, list[str]]()
    for name in sorted(digests):
        whole = [ALL_FILES] if ALL_FILES in known else (name[:end] for end in _ends(name) if name[:end] in known)
        groups.setdefault(next(iter(whole), name), []).append(name)
    return groups


def _ends(name: str) -> Iterable[int]:
    """Yield the end index of each parent folder in a file's name, the outermost first."""
    return (place + 1 for place, letter in enumerate(name) if letter == "/")


def _size(names: Iterable[str]) -> int:
    """Return roughly how many bytes digests of these names take when packed; random ones stand in for them."""
    text = json.dumps({each: _hashed(each) for each in names}, separators=(",", ":"), ensure_ascii=False)
    return len(base64.b64encode(zlib.compress(text.encode("utf-8", "surrogateescape"), 9)))


def _digest(names: Iterable[str], digests: Mapping[str, str]) -> str:
    return _hashed("\n".join(f"{name}\0{digests[name]}" for name in names))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]
