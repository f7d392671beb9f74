"""Other releases of Python on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OLDEST = "3.7"
OURS = f"3.{sys.version_info.minor}"
OTHERS = [each for each in (OLDEST, *(f"3.{minor}" for minor in range(8, 14))) if each != OURS]


def interpreter(release: str) -> str:
    """Return the path of an interpreter of a release; skip the test where this machine has none."""
    folders = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob(f"{release}.*/bin"))
    for folder in [*map(str, folders), os.environ["PATH"]]:
        found = shutil.which(f"python{release}", path=folder)
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return pytest.skip(f"this machine has no Python {release}")
