"""Why a step of a pipeline failed, from what it left in its run folder: the message, a traceback, and the log."""

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
    """Return the lines that explain a failed step to its user."""
    folder = os.path.join(run_dir, "steps", step.name)
    trace, log = _of_mini_batches(folder) or _of_script(folder)
    lines = [f"{step.name}: {' '.join((step.message or step.reason).split())}"]
    lines += [f"  {line}" for line in trace[-_LINES:]]
    return [*lines, f"  log  {log}"]


def _of_mini_batches(folder: str) -> tuple[list[str], str] | None:
    """Return traceback and log of a ParallelRunStep; None for a step of another kind."""
    status = _read(os.path.join(folder, "status.json"))
    if not status:
        return None
    first = status[0].get("firstError", {})
    failed = _read(os.path.join(folder, "failed.jsonl"))
    named = [each["log"] for each in failed if each.get("log") and each.get("message") == first.get("message")]
    return first.get("traceback", "").splitlines(), os.path.join(folder, named[0] if named else "logs")


def _of_script(folder: str) -> tuple[list[str], str]:
    log = os.path.join(folder, script_folder.LOGS, script_folder.STDERR)
    lines = tail(log, start=0).splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith(_HEAD)]
    return (lines[heads[-1] :] if heads else []), log if os.path.exists(log) else folder


def _read(path: str) -> list[dict[str, Any]]:
    """Return the JSON objects of a file: one, or one a line; none where it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        return [json.loads(text)] if not path.endswith(".jsonl") else [json.loads(line) for line in text.splitlines()]
    except (OSError, ValueError):
        return []
