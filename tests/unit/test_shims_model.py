"""Models by their names: of a step, of the working directory, and none."""

import importlib
import os
from pathlib import Path

import pytest

from longshore_run.context import VARIABLE, Context
from longshore_shims.absent import ALTERNATIVES
from longshore_shims.errors import AzureMLException, ModelNotFoundException, NotInsideAStep, UserErrorException
from longshore_shims.model import Model

PUBLIC = "longshore_shims.path.azureml.core"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory, and no step."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


def write(path, text=""):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def models(folder):
    for each in ("iris/2/iris.pkl", "iris/10/iris.pkl", "net/1/a.bin", "net/1/b.bin", "deep/1/data/weights.bin"):
        write(f"azureml-models/{each}", each)
    return folder / "azureml-models"


def test_a_model_of_one_file_is_the_file_and_another_its_folder(models):
    assert Model.get_model_path("iris") == str(models / "iris/10/iris.pkl")  # 10 is higher than 2
    assert Model.get_model_path("iris", version=2) == str(models / "iris/2/iris.pkl")
    assert Model.get_model_path(model_name="net", _workspace=None) == str(models / "net/1")
    assert Model.get_model_path("deep") == str(models / "deep/1")


def test_a_steps_models_are_found_from_whatever_folder_the_process_is_in(folder, monkeypatch):
    context = Context("/logs", models=(("iris", 3, "/models/iris.pkl"), ("net", 1, "/models/net")))
    monkeypatch.setenv(VARIABLE, context.write(str(folder)))
    monkeypatch.chdir("/")
    assert Model.get_model_path("iris") == "/models/iris.pkl"
    assert Model.get_model_path("net", 1) == "/models/net"


@pytest.mark.usefixtures("models")
def test_what_is_not_there_is_looked_for_beside_the_script_and_then_reported_with_what_there_is(folder):
    write("local.pkl")
    assert Model.get_model_path("local.pkl") == str(folder / "local.pkl")
    with pytest.raises(ModelNotFoundException) as caught:
        Model.get_model_path("digits")
    assert (
        str(caught.value)
        == caught.value.message
        == (
            'Model "digits" does not exist; the step\'s models are: deep (version 1), '
            "iris (version 2), iris (version 10), net (version 1). List the models that a step needs in spec.models."
        )
    )
    assert isinstance(caught.value, UserErrorException)
    with pytest.raises(ModelNotFoundException, match=r'Model "iris", version 7, does not exist'):
        Model.get_model_path("iris", version=7)


def test_where_there_is_no_model_that_is_reported():
    with pytest.raises(ModelNotFoundException, match=r"the step's models are: none\."):
        Model(None, "iris")


@pytest.mark.usefixtures("models")
def test_models_are_listed_the_latest_first():
    assert [(each.name, each.version) for each in Model.list("workspace")] == [
        ("deep", 1), ("iris", 10), ("iris", 2), ("net", 1),
    ]  # fmt: skip
    assert [each.version for each in Model.list(None, name="iris")] == [10, 2]
    assert [each.id for each in Model.list(None, name="iris", latest=True)] == ["iris:10"]
    assert Model.list(None, name="digits") == []


@pytest.mark.usefixtures("models")
def test_a_model_object_knows_its_version_and_can_be_copied(folder):
    assert (Model(None, "iris").version, Model(None, name="iris", version=2).version) == (10, 2)
    assert Model(None, id="iris:2").path.endswith("iris/2/iris.pkl")
    target = Model(None, "iris").download(target_dir="copies")
    assert (target, (folder / target).read_text()) == ("copies/iris.pkl", "iris/10/iris.pkl")
    assert sorted(os.listdir(Model(None, "net").download("copies"))) == ["a.bin", "b.bin"]
    with pytest.raises(UserErrorException, match="exists already"):
        Model(None, "net").download("copies")
    assert Model(None, "net").download("copies", exist_ok=True) == "copies/net"


@pytest.mark.usefixtures("models")
def test_what_a_model_cannot_do_here_is_reported_with_the_alternative():
    model = Model(None, "iris")
    for call in (lambda: model.deploy(None), lambda: model.add_tags({}), lambda: model.package(None)):
        with pytest.raises(NotInsideAStep, match=r"^Model\.\w+ is not available inside a Longshore step: \w"):
            call()


@pytest.mark.parametrize("name", ["", ".authentication", ".compute", ".conda_dependencies",
                                  ".environment", ".experiment", ".runconfig"])  # fmt: skip
def test_names_that_only_submitting_needs_can_be_imported_and_refuse_to_be_used(name):
    module = importlib.import_module(PUBLIC + name)
    absent = module.__getattr__
    known = [each for each in ALTERNATIVES if hasattr(module, each)]
    assert known
    for each in known:
        for use in (lambda each=each: absent(each)(), lambda each=each: absent(each).get):
            sentence = f"{each}[.a-z]* is not available inside a Longshore step: {ALTERNATIVES[each]}"
            with pytest.raises(NotInsideAStep, match=sentence):
                use()
    with pytest.raises(ImportError):
        exec(f"from {module.__name__} import Misspelt")


def test_absent_is_absent_for_hasattr_and_an_azureml_error_for_except():
    compute = importlib.import_module(PUBLIC).ComputeTarget
    assert not hasattr(compute, "attach")
    assert issubclass(NotInsideAStep, AzureMLException)
    assert repr(compute).endswith("core.ComputeTarget, not available inside a step>")
