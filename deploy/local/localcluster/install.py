"""Longshore for a local cluster: its definitions there, its operator as a process of the machine.

Needs Longshore in the Python that runs it, unlike all else here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster.images import PRODUCT
from localcluster.places import CHECKOUT, Places
from localcluster.processes import Problem, run

_GRACE = 60  # seconds that an operator may take to end


def kubectl(place: Places, *arguments: str | Path, stdin: str | None = None) -> str:
    """Run kubectl and return what it printed; Problem if it fails."""
    return run("kubectl", *arguments, stdin=stdin, KUBECONFIG=str(place.kubeconfig))


def definitions(place: Places) -> list[str]:
    """Have the custom resource definitions of crds/ in the cluster, as they are now, and return their names.

    Through the API as it is: it prunes what an old server does not know, where kubectl would refuse it.
    """
    files = sorted((CHECKOUT / "crds").iterdir())
    names = [f"{file.stem}.longshore.dev" for file in files]
    there = kubectl(place, "get", "crds", "--output=name")
    for name, file in zip(names, files, strict=True):
        verb = "replace" if name in there else "create"
        kubectl(place, verb, "--validate=false", "--filename", file)
    kubectl(place, "wait", "--for=condition=Established", "--timeout=60s", *(f"crd/{each}" for each in names))
    return names


def start_operator(place: Places, log: Path, *, host_paths: bool = False) -> subprocess.Popen[bytes]:
    """Start an operator for all namespaces of the cluster."""
    environment = {
        **os.environ,
        "KUBECONFIG": str(place.kubeconfig),
        "LONGSHORE_IMAGE": PRODUCT,
        "LONGSHORE_HOST_PATHS": str(host_paths).lower(),
    }
    with log.open("ab") as file:
        return subprocess.Popen([sys.executable, "-m", "longshore_operator"], env=environment, stdout=file, stderr=file)


@contextmanager
def operator(place: Places, log: Path, *, host_paths: bool = False) -> Iterator[None]:
    """Have Longshore in the cluster for a while; Problem if its operator ended before."""
    definitions(place)
    process = start_operator(place, log, host_paths=host_paths)
    try:
        yield
        if process.poll() is not None:
            raise Problem(f"the operator ended with {process.returncode}: see {log}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_GRACE)
