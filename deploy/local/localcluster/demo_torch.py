"""PyTorch's digits in the cluster that is up: trained on this machine, scored in pods of their own image."""

from __future__ import annotations

import json
import sys

from localcluster import install
from localcluster.demo_steps import kubectl, prepare_namespace, print_heading
from localcluster.places import CHECKOUT, Places
from localcluster.processes import show

EXAMPLE = CHECKOUT / "deploy" / "examples" / "torch-digits"
IMAGE = "localhost/longshore-torch:dev"  # as the Environment calls it
_NAME = "torch-digits"  # of namespace and step
_PYTHON = CHECKOUT / ".venv-torch" / "bin" / "python"  # made by make


def torch(place: Places) -> None:
    """Train and score, and show the devices; Problem unless each digit is scored once, and well."""
    print_heading("Digits with PyTorch: trained here, scored in pods")
    show([_PYTHON, EXAMPLE / "train.py"])
    folder = prepare_namespace(place, _NAME, EXAMPLE)
    scripts = (f"--from-file={EXAMPLE / name}" for name in ("score.py", "network.py"))
    kubectl(place, _NAME, "create", "configmap", "torch-digits-code", *scripts)
    kubectl(place, _NAME, "apply", "--validate=false", "--filename", EXAMPLE / "digits.yaml")
    kubectl(place, _NAME, "apply", "--validate=false", "--filename", EXAMPLE / "cluster" / "step.yaml")
    kubectl(place, _NAME, "wait", "--for=condition=Finished", "--timeout=300s", f"prs/{_NAME}")
    kubectl(place, _NAME, "get", "prs")
    status = json.loads(install.kubectl(place, "get", "prs", _NAME, f"--namespace={_NAME}", "--output=json"))["status"]
    print("status.devices:", json.dumps(status.get("devices")), flush=True)
    run_folder = folder / status["runUri"].removeprefix(f"pvc:{_NAME}/")
    right = ("--labels", EXAMPLE / "data" / "labels.csv", "--required", "0.95")
    show([sys.executable, CHECKOUT / "deploy/examples/digits/show_results.py", run_folder, *right])
