"""promtool, which checks rules and tests them against series: this machine's own, or that of Debian's package."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from localcluster import apt
from localcluster.machine import is_debian
from localcluster.places import cache, locked, publish
from localcluster.processes import Problem, show


def promtool() -> Path:
    """Return the path of the program, downloaded once a machine; Problem if that is not possible."""
    if found := shutil.which("promtool"):
        return Path(found)
    folder = cache() / "prometheus"
    with locked(folder):
        if not os.access(folder / "promtool", os.X_OK):
            _download(folder)
    return folder / "promtool"


def _download(folder: Path) -> None:
    """Unpack the package without installing it, which would start a server and need root."""
    if not is_debian():
        raise Problem("promtool is missing; install Prometheus")
    with tempfile.TemporaryDirectory() as work:
        options = apt.private_state(Path(work) / "apt", "deb", "bookworm")
        show(apt.get(options, "download", "prometheus"), cwd=work)
        (package,) = Path(work).glob("prometheus_*.deb")
        show(["dpkg-deb", "-x", str(package), work])
        publish([Path(work) / "usr" / "bin" / "promtool"], folder)
