"""What differs between releases of Kubernetes, from 1.20 on. Pure: `components` takes its answers."""

from __future__ import annotations

import re
from typing import NamedTuple

from localcluster.processes import Problem


class Release(NamedTuple):
    """A minor release of Kubernetes; releases compare by age."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


OLDEST = Release(1, 20)


def release_of(printed: str) -> Release:
    """Return the release that `kubelet --version` printed, such as "Kubernetes v1.36.2"; Problem if it is too old."""
    found = re.search(r"\bv(\d+)\.(\d+)", printed)
    if not found:
        raise Problem(f"`kubelet --version` printed no version: {printed.strip()!r}")
    release = Release(int(found[1]), int(found[2]))
    if release < OLDEST:
        raise Problem(f"Kubernetes {release} is not supported: KUBE_BIN must name binaries of {OLDEST} or later")
    return release


def kubelet_flags(release: Release, runtime: str) -> list[str]:
    """Return the flags that lead kubelet to the container runtime at the URL `runtime`.

    Before 1.24 Docker was the default; 1.27 removed --container-runtime, and moved the endpoint into the configuration.
    """
    if release < (1, 27):
        return ["--container-runtime=remote", f"--container-runtime-endpoint={runtime}"]
    return []


def kubelet_settings(release: Release, runtime: str) -> dict[str, object]:
    """Return the fields of KubeletConfiguration that only newer releases know.

    From 1.35 on kubelet refuses control groups of version 1 unless failCgroupV1, a field since 1.31, is false.
    """
    settings: dict[str, object] = {}
    if release >= (1, 27):
        settings["containerRuntimeEndpoint"] = runtime
    if release >= (1, 31):
        settings["failCgroupV1"] = False
    return settings
