"""Longshore in a local cluster, by its own chart, and its operator ended and started again for tests.

Needs the Helm SDK in the Python that runs it (pip install '.[dev]'), unlike all else here.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from localcluster import cluster
from localcluster.images import PRODUCT
from localcluster.places import CHECKOUT, Places
from localcluster.processes import Problem, descendants, run, wait_until

NAMESPACE, RELEASE = "longshore-system", "longshore"
USER = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"  # as which the operator calls the API
_PATIENCE = 120  # seconds
_PODS = "--selector=app.kubernetes.io/name=longshore-operator"


def kubectl(place: Places, *arguments: str | Path, stdin: str | None = None) -> str:
    """Run kubectl and return what it printed; Problem if it fails."""
    return run("kubectl", *arguments, stdin=stdin, KUBECONFIG=str(place.kubeconfig))


def install(place: Places, image: Path, *, host_paths: bool = False) -> None:
    """Install the chart, or upgrade what is installed, and wait until the operator is ready.

    `image` is the archive of Longshore's image, which is loaded already; `host_paths` lets Datastores be folders of
    the node. Problem if it does not work.
    """
    import helm_python as helm

    repository, _, tag = PRODUCT.rpartition(":")
    values = {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "operator": {"podAnnotations": {"longshore.dev/image": image.stem}},  # another image: another pod
        "hostPaths": host_paths,
    }
    with (
        helm.Config(kubeconfig_path=place.kubeconfig, namespace=NAMESPACE) as config,
        helm.Chart.load(CHECKOUT / "charts" / "longshore") as chart,
    ):
        try:
            if [each["status"] for each in config.list(all_states=True)] == ["deployed"]:
                config.upgrade(chart, RELEASE, values, wait="watcher", timeout=_PATIENCE)
            else:  # none, or what an install that was cut short left
                config.uninstall(RELEASE, ignore_not_found=True, wait="watcher", timeout=_PATIENCE)
                config.install(chart, RELEASE, values, wait="watcher", timeout=_PATIENCE, create_namespace=True)
        except helm.HelmError as error:
            raise Problem(f"the chart cannot be installed: {error}") from error
    start(place)


def start(place: Places) -> None:
    """Have the installed operator run, and be ready."""
    kubectl(place, "scale", f"deployment/{RELEASE}", "--replicas=1", f"--namespace={NAMESPACE}")
    wait_until(
        lambda: [_is_ready(each) for each in pods(place)] == [True], "the operator to be ready", seconds=_PATIENCE
    )


def stop(place: Places) -> None:
    """Have the installed operator not run."""
    kubectl(place, "scale", f"deployment/{RELEASE}", "--replicas=0", f"--namespace={NAMESPACE}")
    wait_until(lambda: not pods(place), "the operator to end", seconds=_PATIENCE)


def kill(place: Places) -> None:
    """Kill the operator's process; kubelet starts it again, a moment later."""
    keeper = cluster.running(place).keeper
    found = [each for each in descendants(keeper.pid) if _is_operator(each)]
    if not found:
        raise Problem("no operator runs")
    before = _restarts(place)
    for each in found:
        os.kill(each, signal.SIGKILL)
    wait_until(lambda: _restarts(place) > before, "the operator to be started again", seconds=_PATIENCE)


def pods(place: Places) -> list[dict[str, Any]]:
    """Return the operator's pods."""
    printed = kubectl(place, "get", "pods", _PODS, f"--namespace={NAMESPACE}", "--output=json")
    return list(json.loads(printed)["items"])


def _is_operator(pid: int) -> bool:
    try:
        return b"longshore_operator\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _restarts(place: Places) -> int:
    return sum(each["restartCount"] for pod in pods(place) for each in pod["status"].get("containerStatuses", []))
