"""Install the shims when an interpreter of a step starts, including child processes of the script.

Python imports only one module of this name, so this one then runs the image's own sitecustomize, if any.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

from longshore_shims.finder import START, install


def _run_next() -> None:
    sys.path[:] = [each for each in sys.path if os.path.abspath(each) != START]
    found = PathFinder.find_spec("sitecustomize", sys.path)
    if found is not None and found.loader is not None:
        module = module_from_spec(found)
        sys.modules["sitecustomize"] = module
        found.loader.exec_module(module)


install()
_run_next()
