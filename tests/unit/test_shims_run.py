"""The Run and the Workspace of azureml.core, in a step, in a pipeline's step, and outside of any."""

import io
import uuid
from pathlib import Path

import pytest

from longshore_run import metrics
from longshore_run.context import VARIABLE, Context, Given
from longshore_shims.dataset import StepDataset
from longshore_shims.errors import (
    AzureMLException,
    InputNotFoundException,
    NotInsideAStep,
    RunEnvironmentException,
    UserErrorException,
)
from longshore_shims.run import OfflineRun, Run
from longshore_shims.workspace import Workspace


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    for name in (VARIABLE, metrics.VARIABLE, "AZUREML_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def step(tmp_path, monkeypatch):
    """Make this process part of a step."""

    def make(**fields):
        fields = {"experiment": "train", **fields}
        monkeypatch.setenv(VARIABLE, Context(str(tmp_path / "logs"), **fields).write(str(tmp_path)))
        monkeypatch.setenv(metrics.VARIABLE, str(tmp_path / "metrics.jsonl"))
        monkeypatch.setenv("AZUREML_RUN_ID", "run-1-train")
        return Run.get_context(allow_offline=False)

    return make


def test_the_steps_run_knows_its_id_and_what_it_is_listed_under(step):
    run = step()
    assert run.id == run.name == "run-1-train"
    assert run.experiment.name == "train"
    workspace = run.experiment.workspace
    assert (workspace.name, workspace.resource_group) == ("longshore", "longshore")
    assert uuid.UUID(workspace.subscription_id).int == 0
    assert not isinstance(run, OfflineRun)


def test_a_pipelines_step_has_the_pipelines_run_as_its_parent_and_another_itself(step):
    assert step(parent_id="run-1").parent.id == "run-1"
    run = step()
    assert run.parent is run


def test_parent_and_parts_log_to_the_step(step, tmp_path):
    run = step(parent_id="run-1")
    run.log("loss", 1)
    run.parent.log("total", 2)
    with run.child_run("fold-1") as part:
        part.log("loss", 3)
        part.complete()
    assert part.name == "fold-1"
    assert part.parent is run
    assert part.id != run.id
    assert metrics.read(str(tmp_path / "metrics.jsonl")) == {"loss": [1, 3], "total": 2}


def test_inputs_are_paths_of_files_and_datasets_of_tables(step, tmp_path):
    for name in ("a/x/1.png", "a/y/2.png", "b.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    places = {"folder": ["a"], "file": ["b.csv"], "glob": ["a/x/*.png"], "both": ["a/x", "a/y/*"], "deep": ["a/**/*"]}
    inputs = [Given(name, tuple(str(tmp_path / each) for each in paths)) for name, paths in places.items()]
    table = Given("table", (str(tmp_path / "b.csv"),), {"format": "csv"})
    found = step(inputs=(*inputs, table)).input_datasets
    assert list(found) == [*places, "table"]
    expected = {"folder": "a", "file": "b.csv", "glob": "a/x", "both": "a", "deep": "a"}
    assert {name: found[name] for name in places} == {name: str(tmp_path / each) for name, each in expected.items()}
    assert isinstance(found["table"], StepDataset)


def test_an_input_that_there_is_not_is_reported_with_those_that_there_are(step):
    found = step(inputs=(Given("images", ("/in",)), Given("far", ("s3://bucket/in/*",)))).input_datasets
    assert "image" not in found
    assert found.get("image") is None
    with pytest.raises(InputNotFoundException) as caught:
        found["image"]
    assert str(caught.value) == 'Input "image" does not exist; the step\'s inputs are: images, far.'
    assert "far" in found
    with pytest.raises(UserErrorException, match=r"The input far is in a store, at s3://bucket/in/\*, and has no l"):
        found["far"]


def test_outputs_are_folders_by_name(step):
    assert step(outputs={"model": "/out/model"}).output_datasets == {"model": "/out/model"}


def test_outside_of_a_step_a_run_is_an_offline_one(capsys):
    run = Run.get_context()
    assert isinstance(run, OfflineRun)
    assert run.id.startswith("OfflineRun_")
    assert not hasattr(run, "experiment")
    assert run.parent is run
    assert (dict(run.input_datasets), run.output_datasets) == ({}, {})
    run.log("accuracy", 0.5)
    run.tag("kind", "trial")
    run.upload_file("outputs/a.txt", "a.txt")
    run.log_image("b", plot=None)
    said = f"accuracy: 0.5\ntag of {run.id}: kind=trial\nkept: outputs/a.txt\nkept: b.png\n"
    assert capsys.readouterr().out == said
    assert run.tags == {"kind": "trial"}
    with pytest.raises(RunEnvironmentException):
        Run.get_context(allow_offline=False)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda run: run.get_details(),
            "Run.get_details is not available inside a Longshore step: it needs Azure ML's",
        ),
        (
            lambda run: run.upload_file("a", "a"),
            "Run.upload_file is not available inside a Longshore step: write files",
        ),
        (
            lambda run: run.upload_folder("a", "."),
            "Run.upload_folder is not available inside a Longshore step: write files ",
        ),
        (
            lambda run: run.log_image("a", "a.png"),
            "Run.log_image is not available inside a Longshore step: write files",
        ),
        (
            lambda run: run.fail(),
            "Run.fail is not available inside a Longshore step: raise an exception to fail a step",
        ),
        (
            lambda run: run.experiment.submit(None),
            "StepExperiment.submit is not available inside a Longshore step: a s",
        ),
        (lambda run: Run.list(None), "Run.list is not available inside a Longshore step: it needs Azure ML's own "),
        (lambda run: Workspace.from_config().compute_targets, "Workspace.compute_targets is not available inside a"),
        (
            lambda run: Workspace.create("w"),
            "Workspace.create is not available inside a Longshore step: it needs Azure",
        ),
    ],
)
def test_what_only_azure_can_do_is_reported_with_the_alternative(step, call, sentence):
    with pytest.raises(NotInsideAStep) as caught:
        call(step())
    assert str(caught.value).startswith(sentence)
    assert isinstance(caught.value, AzureMLException)


def test_a_workspace_is_had_in_every_way_that_scripts_know(step):
    step(inputs=(Given("images", ("/in",)),), models=(("iris", 1, "/m/1"), ("iris", 2, "/m/2")))
    assert Workspace.from_config().name == "longshore"
    named = Workspace.get("mine", subscription_id="s", resource_group="g")
    assert (named.name, named.subscription_id, named.resource_group) == ("mine", "s", "g")
    assert Workspace("s", "g", "mine").name == "mine"
    assert {name: each.version for name, each in named.models.items()} == {"iris": 2}
    assert list(named.datasets) == ["images"]


def test_a_later_hosts_context_is_read_by_earlier_stand_ins(step, tmp_path):
    step()
    path = Path(tmp_path / "context.json")
    path.write_text(path.read_text().replace('"worker"', '"colour": "red", "worker"'))
    assert Run.get_context().experiment.name == "train"


@pytest.fixture
def script(step, tmp_path, monkeypatch):
    """The run of a script step, and its working directory."""
    folder = tmp_path / "source"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return step(artifacts=str(folder)), folder


def test_files_are_kept_below_outputs_and_logs_of_a_script_step(script, monkeypatch, tmp_path):
    run, folder = script
    (folder / "model.pkl").write_text("model")
    monkeypatch.chdir(tmp_path)
    run.upload_file("outputs/a/model.pkl", "source/model.pkl")
    run.upload_file("outputs/a/model.pkl", str(folder / "outputs/a/model.pkl"))  # it is there already
    run.upload_file(name="logs/log.txt", path_or_stream=io.BytesIO(b"log"))
    run.upload_file("text.txt", io.StringIO("text"))
    run.upload_files(["one", "two"], ["source/model.pkl", "source/model.pkl"])
    run.upload_folder("folder", "source/outputs")
    run.log_image("plot", path="source/model.pkl")
    run.log_image("drawn", plot=Plot())
    kept = sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())
    assert kept == [
        "logs/log.txt",
        "model.pkl",
        "outputs/a/model.pkl",
        "outputs/drawn.png",
        "outputs/folder/a/model.pkl",
        "outputs/folder/one",
        "outputs/folder/text.txt",
        "outputs/folder/two",
        "outputs/one",
        "outputs/plot.pkl",
        "outputs/text.txt",
        "outputs/two",
    ]
    assert (folder / "outputs/a/model.pkl").read_text() == "model"


class Plot:
    """What matplotlib.pyplot is to log_image()."""

    def savefig(self, path, format):
        Path(path).write_text(format)


@pytest.mark.parametrize("name", ["../x", "/x", ".", "outputs/../../x"])
def test_a_name_that_leads_out_is_refused(script, name):
    run, folder = script
    (folder / "file").touch()
    with pytest.raises(UserErrorException, match="is not a path below outputs or logs"):
        run.upload_file(name, "file")


def test_what_is_not_there_cannot_be_kept(script):
    run, _ = script
    with pytest.raises(
        UserErrorException, match=r"absent\.pkl is not a file, so it cannot be kept as outputs/m\.pkl\."
    ):
        run.upload_file("outputs/m.pkl", "absent.pkl")
    with pytest.raises(UserErrorException, match=r"absent is not a folder, so it cannot be kept as m\."):
        run.upload_folder("m", "absent")


def test_tables_and_what_describes_models_are_metrics(step, tmp_path):
    run = step()
    run.log_table("table", {"x": [1, 2], "y": (3,), "z": "all"})
    run.log_table("row", {"x": 1})
    run.log_residuals("residuals", {"edges": [0, 1]})
    run.log_confusion_matrix("matrix", '{"data": {"matrix": [[1, 0], [0, 1]]}}')
    assert metrics.read(str(tmp_path / "metrics.jsonl")) == {
        "table": [{"x": 1, "y": 3, "z": "all"}, {"x": 2, "y": "None", "z": "all"}],
        "row": [{"x": 1}],
        "residuals": [{"edges": [0, 1]}],
        "matrix": [{"data": {"matrix": [[1, 0], [0, 1]]}}],
    }
