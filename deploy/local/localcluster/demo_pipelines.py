"""The two tutorials' pipelines in the cluster that is up: digits with parameters, irises with reuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from localcluster import install
from localcluster.demo_steps import kubectl, prepare_namespace, print_heading
from localcluster.places import CHECKOUT, Places
from localcluster.processes import Problem, show

DIGITS, IRIS = (CHECKOUT / "deploy" / "examples" / name for name in ("digits", "iris-pipeline"))
IMAGE = "localhost/longshore-iris:dev"  # as the pipeline calls it
_WAIT = ("wait", "--for=condition=Finished", "--timeout=300s")


def digits(place: Places, folder: Path) -> None:
    """Run the digits' pipeline in their namespace, and once more on one image; Problem unless that scores one."""
    print_heading("The same step as a pipeline with parameters, and again on a single image")
    for file in ("pipeline/datasets.yaml", "cluster/pipeline.yaml", "cluster/run.yaml"):
        kubectl(place, "digits", "apply", "--validate=false", "--filename", DIGITS / file)
    kubectl(place, "digits", *_WAIT, "lsrun/digits")
    kubectl(place, "digits", "apply", "--validate=false", "--filename", DIGITS / "cluster" / "run-single-image.yaml")
    kubectl(place, "digits", *_WAIT, "lsrun/digits-single-image")
    kubectl(place, "digits", "get", "lsrun")
    output = _succeeded(place, "digits", "digits-single-image")["steps"][0]["outputs"][0]["uri"]
    rows = (folder / output.removeprefix("pvc:digits/") / "mnist_outputs.txt").read_text()
    print(f"the second run's output: {rows}", end="")
    if len(rows.splitlines()) != 1:
        raise Problem("the second run was to score one image")


def iris(place: Places) -> None:
    """Run the irises' pipeline twice; Problem unless the second run reuses all steps."""
    print_heading("Irises: prepare, train, compare, and once more, with nothing left to do")
    show([sys.executable, IRIS / "write_data.py"])
    prepare_namespace(place, "iris", IRIS)
    for step in ("prepare", "train", "compare"):
        kubectl(place, "iris", "create", "configmap", f"iris-{step}", f"--from-file={IRIS / step}")
    kubectl(place, "iris", "apply", "--validate=false", "--filename", IRIS / "cluster" / "pipeline.yaml")
    run = (IRIS / "cluster" / "run.yaml").read_text()
    ended = {}
    for name in ("iris-1", "iris-2"):
        kubectl(place, "iris", "apply", "--validate=false", "--filename=-", stdin=run.replace("iris-1", name))
        kubectl(place, "iris", *_WAIT, f"lsrun/{name}")
        ended[name] = _succeeded(place, "iris", name)
        print(json.dumps({each["name"]: each.get("metrics", {}) for each in ended[name]["steps"]}, indent=1))
    kubectl(place, "iris", "get", "lsrun")
    if not all("reusedFrom" in each for each in ended["iris-2"]["steps"]):
        raise Problem("the second run was to reuse all steps")


def _succeeded(place: Places, namespace: str, name: str) -> dict[str, Any]:
    """Return the status of a run; Problem unless it has succeeded."""
    found = json.loads(install.kubectl(place, "get", "lsrun", name, f"--namespace={namespace}", "--output=json"))
    status: dict[str, Any] = found["status"]
    (succeeded,) = (each for each in status["conditions"] if each["type"] == "Succeeded")
    if succeeded["status"] != "True":
        raise Problem(f"{name} did not succeed: {succeeded['message']}")
    return status
