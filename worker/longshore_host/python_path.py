"""The PYTHONPATH of the interpreters of a step."""

from __future__ import annotations

import os

from longshore_shims.finder import START

PACKAGES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def python_path(*folders: str, inherited: str) -> str:
    """Return a PYTHONPATH of our packages, the stand-ins for Azure ML's packages, `folders`, and the inherited one."""
    path = dict.fromkeys([PACKAGES, START, *folders, *inherited.split(os.pathsep)])  # in order, each once
    return os.pathsep.join(filter(None, path))
