"""Tasks in real pods: what a script finds there, how it ends, and what is said of it."""

import json

import pytest
from claims import claim
from squares import Pipelines

SCRIPT = "scriptsteps.longshore.dev/task"
LOOKS_AROUND = """
import json, os, sys
from longshore_run import Run

found = {
    "secret": [name for name in os.environ if "AWS" in name or "TOKEN" in name],
    "token": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
    "param": os.environ["AML_PARAMETER_alpha"],
    "files": sorted(os.listdir(".")),
    "user": os.getuid(),
}
open("score.py", "a").write("# the working copy can be written to")
open(os.path.join(sys.argv[1], "found.json"), "w").write(json.dumps(found))
Run.get_context().log("accuracy", 0.5)
"""


@pytest.fixture
def tasks(operator, namespace, tmp_path):  # noqa: ARG001, the operator must run
    return Pipelines(namespace, tmp_path / "data")


def submit(tasks, text=None, **changes):
    """Make a ScriptStep called `task`, and return the condition that says how it ended, and its status."""
    if text is not None:
        tasks.script("script", text)
    spec = {
        "source": {"configMap": "script"},
        "scriptName": "score.py",
        "environment": {"name": "plain"},
        "outputs": [{"name": "found"}],
        "arguments": ["$(outputs.found)"],
    }
    tasks.apply("ScriptStep", "task", **{**spec, **changes})
    return ended(tasks)


def ended(tasks, task=SCRIPT):
    tasks.until(lambda: tasks.kubectl.conditions(task).get("Finished", {}).get("status") == "True")
    return tasks.kubectl.conditions(task)["Succeeded"], tasks.kubectl.get(task)["status"]


def test_a_script_sees_its_data_and_no_secret_in_a_pod_without_rights(tasks, namespace):
    namespace("label", "namespace", namespace.namespace, "pod-security.kubernetes.io/enforce=restricted")
    volume = claim(namespace, "volume", tasks.folder)  # restricted pods may not have folders of the node
    tasks.apply("Datastore", "data", uri="pvc:volume", default=True)
    namespace("create", "secret", "generic", "key", "--from-literal=AWS_SECRET_ACCESS_KEY=open-sesame")
    tasks.apply("Datastore", "bucket", uri="s3://bucket", secretRef={"name": "key"})
    arguments = ["$(outputs.found)", "s3://bucket/x"]
    condition, status = submit(tasks, LOOKS_AROUND, params={"alpha": "0.5"}, arguments=arguments)
    assert condition["status"] == "True", condition
    assert status["metrics"] == {"accuracy": 0.5}
    (output,) = status["outputs"]
    found = json.loads((tasks.folder / output["uri"].removeprefix("pvc:volume/") / "found.json").read_text())
    assert found == {
        "secret": [],
        "token": False,
        "param": "0.5",
        "files": ["logs", "outputs", "score.py"],
        "user": 65533,
    }
    assert "open-sesame" not in json.dumps(namespace.get("lsscript,pods,events,configmaps"))
    namespace("delete", "persistentvolume", volume, "--wait=false")


@pytest.mark.parametrize(
    ("text", "reason", "says"),
    [
        ("raise ValueError('bad table')", "ScriptFailed", "ValueError: bad table"),
        ("import time; time.sleep(60)", "Timeout", "took longer than its limit of 2 s"),
        ("big = [b'x' * (1 << 20) for _ in range(4096)]", "OutOfMemory", "memory"),
    ],
    ids=["it raises", "it takes too long", "it needs too much memory"],
)
def test_how_a_script_failed_is_reported(tasks, namespace, text, reason, says):
    tasks.apply("ComputeCluster", "small", resources={"requests": {"memory": "64Mi"}, "limits": {"memory": "256Mi"}})
    limit = 2 if reason == "Timeout" else 600  # a busy node takes seconds to fill the memory
    condition, _ = submit(tasks, text, computeTarget="small", timeoutSeconds=limit)
    assert (condition["status"], condition["reason"]) == ("False", reason), condition
    assert says in condition["message"]
    assert says in namespace("describe", SCRIPT)


def test_a_pod_that_is_evicted_is_followed_by_another_and_the_script_runs_again(tasks, namespace):
    tasks.close("collect")
    wait = "import os, time\nwhile os.path.exists(os.environ['GATES'] + '/collect'): time.sleep(0.05)"
    tasks.script("script", wait)
    tasks.apply(
        "ScriptStep", "task", source={"configMap": "script"}, scriptName="score.py", environment={"name": "plain"}
    )
    tasks.until(lambda: tasks.kubectl.conditions(SCRIPT).get("Succeeded", {}).get("reason") == "Running")
    (pod,) = tasks.task_pods("task").values()
    namespace.evict(pod["metadata"]["name"])
    tasks.until(lambda: _another(tasks, pod))
    tasks.open("collect")
    condition, _ = ended(tasks)
    assert condition["status"] == "True", condition


def _another(tasks, pod):
    uids = {each["metadata"]["uid"] for each in tasks.task_pods("task").values()}
    return uids - {pod["metadata"]["uid"]}


def test_files_are_copied_between_stores(tasks):
    tasks.apply("Datastore", "other", uri=f"file://{tasks.folder}/other")
    (tasks.folder / "other").mkdir()
    tasks.open_to_pods()
    copied = {"source": {"path": "in"}, "destination": {"datastore": "other", "path": "copy"}}
    tasks.apply("TransferStep", "copy", **copied)
    condition, status = ended(tasks, "transfersteps.longshore.dev/copy")
    assert condition["status"] == "True", condition
    assert len(list((tasks.folder / "other" / "copy").iterdir())) == 40
    assert status["outputs"] == [{"name": "destination", "uri": f"file://{tasks.folder}/other/copy"}]


def test_a_source_on_a_volume_is_frozen_before_its_pipeline_begins(tasks, namespace):
    code = tasks.folder / "code"
    code.mkdir()
    (code / "main.py").write_text("import helper")
    (code / "helper.py").write_text("print('one')")
    tasks.open_to_pods()
    volume = claim(namespace, "volume", tasks.folder)
    tasks.apply("Datastore", "volume", uri="pvc:volume")
    script = {"source": {"uri": "pvc:volume/code"}, "scriptName": "main.py", "environment": {"name": "plain"}}
    tasks.apply("Pipeline", "squares", steps=[{"name": "only", "script": script}])
    for name in ("first", "same"):
        tasks.start(name)
        assert tasks.ended(name)["status"] == "True", tasks.run_condition(name)
    (code / "helper.py").write_text("print('two')")
    tasks.start("other")
    assert tasks.ended("other")["status"] == "True"
    assert [tasks.states(name)["only"] for name in ("first", "same", "other")] == ["Succeeded", "Reused", "Succeeded"]
    assert tasks.step("other", "only")["notReused"] == "code changed: helper.py"
    namespace("delete", "persistentvolume", volume, "--wait=false")
