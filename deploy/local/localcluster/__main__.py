"""The command."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from localcluster import cluster, crd_server, images
from localcluster.audit import calls
from localcluster.binaries import binaries
from localcluster.places import Places, locked, places
from localcluster.processes import Problem


def main() -> int:
    """Run the command; return its exit code."""
    asked = _parser().parse_args()
    try:
        asked.do(asked, places())
    except Problem as problem:
        print(f"cluster: {problem}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cluster",
        description="A real Kubernetes on this machine, for tests and demos. LONGSHORE_CLUSTER_STATE names its folder, "
        "one per checkout if not set; KUBE_BIN names the Kubernetes binaries, built if not set.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do: Callable[[argparse.Namespace, Places], None], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(do=do)
        return made

    up = command("up", _up, "start it; what is missing is installed and built, on Debian")
    up.add_argument("--control-plane-only", action="store_true", help="no node: pods stay Pending")
    command("down", _down, "end all of it and remove its files")
    command("status", _status, "print what each component does")
    command("env", _env, "print the variables that kubectl and clients need, for eval")
    command("load", _load, "give it the images of an archive").add_argument("archive", type=Path)
    image = command("image", _image, "build the product's image, or another, and load it if a cluster is up")
    image.add_argument("--file", type=Path, help="a Dockerfile other than the product's")
    image.add_argument("--context", type=Path, help="the folder it copies from; its own by default")
    image.add_argument("--tag", default=images.PRODUCT, help="the image's name, for an image of a --file")
    image.add_argument("--keep", action="store_true", help="take an image of that --tag which was built before")
    image.add_argument("--base", action="store_true", help="only load the base image, for users' scripts")
    command("stop", _stop, "kill a component and keep it down").add_argument("component")
    command("start", _start, "let a stopped component run again").add_argument("component")
    send = command("signal", _signal, "send a component a signal, such as STOP; one that ends starts again")
    send.add_argument("component")
    send.add_argument("signal")
    audit = command("audit", _audit, "print each verb and resource that was asked of the API server, and how often")
    audit.add_argument("--user", help="by whom, such as system:serviceaccount:NAMESPACE:NAME; by all if not given")
    command("binaries", _binaries, "find or build the Kubernetes binaries and print their folder")
    command("crd-server", _crd_server, "find or build the newest server of custom resources and print its folder")
    return parser


def _up(asked: argparse.Namespace, place: Places) -> None:
    record = cluster.up(place, with_node=not asked.control_plane_only)
    print(f"Kubernetes {record.release} is up: export KUBECONFIG={place.kubeconfig}")


def _down(asked: argparse.Namespace, place: Places) -> None:
    print("down" if cluster.down(place) else "nothing was up")


def _status(asked: argparse.Namespace, place: Places) -> None:
    for name, state in cluster.states(place).items():
        print(f"{name:20} {state}")


def _env(asked: argparse.Namespace, place: Places) -> None:
    cluster.running(place)
    print(f"export KUBECONFIG={place.kubeconfig}")
    print(f"export CONTAINERD_ADDRESS={place.containerd} CONTAINERD_NAMESPACE=k8s.io")


def _load(asked: argparse.Namespace, place: Places) -> None:
    cluster.running(place)
    images.load(place, asked.archive)


def _stop(asked: argparse.Namespace, place: Places) -> None:
    cluster.hold(place, asked.component)


def _start(asked: argparse.Namespace, place: Places) -> None:
    cluster.release(place, asked.component)


def _signal(asked: argparse.Namespace, place: Places) -> None:
    number = signal.Signals[f"SIG{asked.signal.removeprefix('SIG')}"]
    os.kill(cluster.pid(place, asked.component), number)


def _audit(asked: argparse.Namespace, place: Places) -> None:
    cluster.running(place)
    counts = Counter((each.user, each.use) for each in calls(place, user=asked.user))
    for (user, use), count in sorted(counts.items()):
        print(f"{count:6} {user:50} {use}")


def _binaries(asked: argparse.Namespace, place: Places) -> None:
    print(binaries())


def _crd_server(asked: argparse.Namespace, place: Places) -> None:
    print(crd_server.build())


def _image(asked: argparse.Namespace, place: Places) -> None:
    with locked(images.store()):
        if asked.base:
            archive = images.base_archive()
        elif asked.file:
            archive = images.build(asked.file, asked.context or asked.file.parent, asked.tag, replace=not asked.keep)
        else:
            archive = images.product_image()
        print(archive)
        if cluster.takes_images(place):
            images.load(place, archive)


if __name__ == "__main__":
    sys.exit(main())
