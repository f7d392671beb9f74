"""Steps of demos: each prints its command and runs it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from localcluster import install
from localcluster.places import CHECKOUT, Places

GROUP = 65532  # of a run's pods


def kubectl(place: Places, namespace: str, *arguments: str | Path, stdin: str | None = None) -> None:
    """Run kubectl in a namespace, and show both the command and what it prints."""
    print_command(namespace, *arguments)
    print(install.kubectl(place, f"--namespace={namespace}", *arguments, stdin=stdin), end="", flush=True)


def print_heading(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text}", flush=True)


def print_command(namespace: str, *arguments: str | Path) -> None:
    """Print a command of kubectl."""
    shown = [str(each).replace(f"{CHECKOUT}/", "") for each in arguments]
    print(f"$ kubectl --namespace={namespace} {' '.join(shown)}", flush=True)


def prepare_namespace(place: Places, name: str, example: Path) -> Path:
    """Recreate namespace and volume of an example, both called `name`; return the volume's folder with its data."""
    folder = place.state / name  # goes with the cluster
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(example / "data", folder / "data")
    open_to_pods(folder)
    kubectl(place, name, "delete", "namespace", name, "--ignore-not-found")
    kubectl(place, name, "delete", "persistentvolume", name, "--ignore-not-found")
    kubectl(place, name, "create", "namespace", name)
    storage = (example / "cluster" / "storage.yaml").read_text()
    assert f"/srv/longshore-{name}" in storage, "what the folder is called there"
    kubectl(place, name, "apply", "--filename=-", stdin=storage.replace(f"/srv/longshore-{name}", str(folder)))
    return folder


def open_to_pods(folder: Path) -> None:
    """Let the pods of runs read and write a folder and all in it."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, -1, GROUP)
        path.chmod(0o2770 if path.is_dir() else 0o660)
