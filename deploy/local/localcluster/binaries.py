"""The Kubernetes binaries: those that KUBE_BIN names, those built here before, or built now.

They are built from Debian's source package with Debian's Go: no other server has to be reached, and 1.20 is the oldest
release that Longshore is tested with. It takes five minutes on two cores, once a machine.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from localcluster import apt
from localcluster.machine import BUILD, have, is_debian, need_root
from localcluster.places import cache, publish
from localcluster.processes import Problem, run, show
from localcluster.releases import Release, release_of

NAMES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
_RELEASE = "bookworm"
_REFLECT2 = "github.com/modern-go/reflect2"


def binaries() -> Path:
    """Return the folder with all of them; Problem if there is none and none can be built."""
    chosen = named()
    folder = chosen or cache() / "kube-bin"
    if all(os.access(folder / each, os.X_OK) for each in NAMES):
        return folder
    if chosen:
        raise Problem(f"KUBE_BIN: {folder} must hold {', '.join(NAMES)}")
    _build(folder)
    return folder


def named() -> Path | None:
    """Return the absolute path of the folder that KUBE_BIN names, None if it names none."""
    folder = os.environ.get("KUBE_BIN")
    return Path(folder).resolve() if folder else None


def release_in(folder: Path) -> Release:
    """Return the release of the binaries in a folder; Problem if they do not run here, or are too old."""
    try:
        return release_of(run(folder / "kubelet", "--version"))
    except OSError as error:
        raise Problem(f"{folder}/kubelet does not run on this machine: {error.strerror}") from error


def _build(folder: Path) -> None:
    if not is_debian():
        raise Problem("KUBE_BIN must name a folder with the Kubernetes binaries: only on Debian are they built here")
    need_root()
    print("building Kubernetes from Debian's source package: this takes minutes, once", file=sys.stderr)
    have(BUILD)
    work = cache() / f"kube-build-{os.getpid()}"
    try:
        source = _source(work)
        made = _compile(work, source)
        publish([made / each for each in NAMES], folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _source(work: Path) -> Path:
    """Download and unpack the source; return its folder."""
    options = apt.private_state(work / "apt", "deb-src", _RELEASE)
    show(apt.get(options, "source", "--download-only", "kubernetes"), cwd=work)
    (archive,) = work.glob("kubernetes_*.orig.tar.*")
    source = work / "go" / "src" / "k8s.io" / "kubernetes"
    source.mkdir(parents=True)
    show(["tar", "-xf", archive, "-C", source, "--strip-components=1"])
    _newer_reflect2(source)
    return source


def _newer_reflect2(source: Path) -> None:
    """Replace the vendored reflect2: 1.0.1 walks maps in a way that crashes under Go 1.18 and later."""
    vendored, packaged = source / "vendor" / _REFLECT2, Path("/usr/share/gocode/src") / _REFLECT2
    for old in (*vendored.glob("*.go"), *vendored.glob("*.s")):
        old.unlink()
    for new in (*packaged.glob("*.go"), *packaged.glob("*.s")):
        if not new.name.endswith("_test.go"):
            shutil.copy(new, vendored)


def _compile(work: Path, source: Path) -> Path:
    (archive,) = work.glob("kubernetes_*.orig.tar.*")
    version, stamp = version_of(archive.name), work / "version"
    major, minor, _ = version.split(".")
    words = {"COMMIT": "debian", "TREE_STATE": "archive", "VERSION": f"v{version}", "MAJOR": major, "MINOR": minor}
    stamp.write_text("".join(f"KUBE_GIT_{name}='{each}'\n" for name, each in words.items()))
    show(
        ["make", f"WHAT={' '.join(f'cmd/{each}' for each in NAMES)}", "GOLDFLAGS=-s -w"],
        cwd=source,
        HOME=work,
        GOPATH=work / "go",
        CGO_ENABLED="0",
        KUBE_GIT_VERSION_FILE=stamp,
    )
    return source / "_output" / "local" / "bin" / "linux" / "amd64"


def version_of(archive: str) -> str:
    """Return the version of Kubernetes in a source archive; Debian writes 1.20.5+really1.20.2 where it went back."""
    return archive.removeprefix("kubernetes_").partition(".orig")[0].rpartition("+really")[2].partition("+")[0]
