"""Runs when an interpreter of a step starts: each that finds this folder on its PYTHONPATH, the script's children too.

Python has one module of this name. The one that the image may have comes after ours, as if ours were not there.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

from longshore_shims.finder import START, install


def _go_on() -> None:
    sys.path[:] = [each for each in sys.path if os.path.abspath(each) != START]
    found = PathFinder.find_spec("sitecustomize", sys.path)
    if found is not None and found.loader is not None:
        module = module_from_spec(found)
        sys.modules["sitecustomize"] = module
        found.loader.exec_module(module)


install()
_go_on()
