"""Environments with packages: installed once by a builder, unpacked by each pod that runs scripts."""

import json
import os
from pathlib import Path

import pytest
from claims import claim
from indexes import PASSWORD, USER, Index
from kube import eventually, watched
from steps import GROUP, Steps

CODE = "def double(number):\n    return 2 * number\n"
SCORE = """
import doubler

def run(mini_batch):
    return [f"{path.rpartition('/')[2]} {doubler.double(int(open(path).read()))}" for path in mini_batch]
"""
TASK = """
import doubler, glob, os, sys
print(sys.prefix, doubler.__version__)
print(*os.environ.items(), *(open(path, "rb").read() for path in glob.glob("/proc/self/environ")))
for path in (doubler.__file__, os.path.join(sys.prefix, "new")):
    try:
        open(path, "w")
    except OSError as error:
        print("cannot write", os.path.basename(path), error.strerror)
"""
DOUBLED = "".join(f"{index:03d}.txt {2 * index}\n" for index in range(40))
TASKS = "scriptsteps.longshore.dev"


class Environments(Steps):
    """Steps of one namespace whose packages come from an index in a pod."""

    def __init__(self, kubectl, folder):
        super().__init__(kubectl, folder / "data")
        self.index = Index(kubectl, folder / "index")
        self.index.add("doubler", code=CODE)
        self.script("doubling", SCORE)
        kubectl("create", "configmap", "task", f"--from-literal=task.py={TASK}")
        self.environment("packages")

    def environment(self, name, *packages, index=None, **spec):
        found = {"pip": list(packages or ("doubler",)), "indexUrl": index or self.index.url, **spec}
        self.apply("Environment", name, packages=found)

    def score(self, name, environment="packages", **changes):
        given = {"source": {"configMap": "doubling"}, "environment": {"name": environment}, "miniBatchSize": 10}
        self.submit(name, **{**given, **changes})

    def task(self, name, environment="packages", **changes):
        given = {"source": {"configMap": "task"}, "scriptName": "task.py", "environment": {"name": environment}}
        self.apply("ScriptStep", name, **{**given, **changes})

    def task_condition(self, name, type_="Succeeded"):
        return self.kubectl.conditions(f"{TASKS}/{name}").get(type_, {"status": "", "reason": "", "message": ""})

    def task_end(self, name):
        self.until(lambda: self.task_condition(name, "Finished")["status"] == "True")
        return self.task_condition(name)

    def log(self, name):
        """Return what a task printed."""
        (found,) = self.folder.glob(f"longshore/{name}-*/logs/stdout.txt")
        return found.read_text()

    def builders(self):
        found = self.kubectl.read("pods", labelSelector="longshore.dev/role=builder")
        return {each["metadata"]["name"]: each for each in found}


@pytest.fixture(scope="module")
def environments(installed, shared_namespace, tmp_path_factory):  # noqa: ARG001, the operator must run
    return Environments(shared_namespace, tmp_path_factory.mktemp("environments"))


@pytest.fixture
def builds(environments, tmp_path):
    """Record the builders that are created meanwhile; return a function that gives their UIDs."""
    with watched(environments.kubectl, tmp_path / "pods", "pods", "--selector=longshore.dev/role=builder") as events:
        eventually((tmp_path / "pods").exists)
        yield lambda: {pod["metadata"]["uid"] for _, pod in events()}


def test_the_second_step_installs_nothing(environments, builds):
    environments.score("first")
    assert environments.finish("first")["status"] == "True", environments.condition(name="first")
    assert environments.output("first") == DOUBLED
    assert len(builds()) == 1
    eventually(lambda: not environments.builders())
    environments.score("second")
    assert environments.finish("second")["status"] == "True"
    assert environments.output("second") == DOUBLED
    assert len(builds()) == 1


def test_a_script_step_reads_its_packages_and_cannot_change_them(environments):
    environments.task("look")
    assert environments.task_end("look")["status"] == "True"
    log = environments.log("look")
    assert "/longshore/environment/venv 1.0" in log
    assert log.count("cannot write") == 2, log


def test_steps_that_start_together_have_one_builder(environments, builds):
    environments.index.add("together", requires=["doubler"])
    environments.environment("together", "together")
    environments.apply("ComputeCluster", "small", maxNodes=1)
    names = [f"together-{number}" for number in range(20)]
    given = {"source": {"configMap": "doubling"}, "environment": {"name": "together"}, "computeTarget": "small"}
    steps = [
        {
            "apiVersion": "longshore.dev/v1alpha1",
            "kind": "ScriptStep",
            "metadata": {"name": each},
            "spec": {**given, "scriptName": "score.py"},
        }
        for each in names
    ]
    environments.kubectl("create", "--filename=-", stdin={"apiVersion": "v1", "kind": "List", "items": steps})

    def reasons():
        return {environments.task_condition(each)["reason"] for each in names}

    eventually(lambda: "PreparingEnvironment" not in reasons() | {""} and "WaitingForNodes" in reasons(), patience=90)
    assert len(builds()) == 1
    environments.kubectl("delete", TASKS, *names, "--wait=false")


def test_a_builder_that_is_killed_is_followed_by_another(environments, builds):
    environments.index.add("held", code=CODE)
    environments.environment("held", "held", "doubler")
    with environments.index.held():
        environments.task("patient", "held")
        for count in (1, 2):
            pod = eventually(lambda count=count: installing(environments, count, builds))
            environments.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")
        pod = eventually(lambda: installing(environments, 3, builds))
        environments.kubectl.evict(pod, gracePeriodSeconds=0)
        assert not list(environments.folder.glob("longshore/environments/*/*.zst"))[2:]
    assert environments.task_end("patient")["status"] == "True"
    assert "/longshore/environment/venv 1.0" in environments.log("patient")
    assert environments.kubectl.read(f"{TASKS}/patient")["status"].get("losses", 0) == 0


def installing(environments, count, builds):
    """Return the name of the builder that installs, once so many have been created."""
    if len(builds()) < count:
        return None
    for name, pod in environments.builders().items():
        states = {each["name"]: each["state"] for each in pod["status"].get("initContainerStatuses", [])}
        if "running" in states.get("install", {}) and "deletionTimestamp" not in pod["metadata"]:
            return name
    return None


@pytest.mark.parametrize(
    ("packages", "said"),
    [
        (["nowhere"], "nowhere was not found"),
        (["doubler==2.0"], "doubler==2.0"),
        (["conflicting", "doubler==1.0"], "conflicting"),
    ],
    ids=["unknown", "version", "conflict"],
)
def test_packages_that_cannot_be_installed_are_reported_before_anything_starts(environments, packages, said):
    name = packages[0].partition("=")[0]
    environments.index.add("conflicting", requires=["doubler>=3"])
    environments.environment(name, *packages)
    environments.score(name, name)
    condition = environments.finish(name)
    assert (condition["status"], condition["reason"]) == ("False", "EnvironmentFailed")
    assert condition["message"].startswith(f'Environment "{name}" cannot be built on image docker.io/library/python:')
    assert said in condition["message"], condition
    assert environments.pods(name=name) == {}
    assert not list(environments.folder.glob(f"longshore/{name}-*"))


def test_another_version_of_python_than_the_images_is_refused_naming_both(environments):
    environments.environment("old", python="3.8")
    environments.task("old", "old")
    condition = environments.task_end("old")
    assert condition["reason"] == "EnvironmentFailed"
    assert "requires Python 3.8" in condition["message"]
    assert "is Python 3.11" in condition["message"]


def test_credentials_of_the_index_are_seen_by_the_container_that_installs_alone(environments):
    kubectl, index = environments.kubectl, environments.index
    index.add("doubler", "2.0", code=CODE, private=True)
    kubectl(
        "create", "secret", "generic", "index", f"--from-literal=username={USER}", f"--from-literal=password={PASSWORD}"
    )
    environments.environment("private", "doubler", index=index.private_url, secretRef={"name": "index"})
    environments.environment("denied", "doubler", "more", index=index.private_url)
    environments.environment("absent", "nowhere", index=index.private_url, secretRef={"name": "index"})
    for each in ("private", "denied", "absent"):
        environments.task(each, each)
    assert environments.task_end("private")["status"] == "True"
    assert "/longshore/environment/venv 2.0" in environments.log("private")
    assert "denies access" in environments.task_end("denied")["message"]
    assert "nowhere was not found" in environments.task_end("absent")["message"]
    statuses = json.dumps([kubectl.read(f"{TASKS}/{each}") for each in ("private", "denied", "absent")])
    logs = [kubectl("logs", name, "--container=install") for name in environments.builders()]
    files = [path.read_bytes() for path in Path(environments.folder, "longshore").rglob("*") if path.is_file()]
    assert len(logs) >= 2
    for secret in (PASSWORD, USER):
        assert secret not in statuses
        assert not any(secret in each for each in logs)
        assert not any(secret.encode() in each for each in files)


def test_packages_of_a_step_on_a_claim_are_stored_on_that_claim(environments, tmp_path):
    folder = tmp_path / "claim"
    folder.mkdir()
    os.chown(folder, -1, GROUP)
    folder.chmod(0o2770)
    claim(environments.kubectl, "packages", folder)
    environments.apply("Datastore", "claim", uri="pvc:packages")
    environments.task("claimed", outputs=[{"name": "out", "datastore": "claim"}])
    end = environments.task_end("claimed")
    assert end["status"] == "True", end
    assert len(list(folder.glob("longshore/environments/*/*.zst"))) == 1
