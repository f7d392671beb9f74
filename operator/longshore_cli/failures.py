"""Explanation of a failed pipeline step from its run folder: message, traceback and the location of the log."""

from __future__ import annotations

import json
import os
from typing import Any

from longshore_api.pipeline_status import PipelineStepStatus
from longshore_host.script_end import tail
from longshore_protocol import script_folder

_LINES = 20  # of a traceback
_HEAD = "Traceback (most recent call last):"


def failure(step: PipelineStepStatus, run_dir: str) -> list[str]:
    """Return the lines that explain why a step failed."""
    folder = os.path.join(run_dir, "steps", step.name)
    trace, log = _read_parallel_run(folder) or _read_script(folder)
    lines = [f"{step.name}: {' '.join((step.message or step.reason).split())}"]
    lines += [f"  {line}" for line in trace[-_LINES:]]
    return [*lines, f"  log  {log}"]


def _read_parallel_run(folder: str) -> tuple[list[str], str] | None:
    """Return the traceback lines and the log of a ParallelRunStep, or None for a step of another kind."""
    status = _read_json(os.path.join(folder, "status.json"))
    if not status:
        return None
    first = status[0].get("firstError", {})
    failed = _read_json(os.path.join(folder, "failed.jsonl"))
    named = [each["log"] for each in failed if each.get("log") and each.get("message") == first.get("message")]
    return first.get("traceback", "").splitlines(), os.path.join(folder, named[0] if named else "logs")


def _read_script(folder: str) -> tuple[list[str], str]:
    """Return the lines of the last traceback on a script's standard error, and the log."""
    log = os.path.join(folder, script_folder.LOGS, script_folder.STDERR)
    lines = tail(log, start=0).splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith(_HEAD)]
    return (lines[heads[-1] :] if heads else []), log if os.path.exists(log) else folder


def _read_json(path: str) -> list[dict[str, Any]]:
    """Return the objects of a JSON or JSON-lines file; an empty list if it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        return [json.loads(text)] if not path.endswith(".jsonl") else [json.loads(line) for line in text.splitlines()]
    except (OSError, ValueError):
        return []
