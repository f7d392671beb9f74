"""`python -m localcluster.demo`: the digits example in the cluster that is up, and the same step run here.

It prints what it does as one would type it, and ends with 0 if both outputs are equal, byte for byte.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from localcluster import cluster, demo_pipelines, demo_torch, images, install
from localcluster.demo_steps import kubectl, open_to_pods, print_command, print_heading
from localcluster.places import CHECKOUT, Places, locked, places
from localcluster.processes import Problem, show, wait_until

EXAMPLE = CHECKOUT / "deploy" / "examples" / "digits"
IMAGES = {  # as they are named
    EXAMPLE: "localhost/longshore-digits:dev",
    demo_pipelines.IRIS: demo_pipelines.IMAGE,
    demo_torch.EXAMPLE: demo_torch.IMAGE,
}
NAMESPACE, STEP, FOLDER = "digits", "digit-identification", "/srv/longshore-digits"  # as the manifests call them
PATIENCE, _BINDING = 600, 60  # seconds


def main() -> int:
    """Run the demo."""
    place = places()
    started = time.monotonic()
    try:
        cluster.running(place)
        image = _images(place)
        print_heading(f"Longshore: its chart, in namespace {install.NAMESPACE}")
        install.install(place, image)
        install_pods = ("get", "pods", f"--namespace={install.NAMESPACE}")
        print(install.kubectl(place, *install_pods), end="", flush=True)
        folder = _data(place)
        status = _run(place, folder)
        _compare(folder / status["runUri"].removeprefix("pvc:digits/"))
        demo_pipelines.digits(place, folder)
        demo_pipelines.iris(place)
        demo_torch.torch(place)
    except Problem as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    print(f"\nThe demo took {time.monotonic() - started:.0f} s. The cluster is still up:")
    print(f'  eval "$(deploy/local/cluster env)"; kubectl --namespace={NAMESPACE} describe prs')
    print("  make cluster-down     ends it, and removes all of it")
    return 0


def _images(place: Places) -> Path:
    """Build and load all images, and return the archive of Longshore's."""
    print_heading("Images: Longshore's own, and those of the examples, whose Dockerfiles are beside their scripts")
    with locked(images.store()):
        ours = images.product_image()
        examples = (images.build(each / "Dockerfile", each, name) for each, name in IMAGES.items())
        for archive in (ours, *examples):
            images.load(place, archive)
    return ours


def _data(place: Places) -> Path:
    """Copy the example's data to the folder of the volume; return the folder."""
    print_heading("Data: images and classifier, on a folder of the node")
    show([sys.executable, EXAMPLE / "prepare.py"])
    folder = place.state / "digits"  # goes with the cluster
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(EXAMPLE / "data", folder / "data")
    open_to_pods(folder)
    return folder


def _run(place: Places, folder: Path) -> dict[str, str]:
    """Apply the example, show its progress, and return its last status; Problem unless it succeeded."""
    print_heading("The step: applied, and watched to its end")
    kubectl(place, NAMESPACE, "delete", "namespace", NAMESPACE, "--ignore-not-found")
    kubectl(place, NAMESPACE, "delete", "persistentvolume", "digits", "--ignore-not-found")  # of an earlier demo
    script = f"--from-file={EXAMPLE / 'digit_identification.py'}"
    kubectl(place, NAMESPACE, "apply", "--filename", EXAMPLE / "cluster" / "namespace.yaml")
    kubectl(place, NAMESPACE, "apply", "--filename=-", stdin=_storage(folder))
    wait_until(lambda: _is_bound(place), "the claim to be bound", seconds=_BINDING)
    kubectl(place, NAMESPACE, "create", "configmap", "digits-code", script)
    kubectl(place, NAMESPACE, "apply", "--filename", EXAMPLE / "digits.yaml")
    kubectl(place, NAMESPACE, "apply", "--filename", EXAMPLE / "cluster" / "step.yaml")
    _watch(place)
    kubectl(place, NAMESPACE, "get", "pods")
    found = json.loads(install.kubectl(place, "get", "prs", STEP, f"--namespace={NAMESPACE}", "--output=json"))
    status: dict[str, str] = found["status"]
    return status


def _is_bound(place: Places) -> bool:
    claim = ("persistentvolumeclaim", "digits", f"--namespace={NAMESPACE}", "--output=jsonpath={.status.phase}")
    return install.kubectl(place, "get", *claim) == "Bound"


def _storage(folder: Path) -> str:
    """Return the manifests of the volume, on another folder of the node."""
    text = (EXAMPLE / "cluster" / "storage.yaml").read_text()
    assert FOLDER in text, "what it is called there"
    return text.replace(FOLDER, str(folder))


def _watch(place: Places) -> None:
    """Show each change of the step until it ends; Problem if that takes too long."""
    print_command(NAMESPACE, "get", "prs", "--watch")
    command = ["timeout", str(PATIENCE), "kubectl", f"--namespace={NAMESPACE}", "get", "prs", "--watch"]
    environment = {**os.environ, "KUBECONFIG": str(place.kubeconfig)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None, "it is a pipe"
        for line in watch.stdout:
            print(line, end="", flush=True)
            succeeded = line.split()[1:2]
            if succeeded in (["True"], ["False"]):
                watch.terminate()
                if succeeded == ["False"]:
                    raise Problem("the step failed; run `kubectl describe prs` for the reason")
                return
    raise Problem(f"the step did not end within {PATIENCE} s")


def _compare(run_folder: Path) -> None:
    """Show the results, and run the same step here; Problem unless both are right and the same."""
    print_heading("Results")
    show([sys.executable, EXAMPLE / "show_results.py", run_folder])
    print_heading("The same step on this machine")
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch) / "run"
        show([sys.executable, "-m", "longshore_cli", "run", EXAMPLE, "--run-dir", here])
        output = Path("inferences", "mnist_outputs.txt")
        ours, theirs = (here / output).read_bytes(), (run_folder / output).read_bytes()
    if ours != theirs:
        raise Problem(f"{run_folder / output} is not what the same step writes here")
    print(f"{output.name} is the same here and on the cluster, byte for byte ({len(ours)} bytes)")


if __name__ == "__main__":
    sys.exit(main())
