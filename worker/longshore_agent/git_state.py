"""The git state of a source folder: the commit, and whether files have changed since."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

_TIMEOUT = 10.0  # seconds of one git command
_QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def git_state(folder: str) -> dict[str, Any] | None:
    """Return the git state of a folder: repository, branch, commit and dirty.

    Never raises: the run does not depend on git.

    Returns:
        `repository` is the URL of the remote "origin" or "", `branch` is "" when HEAD is detached, and `dirty` states
        whether files in this folder differ from the commit. None without git, repository or commit.
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--", ".")
    if not commit or changes is None:
        return None
    return {
        "repository": _without_credentials(_git(folder, "config", "--get", "remote.origin.url") or ""),
        "branch": _git(folder, "symbolic-ref", "--quiet", "--short", "HEAD") or "",
        "commit": commit,
        "dirty": bool(changes),
    }


def _git(folder: str, *arguments: str) -> str | None:
    # A repository can configure a program that git runs to list changed files: do not run it.
    command = ["git", "-c", "core.fsmonitor=false", "-C", folder, *arguments]
    try:
        result = subprocess.run(
            command,
            env={**os.environ, **_QUIET},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return result.stdout.decode("utf-8", "replace").strip()


def _without_credentials(url: str) -> str:
    return re.sub(r"^(\w+://)[^/@]*@", r"\1", url)
