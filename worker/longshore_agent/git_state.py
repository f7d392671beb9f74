"""What git says of a source folder: which commit a run was made from, and whether anything was changed since."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

_PATIENCE = 10.0  # seconds for one question
_QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def git_state(folder: str) -> dict[str, Any] | None:
    """Return repository (its remote's address, "" without one), branch ("" when detached), commit and dirty.

    None for a folder that is in no repository, or in one without a commit, and where there is no git. `dirty` is about
    this folder alone. Never raises: what git has to say is no part of the run.
    """
    commit = _ask(folder, "rev-parse", "--verify", "HEAD")
    changes = _ask(folder, "status", "--porcelain", "--", ".")
    if not commit or changes is None:
        return None
    return {
        "repository": _without_credentials(_ask(folder, "config", "--get", "remote.origin.url") or ""),
        "branch": _ask(folder, "symbolic-ref", "--quiet", "--short", "HEAD") or "",
        "commit": commit,
        "dirty": bool(changes),
    }


def _ask(folder: str, *question: str) -> str | None:
    # A repository may name a program that git is to run when it looks at files: not for this.
    command = ["git", "-c", "core.fsmonitor=false", "-C", folder, *question]
    try:
        answer = subprocess.run(
            command,
            env={**os.environ, **_QUIET},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return answer.stdout.decode("utf-8", "replace").strip()


def _without_credentials(url: str) -> str:
    return re.sub(r"^(\w+://)[^/@]*@", r"\1", url)
