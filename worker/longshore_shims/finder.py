"""A module finder, last in order, for the shims of Azure ML's packages and of `longshore`.

A folder at the end of sys.path is not enough: many distributions share the package `azureml`, and an installed one
hides the same package in later folders. A finder that runs last, for each module, adds the missing ones and hides none.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, Optional

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "path")
START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start")
_PACKAGES = ("azureml", "azureml_user", "longshore")


class LastFinder:
    """Finds the shim of a module that no other finder in sys.meta_path has found."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        """Return the spec of the shim, or None."""
        package, *inside = name.split(".")
        if package not in _PACKAGES:
            return None
        folder = os.path.join(PATH, package, *inside[:-1]) if inside else PATH
        return PathFinder.find_spec(name, [folder]) if os.path.isdir(folder) else None


def install() -> None:
    """Make the shims of missing packages importable in this process."""
    if not any(isinstance(each, LastFinder) for each in sys.meta_path):
        sys.meta_path.append(LastFinder())
