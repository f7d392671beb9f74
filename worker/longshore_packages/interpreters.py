"""Interpreters that environments are built for."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from typing import Tuple

from longshore_packages.errors import BuildError

OLDEST = (3, 7)  # of the host, which runs scripts
_TIMEOUT = 60.0  # seconds for an interpreter to start
_PROBE = """
import json, os, site, sys, sysconfig
executable = getattr(sys, "_base_executable", "") or sys.executable
print(json.dumps({
    "path": sys.executable,
    "executable": os.path.realpath(executable),
    "version": "%d.%d.%d" % sys.version_info[:3],
    "abi": "%s %s" % (sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag, sysconfig.get_platform()),
    "site_packages": [each for each in site.getsitepackages() if os.path.isdir(each)],
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python interpreter: what it is, and where its own packages are."""

    path: str  # as it was started
    executable: str  # the binary, outside of virtual environments
    version: str  # "3.11.7"
    abi: str  # of extension modules, and the platform
    site_packages: Tuple[str, ...]  # folders of its packages

    def digest(self, *, layered: bool) -> str:
        """Return the digest of what an environment depends on; with `layered`, the packages of the interpreter too."""
        parts = [self.executable, self.version, self.abi, list(self.site_packages) if layered else []]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def inspect(python: str) -> Interpreter:
    """Start an interpreter and return what it reports. Raises BuildError."""
    command = [python, "-I", "-c", _PROBE]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_TIMEOUT)
        found = json.loads(done.stdout.decode()) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise BuildError("The interpreter {} cannot be used: {}.".format(python, error)) from None
    if found is None:
        words = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise BuildError("The interpreter {} cannot be used: {}.".format(python, "".join(words) or "it prints nothing"))
    interpreter = Interpreter(**{**found, "site_packages": tuple(found["site_packages"])})
    if tuple(map(int, interpreter.version.split(".")[:2])) < OLDEST:
        text = "The interpreter {} is Python {}; Longshore runs scripts with Python 3.7 and later."
        raise BuildError(text.format(python, interpreter.version))
    return interpreter
