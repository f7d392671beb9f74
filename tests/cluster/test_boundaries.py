"""What a script can reach of the volumes that its step uses, and what the links lead to that it leaves there."""

import json

import pandas
import pytest
from claims import claim
from localcluster import install
from steps import ITEMS, Steps

SECRET = "of another team"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
LINKS = {
    "token": TOKEN,
    "environment": "/proc/self/environ",
    "above": "../../../../../other/secret.txt",
    "folder": "/longshore",
    "rows.csv": "/mnt/longshore/claim/shared/other/secret.txt",
}
SCRIPT = (
    f"""
import json, os

CLAIM, LINKS = "/mnt/longshore/claim/shared", {LINKS}
"""
    """
def run(mini_batch):
    output = os.environ["AZUREML_BI_OUTPUT_PATH"]
    own = os.path.dirname(output)
    found = {
        "write an input": attempt(open, mini_batch[0], "w"),
        "write beside the inputs": attempt(open, CLAIM + "/team/new", "w"),
        "list another folder of the claim": attempt(os.listdir, CLAIM + "/other"),
        "climb to it": attempt(open, mini_batch[0] + "/../../../other/secret.txt"),
        "list the state": attempt(os.listdir, own + "/state"),
        "make a state": attempt(os.mkdir, own + "/state"),
        "read another run's": attempt(os.listdir, CLAIM + "/team/longshore/earlier/state"),
        "write to a run's": attempt(open, CLAIM + "/team/longshore/earlier/state/ledger/1", "w"),
        "replace its output": attempt(os.rename, output, own + "/other"),
        "see": sorted(os.listdir(own)),
    }
    for name, target in LINKS.items():
        link = os.path.join(output, "links", name)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(target, link)
    return [json.dumps(found)] * len(mini_batch)

def attempt(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return error.strerror
    return "it worked"
"""
)
DOUBLED = """
def run(mini_batch):
    mini_batch["twice"] = mini_batch.x * 2
    return mini_batch
"""


@pytest.fixture(scope="module")
def steps(place, shared_namespace, tables_image, tmp_path_factory):
    """A claim of two teams, of which one has a Datastore; the scripts have run."""
    install.start(place)
    whole = tmp_path_factory.mktemp("boundaries") / "claim"
    steps = Steps(shared_namespace, whole / "team")
    for index in range(2):
        rows = pandas.DataFrame({"x": [index, None], "name": ["a", "b"], "day": pandas.Timestamp("2024-02-29")})
        rows.to_parquet(steps.folder / "in" / f"{index}.parquet")
    ledger = steps.folder / "longshore" / "earlier" / "state" / "ledger" / "1"
    ledger.parent.mkdir(parents=True)
    ledger.write_text("untouched")
    (whole / "other").mkdir()
    (whole / "other" / "secret.txt").write_text(SECRET)
    steps.open_to_pods()
    whole.chmod(0o777)
    volume = claim(shared_namespace, "shared", whole)
    steps.apply("Datastore", "data", uri="pvc:shared/team", default=True)
    steps.apply("Environment", "tables", image=tables_image)
    steps.script("reaching", SCRIPT)
    steps.script("doubled", DOUBLED)
    steps.submit("reaching", source={"configMap": "reaching"}, nodeCount=1, miniBatchSize=ITEMS)
    steps.apply("ParallelRunStep", "doubled", **TABLES)
    assert steps.finish("reaching")["status"] == "True", steps.condition(name="reaching")
    yield steps
    shared_namespace("delete", "persistentvolume", volume, "--wait=false")


TABLES = {
    "inputs": [{"name": "rows", "tabular": {"format": "parquet", "paths": ["in/*.parquet"]}}],
    "output": {"name": "doubled", "format": "parquet"},
    "source": {"configMap": "doubled"},
    "entryScript": "score.py",
    "environment": {"name": "tables"},
    "outputAction": "append_row",
    "appendRowFileName": "rows.parquet",
}


def test_a_script_writes_to_its_outputs_and_reads_its_inputs_and_nothing_else(steps):
    rows = set(steps.output("reaching").splitlines())
    assert len(rows) == 1
    absent, read_only = "No such file or directory", "Read-only file system"
    assert json.loads(rows.pop()) == {
        "write an input": read_only,
        "write beside the inputs": read_only,
        "list another folder of the claim": absent,
        "climb to it": "Not a directory",
        "list the state": absent,
        "make a state": "Permission denied",
        "read another run's": absent,
        "write to a run's": absent,
        "replace its output": "Permission denied",
        "see": ["logs", "rows"],
    }
    assert (steps.folder / "longshore" / "earlier" / "state" / "ledger" / "1").read_text() == "untouched"


def test_links_that_a_script_left_lead_no_container_of_ours_to_what_it_may_read(steps, shared_namespace):
    links = f"longshore/{steps.run_folder('reaching').name}/rows/links"
    script = {"scriptName": "main.py", "environment": {"name": "plain"}, "source": {"uri": f"pvc:shared/team/{links}"}}
    table = {"format": "csv", "paths": [f"{links}/rows.csv"]}
    submitted = {
        "TransferStep/copy": {"source": {"path": links}, "destination": {"path": "copied"}},
        "ScriptStep/source": script,
        "PipelineRun/survey": {"pipelineSpec": {"steps": [{"name": "only", "script": script}]}},
        "ParallelRunStep/table": {
            **TABLES,
            "inputs": [{"name": "rows", "tabular": table}],
            "output": {"name": "copied"},
            "appendRowFileName": "rows.txt",
        },
        "ScriptStep/foreign": {**script, "source": {"uri": "pvc:shared/other"}},
    }
    for name, spec in submitted.items():
        shared_namespace.apply(*name.split("/"), **spec)
    foreign = _waiting(shared_namespace, "ScriptStep/foreign", "WaitingForReferences")  # one may be created later
    assert "in no Datastore" in foreign
    said = {name: _failure(shared_namespace, name) for name in submitted if name != "ScriptStep/foreign"}
    assert {name: "out of its volume" in message for name, message in said.items()} == dict.fromkeys(said, True), said
    written = [each for each in (steps.folder / "copied").rglob("*") if each.is_file() and not each.is_symlink()]
    assert not [each for each in written if SECRET in each.read_text()]


def test_parquet_is_read_and_written_in_pods(steps):
    assert steps.finish("doubled")["status"] == "True", steps.condition(name="doubled")
    found = pandas.read_parquet(steps.run_folder("doubled") / "doubled" / "rows.parquet")
    assert found.twice.tolist()[::2] == [0.0, 2.0]
    assert found.isna().sum().to_dict() == {"x": 2, "name": 0, "day": 0, "twice": 2}
    assert found.day.dt.year.unique().tolist() == [2024]


def test_our_image_has_what_it_promises(steps):
    packages = "aiohttp, adlfs, cryptography, fsspec, gcsfs, kopf, psycopg, pyarrow.parquet, pymssql, s3fs, sqlalchemy"
    steps.kubectl(
        "exec", f"--namespace={install.NAMESPACE}", f"deployment/{install.RELEASE}", "--", "python", "-I", "-c",
        f"import {packages}",
    )  # fmt: skip


def _waiting(kubectl, name, reason):
    """Wait until a resource waits for this reason; return its message."""
    resource = _resource(name)
    kubectl.eventually(lambda: kubectl.conditions(resource).get("Succeeded", {}).get("reason") == reason)
    condition = kubectl.conditions(resource)["Succeeded"]
    assert condition["status"] == "Unknown", condition
    return condition["message"]


def _resource(name):
    kind, _, own = name.partition("/")
    return f"{kind.lower()}s.longshore.dev/{own}"


def _failure(kubectl, name):
    """Wait for the end of a resource that fails; return its message."""
    resource = _resource(name)
    kubectl.eventually(lambda: kubectl.conditions(resource).get("Finished", {}).get("status") == "True", patience=180.0)
    condition = kubectl.conditions(resource)["Succeeded"]
    assert condition["status"] == "False", condition
    return condition["message"]
