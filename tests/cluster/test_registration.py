"""Models and Datasets that steps register from real pods: created after a success, and found by their names."""

import pytest
from claims import claim
from s3_server import BUCKET
from servers import ObjectStore
from steps import Steps

TRAIN = """
import os, sys
from azureml.core import Dataset, Run
from azureml.core.model import Model

run = Run.get_context()
with open(os.path.join(sys.argv[1], "rows.csv"), "w") as file:
    file.write("a,b\\n1,2\\n")
os.makedirs("outputs", exist_ok=True)
with open("outputs/net.pkl", "w") as file:
    file.write("weights")
run.register_model("Digits v2", "outputs/net.pkl", tags={"score": 0.9})
Dataset.Tabular.from_delimited_files(os.path.join(sys.argv[1], "*.csv")).register(run.experiment.workspace, "rows")
sys.exit(int(sys.argv[2]))
"""
USE = """
from azureml.core.model import Model

print(open(Model.get_model_path("Digits v2")).read())
"""
SCORE = """
import os
from azureml.core import Run
from azureml.core.model import Model

def run(mini_batch):
    return [os.path.basename(each) for each in mini_batch]

def shutdown():
    with open("summary.txt", "w") as file:
        file.write("done")
    Model.register(Run.get_context().experiment.workspace, "summary.txt", "summary")
"""


@pytest.fixture(params=["folder", "claim", "bucket"])
def steps(request, operator, namespace, tmp_path):  # noqa: ARG001, the operator must run
    made = Steps(namespace, tmp_path / "data")
    made.files = lambda prefix: in_folder(made.folder, prefix)
    if request.param == "claim":
        claim(namespace, "volume", made.folder)
        made.apply("Datastore", "data", uri="pvc:volume", default=True)
    elif request.param == "bucket":
        objects = ObjectStore(namespace, request.getfixturevalue("servers_image"))
        objects.put({f"store/{name}": text for name, text in made.files("in/").items()})
        made.files = lambda prefix: {
            name.removeprefix("store/"): text for name, text in objects.get(f"store/{prefix}").items()
        }
        made.apply("Datastore", "data", uri=f"s3://{BUCKET}/store", default=True, secretRef={"name": "key"})
    return made


def in_folder(folder, prefix):
    """Return the texts of the files whose paths below a folder begin so, by their paths."""
    named = {str(each.relative_to(folder)): each for each in folder.rglob("*") if each.is_file()}
    return {name: each.read_text(errors="replace") for name, each in named.items() if name.startswith(prefix)}


def run_script(steps, name, text, *arguments, **changes):
    """Run a ScriptStep; return the condition that says how it ended, and its status."""
    steps.script(name, text)
    spec = {
        "source": {"configMap": name},
        "scriptName": "score.py",
        "environment": {"name": "plain"},
        "outputs": [{"name": "rows"}],
        "arguments": ["$(outputs.rows)", *arguments],
    }
    resource = f"scriptsteps.longshore.dev/{name}"
    steps.apply("ScriptStep", name, **{**spec, **changes})
    steps.until(lambda: steps.kubectl.conditions(resource).get("Finished", {}).get("status") == "True")
    return steps.kubectl.conditions(resource)["Succeeded"], steps.kubectl.get(resource)["status"]


def registered(steps, kind):
    """Return name and version of what is registered."""
    found = steps.kubectl.read(f"{kind}.longshore.dev")
    labelled = [each for each in found if "longshore.dev/registration" in each["metadata"].get("labels", {})]
    return sorted((each["spec"]["name"], each["spec"]["version"]) for each in labelled)


def test_what_steps_register_exists_after_a_success_and_is_found_by_name(steps):
    failed, status = run_script(steps, "fails", TRAIN, "3")
    assert (failed["reason"], status.get("registered")) == ("ScriptFailed", None)
    assert registered(steps, "models") == registered(steps, "datasets") == []

    for version, name in enumerate(("train", "again"), start=1):
        condition, status = run_script(steps, name, TRAIN, "0")
        assert condition["status"] == "True", condition
        assert [(each["kind"], each["name"], each["version"]) for each in status["registered"]] == [
            ("Model", "Digits v2", version),
            ("Dataset", "rows", version),
        ]
    assert registered(steps, "models") == [("Digits v2", 1), ("Digits v2", 2)]
    model = steps.kubectl.get(f"models.longshore.dev/{status['registered'][0]['resource']}")
    assert model["spec"]["datastore"] == "data"
    path = model["spec"]["path"]
    assert steps.files(path) == {path: "weights"}
    origin = model["status"]["origin"]
    assert (origin["step"], origin["runId"], len(origin["code"])) == ("again", status["runId"], 64)
    table = steps.kubectl("get", "models.longshore.dev")
    assert table.splitlines()[0].split() == ["NAME", "MODEL", "VERSION", "STEP", "RUN", "AGE"]

    condition, _ = run_script(steps, "use", USE)
    assert condition["status"] == "True", condition
    (log,) = (text for name, text in steps.files("longshore/use-").items() if name.endswith("/logs/stdout.txt"))
    assert log == "weights\n"

    steps.kubectl("delete", "configmap", "code")
    steps.script("code", SCORE)
    steps.submit("score", miniBatchSize=10)
    assert steps.finish()["status"] == "True", steps.condition()
    assert [each["name"] for each in steps.status()["registered"]] == ["summary"]
    assert ("summary", 1) in registered(steps, "models")
