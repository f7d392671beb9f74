"""Platforms that processes of tests can be started on, beside this one."""

import os
from pathlib import Path

BARE = "bare"  # without prctl(), /proc and whatever else only Linux has
_BARE = Path(__file__).parent / BARE


def bare_python_path():
    """Return the PYTHONPATH of processes that lack what only Linux has (see `bare/sitecustomize.py`)."""
    return os.pathsep.join(filter(None, [str(_BARE), os.environ.get("PYTHONPATH")]))
