"""What packages cost at the start of a step on a cluster: `python tests/benchmarks/packages.py [--repeat N]`.

Needs the local cluster (`make cluster-up`), where it installs Longshore's chart. Two workers import scikit-learn and
pillow: on an image that contains them, and on the base image with an Environment whose packages have been installed
before. It compares the times from `kubectl apply` to the first call of run(), in turn, and counts the builders.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from cluster import prepare
from indexes import Index
from kube import Kubectl
from localcluster import images
from localcluster.places import CHECKOUT, Places, locked, places
from steps import Steps

LIMIT = 1.2
PACKAGES = ("pillow==13.0.0", "scikit-learn==1.9.1")
DOCKERFILE = CHECKOUT / "tests" / "data" / "images" / "learning" / "Dockerfile"
READY = "localhost/longshore-test-learning:bench"
SCRIPT = """
import time
import PIL, sklearn.neighbors

def run(mini_batch):
    return [time.time() for path in mini_batch]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="take the medians of N measurements")
    repeat = parser.parse_args().repeat
    place = places()
    prepare(place)
    with locked(images.store()):
        images.load(place, images.build(DOCKERFILE, DOCKERFILE.parent, READY, replace=False))
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        report(*measure(place, Path(scratch), repeat))


def measure(place: Places, scratch: Path, repeat: int) -> tuple[list[float], list[float], float, int]:
    """Return the times of steps with an image and with packages, that of the first with packages, and the builders."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    kubectl = Kubectl(place.kubeconfig)
    kubectl("create", "namespace", name)
    try:
        steps = Steps(kubectl.in_namespace(name), scratch / "data")
        steps.script("learning", SCRIPT)
        index = Index(steps.kubectl, scratch / "index")
        download(scratch / "index" / "simple")
        steps.apply("Environment", "image", image=READY)
        steps.apply("Environment", "packages", packages={"pip": list(PACKAGES), "indexUrl": index.url})
        first = first_call(steps, "packages-first", "packages")
        ready, packages = [], []
        for number in range(repeat):
            ready.append(first_call(steps, f"image-{number}", "image"))
            packages.append(first_call(steps, f"packages-{number}", "packages"))
        events = steps.kubectl.read("events", fieldSelector="reason=Scheduled")
        scheduled = {each["involvedObject"]["name"] for each in events}
        builders = [each for each in scheduled if each.startswith("longshore-environment-")]
        return ready, packages, first, len(builders)
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def download(folder: Path) -> None:
    """Fill an index with the wheels of the packages and of what they require."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", scratch]
        subprocess.run([*command, *PACKAGES], check=True)
        for wheel in Path(scratch).iterdir():
            target = folder / wheel.name.partition("-")[0].lower().replace("_", "-")
            target.mkdir(exist_ok=True)
            (target / wheel.name).write_bytes(wheel.read_bytes())


def first_call(steps: Steps, name: str, environment: str) -> float:
    """Run a step; return the seconds from `kubectl apply` to its first call of run()."""
    began = time.time()
    steps.submit(name, source={"configMap": "learning"}, environment={"name": environment}, processCountPerNode=1)
    ended = steps.finish(name)
    if ended["status"] != "True":
        raise SystemExit(f"step {name} failed: {ended['message']}")
    steps.until(lambda: not steps.pods("worker", name))
    return min(map(float, steps.output(name).split())) - began


def report(ready: list[float], packages: list[float], first: float, builders: int) -> None:
    one, other = statistics.median(ready), statistics.median(packages)
    verdict = "holds" if other / one <= LIMIT else "EXCEEDED"
    print(f"medians of {len(ready)}, from kubectl apply to the first call of run():")
    print(f"  image with the packages        {one:6.2f} s   {', '.join(f'{each:.2f}' for each in ready)}")
    print(f"  packages, installed before     {other:6.2f} s   {', '.join(f'{each:.2f}' for each in packages)}")
    print(f"  ratio                          {other / one:6.2f}     at most {LIMIT}: {verdict}")
    print(f"  packages, the first time       {first:6.2f} s")
    print(f"builders: {builders}")


if __name__ == "__main__":
    main()
