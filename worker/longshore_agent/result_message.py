"""Encode the result of a task into the few bytes of a termination message."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from longshore_protocol.script_job import ScriptResult
from longshore_protocol.termination import LIMIT, shortened
from longshore_protocol.text import printable

_LONGEST = 1000  # characters of the message that take precedence over metrics
_CUTS = (500, 200, 50, 0)  # characters that texts are cut to, in turn, until the result fits


def result_message(result: ScriptResult) -> str:
    """Return the result as JSON of at most LIMIT bytes.

    Metrics are dropped, the largest first, until the rest fits; the run folder has all of them.
    """
    # Unpaired surrogates exist in Python texts only, and the API server would reject a status with them.
    text = json.dumps(asdict(result), ensure_ascii=False).encode("utf-8", "replace")
    result = _shortened(ScriptResult.from_json(text.decode()), _LONGEST)
    result = replace(result, message=printable(result.message, LIMIT))
    kept = dict(result.metrics)
    # Including the comma before each but the first.
    sizes = {name: len(json.dumps({name: value}, separators=(",", ":"))) - 1 for name, value in kept.items()}
    size = len(replace(result, metrics={}).to_json()) + sum(sizes.values())
    for name in sorted(sizes, key=lambda each: sizes[each], reverse=True):
        if size <= LIMIT:
            break
        size -= sizes[name]
        del kept[name]
    result = replace(result, metrics=kept)
    for length in _CUTS:
        if len(result.to_json()) <= LIMIT:
            break
        result = _shortened(result, length)
    return result.to_json()


def _shortened(result: ScriptResult, length: int) -> ScriptResult:
    git = result.git
    if git is not None:
        git = {name: shortened(value, length) if isinstance(value, str) else value for name, value in git.items()}
    return replace(result, message=shortened(result.message, length), git=git)
