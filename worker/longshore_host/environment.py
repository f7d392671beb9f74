"""The environment variables of a step's processes."""

from __future__ import annotations

import os
import sys
from typing import Dict, Mapping

from longshore_shims.finder import START

PACKAGES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PRIVATE = "LONGSHORE_"  # prefix of settings that scripts do not receive


def script_environment(variables: Mapping[str, str], *folders: str) -> Dict[str, str]:
    """Return the variables of a script: those of the host, and `variables`, which take precedence.

    Programs of the interpreter's virtual environment are found first, as after its activation. PYTHONPATH has our
    packages, the stand-ins for Azure ML's packages, and `folders`, before what is inherited.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_PRIVATE)}
    if sys.prefix != sys.base_prefix:
        programs = [os.path.dirname(sys.executable), *environment.get("PATH", os.defpath).split(os.pathsep)]
        environment.update(VIRTUAL_ENV=sys.prefix, PATH=os.pathsep.join(dict.fromkeys(programs)))
    environment.update(variables)
    inherited = environment.get("PYTHONPATH", "").split(os.pathsep)
    path = dict.fromkeys([PACKAGES, START, *folders, *inherited])  # in order, each once
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    return environment
