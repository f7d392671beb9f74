"""Programs from Debian's packages."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from localcluster.processes import Problem, show

CLUSTER = {  # program: package
    "etcd": "etcd-server",
    "ip": "iproute2",
    "kubectl": "kubernetes-client",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "sysctl": "procps",
}
NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "gcc": "gcc libc6-dev",
}
IMAGES = {"buildah": "buildah", "debootstrap": "debootstrap"}
BUILD = {
    "go": "golang-go",
    "gcc": "gcc libc6-dev",
    "make": "make",
    "rsync": "rsync",
    "jq": "jq",
    "/usr/share/gocode/src/github.com/modern-go/reflect2": "golang-github-modern-go-reflect2-dev",
}


def is_debian() -> bool:
    """Whether apt-get can be used here."""
    return Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def need_root() -> None:
    """Refuse to go on for anyone else."""
    if os.geteuid():
        raise Problem("only root can make namespaces, bridges and cgroups: run this with sudo")


def have(programs: Mapping[str, str]) -> None:
    """See that programs are there: on Debian, what is missing is installed; elsewhere, it is named."""
    missing = sorted({package for program, package in programs.items() if not _there(program)})
    if not missing:
        return
    packages = " ".join(missing).split()
    if not is_debian():
        raise Problem(f"missing programs, in Debian's packages {', '.join(packages)}")
    need_root()
    print(f"installing {', '.join(packages)}", file=sys.stderr)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    show(["apt-get", "-qq", "update"], **quiet)
    show(["apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages], **quiet)


def _there(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None
