"""The tutorials of Azure ML's SDK, whose code blocks run as printed in a local workspace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from azureml_sdk import sdk, write

DATA = Path(__file__).parents[1] / "data/azureml"


def run_cells(notebook: Path, folder: Path) -> dict[str, Any]:
    """Run the cells of a notebook in the current process, in the current folder; return its variables."""
    names: dict[str, Any] = {}
    for number, cell in enumerate(json.loads(notebook.read_text())["cells"]):
        source = "".join(cell["source"])
        if source.startswith("%%writefile "):
            command, _, text = source.partition("\n")
            write(folder, {command.split()[1]: text})
        else:
            exec(compile(source, f"{notebook.name} cell {number}", "exec"), names)
    return names


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copy(DATA / "make_data.py", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with sdk(tmp_path, monkeypatch):
        yield tmp_path


def test_the_batch_inference_tutorial_runs_as_printed(folder: Path, capsys: pytest.CaptureFixture[str]):
    import make_data

    make_data.write_images(folder / "azure/sampledata/mnist")
    write(folder, {".longshore/accounts.yaml": "pipelinedata: azure\n"})  # instead of the public storage account
    found = run_cells(DATA / "batch_inference.ipynb", folder)

    frame = found["df"]
    digits = {str(name): int(digit) for name, digit in zip(frame["Filename"], frame["Prediction"], strict=True)}
    assert digits == {f"{number}.png": number % 10 for number in range(20)}
    second = found["pipeline_run_2"].find_step_run("predict-digits-mnist")[0]
    output = second.get_output_data("inferences")
    assert output.path_on_datastore == f"azureml/{second.id}/inferences"
    output.download(local_path="second")
    rows = Path("second", output.path_on_datastore, "mnist_outputs.txt").read_text()
    assert rows == "0.png: 0\n"  # exactly one image
    assert found["pipeline_run"].get_status() == "Finished"
    printed = capsys.readouterr().out
    assert "creating a new compute target..." in printed
    assert "Prediction has  20  rows" in printed
    assert printed.count("Created step predict-digits-mnist [") == 2
