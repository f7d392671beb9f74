"""How stand-ins are found: by a finder that is asked last.

A folder at the end of sys.path would do for one that nobody else provides. But `azureml` is shared by many
distributions: where one of them is installed, its package hides whatever lies in folders behind it. Asked last, and
module by module, we add what is missing and hide nothing.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, Optional

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "path")
START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start")
_PACKAGES = ("azureml", "azureml_user")


class LastFinder:
    """Finds a module of ours where no other finder of sys.meta_path found one of that name."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        """Return how to load the module; None if we have none of that name."""
        package, *inside = name.split(".")
        if package not in _PACKAGES:
            return None
        folder = os.path.join(PATH, package, *inside[:-1]) if inside else PATH
        return PathFinder.find_spec(name, [folder]) if os.path.isdir(folder) else None


def install() -> None:
    """Let this process import the stand-ins of what is not installed."""
    if not any(isinstance(each, LastFinder) for each in sys.meta_path):
        sys.meta_path.append(LastFinder())
