"""The tutorials of Azure ML's SDK, whose code blocks run as printed in a local workspace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

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


def test_the_pipeline_tutorial_runs_as_printed_and_is_published(folder: Path):
    from azureml.core.authentication import InteractiveLoginAuthentication
    from azureml.pipeline.core import PipelineEndpoint, PipelineRun, PublishedPipeline

    found = run_cells(DATA / "first_pipeline.ipynb", folder)
    workspace, run = found["ws"], found["pipeline_run1"]
    assert {each.name: each.get_metrics() for each in run.get_children()} == {
        "prepare.py": {},
        "train.py": {"images": 3},
        "Compare models": {"mean": 3.0, "above": True},
    }
    iris, hello = found["pipeline_run"].get_steps()
    assert (iris.name, iris.get_metrics()) == ("iris_train.py", {"rows": 2})
    assert (hello.name, hello.get_job_log()) == ("Hello World", "Hello, World")

    published = run.publish_pipeline(name="Compare models", description="Of the tutorial.", version="1.0")
    endpoint = PipelineEndpoint.publish(workspace=workspace, name="compare", pipeline=published, description="")
    (folder / "compare_src/compare.py").write_text("raise SystemExit(1)")  # the published copy does not change
    body = {"ExperimentName": "Compare_Models_Exp", "ParameterAssignments": {"limit": 3.5}, "RunSource": "SDK"}
    answer = post(endpoint.endpoint, body, InteractiveLoginAuthentication().get_authentication_header())
    second = PipelineRun(workspace.experiments["Compare_Models_Exp"], answer["Id"])
    assert second.wait_for_completion() == "Finished"
    assert second.find_step_run("Compare models")[0].get_metrics() == {"mean": 3.0, "above": False}
    assert "azureml.reusedrunid" in second.find_step_run("train.py")[0].get_details()["properties"]
    assert next(found["exp"].get_runs()).id == second.id

    assert [(each.name, str(each.version)) for each in PublishedPipeline.list(workspace)] == [("Compare models", "1.0")]
    published.disable()
    assert PublishedPipeline.list(workspace) == []
    status, message = refused(endpoint.endpoint, body, InteractiveLoginAuthentication().get_authentication_header())
    assert status == 400
    assert f'"Compare models" ({published.id}) is disabled' in message
    status, message = refused(endpoint.endpoint, body, {"Authorization": "Bearer other"})
    assert status == 401
    assert "create a PipelineRun by the Kubernetes API instead" in message


def post(url: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    request = Request(url, data=json.dumps(body).encode(), headers=headers)
    with urlopen(request) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def refused(url: str, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, str]:
    with pytest.raises(HTTPError) as caught:
        post(url, body, headers)
    with caught.value as answer:
        return answer.code, json.load(answer)["message"]
