"""A ParallelRunStep in real pods: to its end, whatever is killed on the way, and with its reasons when it cannot."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "deploy" / "local" / "cluster"
PRODUCT = "localhost/longshore:dev"
GROUP = 65532  # of the pods of a run
ITEMS = 40
SCRIPT = """
import os, time

def run(mini_batch):
    time.sleep(0.25)
    return [os.path.basename(path) + " " + open(path).read() for path in mini_batch]
"""
EXPECTED = "".join(f"{index:03d}.txt {index}\n" for index in range(ITEMS))


@pytest.fixture(scope="session")
def images(kubectl):  # noqa: ARG001, a cluster must be up
    """Have our image, of the code as it is, and the user's in the cluster."""
    for arguments in ([], ["--base"]):
        command = [CLUSTER, "image", *arguments]
        environment = {**os.environ, "PYTHON": sys.executable}
        built = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
        assert built.returncode == 0, built.stderr[-2000:]


class Operator:
    """The operator as a process of this machine, for one namespace."""

    def __init__(self, kubectl, log):
        self.kubectl, self.log, self.process = kubectl, log, None

    def start(self):
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.kubectl.kubeconfig),
            "LONGSHORE_IMAGE": PRODUCT,
            "LONGSHORE_HOST_PATHS": "true",
        }
        command = [sys.executable, "-m", "longshore_operator", "--namespace", self.kubectl.namespace]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def operator(images, namespace, tmp_path):  # noqa: ARG001, the images must be there
    operator = Operator(namespace, tmp_path / "operator.log")
    operator.start()
    yield operator
    operator.kill()


class Steps:
    """Steps of one namespace, and the folder that their Datastore is."""

    def __init__(self, kubectl, folder):
        self.kubectl, self.folder = kubectl, folder
        (folder / "in").mkdir(parents=True)
        for index in range(ITEMS):
            (folder / "in" / f"{index:03d}.txt").write_text(str(index))
        for path in (folder, *folder.rglob("*")):
            os.chown(path, -1, GROUP)
            path.chmod(0o2770 if path.is_dir() else 0o640)
        kubectl("create", "configmap", "code", f"--from-literal=score.py={SCRIPT}")
        self.apply("Dataset", "files", file={"paths": ["in/*.txt"]})
        self.apply("Datastore", "data", uri=f"file://{folder}", default=True)
        self.apply("Environment", "plain", image="docker.io/library/python:3.11-slim", python="python3")

    def apply(self, kind, name, **spec):
        manifest = {"apiVersion": "longshore.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "--validate=false", "--filename=-", stdin=manifest)

    def submit(self, name="score", **changes):
        spec = {
            "inputs": [{"name": "files", "dataset": "files"}],
            "output": {"name": "rows"},
            "source": {"configMap": "code"},
            "entryScript": "score.py",
            "environment": {"name": "plain"},
            "nodeCount": 2,
            "miniBatchSize": 1,
            "outputAction": "append_row",
            "appendRowFileName": "rows.txt",
        }
        self.apply("ParallelRunStep", name, **{**spec, **changes})

    def status(self, name="score"):
        return self.kubectl.get("parallelrunsteps.longshore.dev", name).get("status", {})

    def condition(self, type_="Succeeded", name="score"):
        found = {each["type"]: each for each in self.status(name).get("conditions", [])}
        return found.get(type_, {"status": "", "reason": "", "message": ""})

    def done(self):
        return int(self.status().get("progress", {}).get("columns", {}).get("done", "0/").partition("/")[0])

    def until(self, condition):
        return self.kubectl.eventually(condition, patience=180.0)

    def finish(self):
        self.until(lambda: self.condition("Finished")["status"] == "True")
        return self.condition()

    def output(self):
        (found,) = self.folder.glob("longshore/*/rows/rows.txt")
        return found.read_text()


@pytest.fixture
def steps(operator, namespace, tmp_path):  # noqa: ARG001, the operator must run
    return Steps(namespace, tmp_path / "data")


def test_a_step_runs_to_its_end_and_its_progress_can_be_watched(steps):
    steps.submit()
    seen = []

    def watch():
        columns = steps.status().get("progress", {}).get("columns")
        if columns not in [None, *seen[-1:]]:
            seen.append(columns)
        return steps.condition("Finished")["status"] == "True"

    steps.until(watch)
    assert steps.condition()["status"] == "True", steps.condition()
    assert steps.output() == EXPECTED
    assert len(seen) >= 5
    assert steps.status()["progress"]["columns"]["done"] == f"{ITEMS}/{ITEMS}"


def test_after_its_end_no_worker_and_no_secret_is_left(steps, namespace):
    steps.submit()
    steps.finish()
    steps.until(lambda: not namespace.get("pods", "--selector=longshore.dev/role=worker"))
    steps.until(lambda: not namespace.get("secrets", "--selector=longshore.dev/step=score"))
    steps.until(lambda: not namespace.get("services,networkpolicies", "--selector=longshore.dev/step=score"))


@pytest.mark.parametrize("victim", ["score-worker-0", "score-coordinator"])
def test_a_pod_that_is_killed_costs_no_row(steps, namespace, victim):
    steps.submit()
    steps.until(lambda: 0 < steps.done() < ITEMS - 10)
    namespace("delete", "pod", victim, "--grace-period=0", "--force")
    assert steps.finish()["status"] == "True"
    assert steps.output() == EXPECTED


def test_an_operator_that_is_killed_goes_on_where_it_was(steps, operator, namespace):
    steps.submit()
    steps.until(lambda: steps.done() > 0)
    uids = {each["metadata"]["uid"] for each in namespace.get("pods", "--selector=longshore.dev/step=score")}
    operator.kill()
    operator.start()
    assert steps.finish()["status"] == "True"
    left = namespace.get("pods", "--selector=longshore.dev/step=score")
    assert {each["metadata"]["uid"] for each in left} <= uids  # nothing was started anew
    assert steps.output() == EXPECTED


def test_an_operator_that_is_told_to_end_does(operator, steps):
    steps.submit()
    steps.until(steps.status)
    assert operator.kill(signal.SIGTERM) == 0


def test_a_deleted_step_leaves_nothing_but_its_folder(steps, namespace):
    steps.submit()
    steps.until(lambda: steps.done() > 0)
    namespace("delete", "parallelrunsteps.longshore.dev", "score")
    kinds = "pods,services,secrets,configmaps,networkpolicies"
    steps.until(lambda: not namespace.get(kinds, "--selector=longshore.dev/step=score"))
    assert list(steps.folder.glob("longshore/*/state"))


def test_an_image_that_is_not_there_is_said_to_be_why_it_waits(steps):
    steps.apply("Environment", "missing", image="localhost/there-is-no-such-image:1")
    steps.submit(environment={"name": "missing"})
    steps.until(lambda: steps.condition()["reason"] == "ImagePull")
    assert "localhost/there-is-no-such-image:1" in steps.condition()["message"]
    assert steps.condition()["status"] == "Unknown"


def test_bad_input_fails_the_step_with_the_field_and_starts_nothing(steps, namespace):
    steps.submit(environment={"name": "nobody"})
    assert steps.finish()["reason"] == "InvalidInput"
    assert "spec.environment.name is 'nobody': there is no such Environment" in steps.condition()["message"]
    assert not namespace.get("pods,services,secrets,configmaps", "--selector=longshore.dev/step=score")


def test_a_failure_is_explained_by_describe(steps, namespace):
    namespace(
        "create", "configmap", "bad", "--from-literal=score.py=def run(mini_batch):\n    raise ValueError('bad row')"
    )
    steps.submit(source={"configMap": "bad"}, errorThreshold=0, runMaxTry=1)
    assert steps.finish()["status"] == "False"
    described = namespace("describe", "parallelrunsteps.longshore.dev", "score")
    assert "ErrorThresholdExceeded" in described
    assert "ValueError: bad row" in described
