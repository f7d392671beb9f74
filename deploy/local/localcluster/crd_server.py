"""The newest server of custom resources that Debian has, for checks of definitions and manifests against its rules.

Debian has no current kube-apiserver. But it packages the Go libraries that one is made of, and the part that serves
custom resources (apiextensions-apiserver: structural schemas, CEL with its cost limits, ratcheting) is a program among
them. It is built with the newest Go of the same suite; nothing is installed. That takes eight minutes of processor
time, once a machine, and no root; nothing builds it unasked.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from localcluster import apt
from localcluster.machine import is_debian
from localcluster.places import cache, locked, publish
from localcluster.processes import Problem, run, show

SERVER, ETCD = "apiextensions-apiserver", "etcd"
BUILD = "make crd-server"  # what builds it
_SUITE = "sid"
_LIBRARY = "golang-k8s-apiextensions-apiserver-dev"
_PACKAGE = "k8s.io/apiextensions-apiserver"
_STAMP = "k8s.io/component-base/version"


def built() -> Path | None:
    """Return the folder of the server and its etcd, None if they were not built on this machine."""
    folder = cache() / "crd-server"
    return folder if all(os.access(folder / each, os.X_OK) for each in (SERVER, ETCD)) else None


def build() -> Path:
    """Return the folder of the server and its etcd; build them if they are missing. Problem if that does not work."""
    with locked(cache() / "crd-server"):
        if folder := built():
            return folder
        if not is_debian():
            raise Problem("the server of custom resources can be built on Debian only, from Debian's packages")
        print("building the server of custom resources from Debian's packages: minutes, once", file=sys.stderr)
        work = cache() / f"crd-server-build-{os.getpid()}"
        try:
            publish(_make(work), cache() / "crd-server")
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return cache() / "crd-server"


def kubernetes_version(library: str) -> str:
    """Return the version of Kubernetes to which a version of a library package belongs: 1.36.2 for 0.36.2-1."""
    if not (found := re.fullmatch(r"(?:\d+:)?0\.(\d+\.\d+)\D.*", f"{library}-")):
        raise Problem(f"{_LIBRARY} has the version {library}, which is none of a Kubernetes library")
    return f"1.{found[1]}"


def _make(work: Path) -> list[Path]:
    """Build the server in a folder, and return the programs."""
    options = apt.private_state(work / "apt", "deb", _SUITE, alone=True)
    go = _newest(re.fullmatch(r"golang-(1\.\d+)-go", each) for each in apt.names(options, "golang-1."))
    libraries = [each for each in apt.installs(options, _LIBRARY) if re.fullmatch(r"golang-.*-dev", each)]
    root, packages = work / "root", work / "packages"
    packages.mkdir()
    wanted = (f"golang-{go}-go", f"golang-{go}-src", "etcd-server", *libraries)
    show(apt.get(options, "download", *wanted), cwd=packages)
    for each in sorted(packages.glob("*.deb")):
        run("dpkg-deb", "--extract", each, root)
    (library,) = packages.glob(f"{_LIBRARY}_*.deb")
    version = kubernetes_version(run("dpkg-deb", "--field", library, "Version").strip())
    major, minor, _ = version.split(".")
    stamps = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    compiler = root / "usr" / "lib" / f"go-{go}"
    show(
        [
            compiler / "bin" / "go",
            "build",
            "-trimpath",
            f"-ldflags=-s -w {' '.join(f'-X {_STAMP}.{name}={each}' for name, each in stamps.items())}",
            f"-o={work / SERVER}",
            _PACKAGE,
        ],
        cwd=work,
        GOROOT=compiler,
        GOPATH=root / "usr" / "share" / "gocode",
        GOCACHE=work / "gocache",
        GO111MODULE="off",
        GOTOOLCHAIN="local",
        GOFLAGS="",
        GOPROXY="off",
        CGO_ENABLED="0",
    )
    return [work / SERVER, root / "usr" / "bin" / ETCD]


def _newest(found: Iterable[re.Match[str] | None]) -> str:
    versions = [each[1] for each in found if each]
    if not versions:
        raise Problem(f"Debian {_SUITE} has no Go compiler")
    return max(versions, key=lambda each: [int(number) for number in each.split(".")])
