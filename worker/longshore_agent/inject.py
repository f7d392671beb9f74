"""`python -m longshore_agent.inject FOLDER`: lay out what an image of the user's needs and has not.

Runs as the init container of a worker; the user's container has the folder on its PYTHONPATH. Imports none of it: it is
for another interpreter.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys

PACKAGES = ("longshore_host", "longshore_protocol", "longshore_run", "longshore_shims")


def inject(folder: str) -> None:
    """Copy the packages into the folder, in the place of those that an earlier try left. Raises OSError."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None, "the wheel holds it"
        assert spec.origin is not None, "a package with an __init__"
        target = os.path.join(folder, package)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(os.path.dirname(spec.origin), target, ignore=shutil.ignore_patterns("__pycache__"))


if __name__ == "__main__":
    inject(sys.argv[1])
