"""PyTorch's digits, in an environment that has torch: trained, scored on the CPU, and out of a GPU's memory."""

import csv
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "deploy" / "examples" / "torch-digits"
PYTHON = CHECKOUT / ".venv-torch" / "bin" / "python"
TOGETHER = """
import os, time

import score
from score import init

def run(mini_batch):
    open(f"{os.environ['GATE']}/{os.getpid()}", "w").close()
    while len(os.listdir(os.environ["GATE"])) < 2:  # so that each process scores some
        time.sleep(0.01)
    return score.run(mini_batch)
"""


@pytest.fixture(scope="session")
def python():
    """The interpreter of an environment with longshore[torch], made where there is none: half a minute."""
    subprocess.run(["make", "--silent", ".venv-torch/ready"], cwd=CHECKOUT, check=True, timeout=900)
    return PYTHON


@pytest.fixture(scope="module")
def trained(python, tmp_path_factory):
    """A copy of the example, with its network trained."""
    folder = tmp_path_factory.mktemp("example") / "torch-digits"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data"))
    subprocess.run([python, folder / "train.py"], check=True, capture_output=True, timeout=300)
    (folder / "together.py").write_text(TOGETHER)
    step = (folder / "step.yaml").read_text()
    (folder / "step.yaml").write_text(step.replace("entryScript: score.py", "entryScript: together.py"))
    return folder


def accuracy(rows, example):
    with (example / "data" / "labels.csv").open(newline="") as file:
        truth = {row["image"]: row["digit"] for row in csv.DictReader(file)}
    found = [row.partition(": ")[::2] for row in rows]
    assert Counter(image for image, _ in found) == Counter(truth.keys())  # each image once
    return sum(truth[image] == digit for image, digit in found) / len(truth)


# Both processes are given one GPU. That there is no such GPU, torch finds out.
@pytest.mark.parametrize(("given", "device"), [("", "cpu"), ("63", "gpu:63")])
def test_every_digit_is_scored_once_and_well_by_two_processes(longshore, python, trained, given, device):
    gate = longshore.folder / "gate"
    gate.mkdir()
    longshore.variables = {"GATE": str(gate), "CUDA_VISIBLE_DEVICES": given}
    ended = longshore.run(paths=(trained,), python=python)
    assert ended.code == 0, ended.first_error
    rows = (ended.run_dir / "inferences" / "digits.txt").read_text().splitlines()
    assert accuracy(rows, trained) >= 0.95
    with (ended.run_dir / "logs/sys/job_report/processed_mini-batches.csv").open(newline="") as file:
        assert {row["Process"] for row in csv.DictReader(file)} == {"process000", "process001"}
    assert ended.status["devices"] == [{"worker": "worker-0", "device": device, "processes": 2}]
    for process in ("process000", "process001"):
        printed = ended.log(f"user/stdout/worker-0/{process}.stdout.txt")
        assert printed == f"scoring on cpu with 1 thread, CUDA_VISIBLE_DEVICES is {given}\n"


@pytest.mark.parametrize("name", ["torch.OutOfMemoryError", "torch.cuda.OutOfMemoryError"])
def test_torchs_own_exception_for_a_gpu_that_is_full_is_a_category(longshore, python, name):
    longshore.data("a.txt")
    longshore.write("code/full.py", f"import torch\n\n\ndef run(mini_batch):\n    raise {name}('CUDA out of memory')\n")
    longshore.manifest(longshore.step("full.py", source={"uri": "code"}, runMaxTry=1, errorThreshold=0))
    ended = longshore.run(python=python)
    assert ended.code == 1
    assert ended.first_error["category"] == "CudaOutOfMemory"
    assert "make miniBatchSize smaller" in ended.first_error["message"]
    assert [each["category"] for each in ended.failed] == ["CudaOutOfMemory"]
