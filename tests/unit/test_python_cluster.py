"""Runs that Python submits to a namespace of a cluster, before an API server in memory and one that speaks HTTP."""

from __future__ import annotations

import copy
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

import longshore
from longshore import (
    ApiError,
    Datastore,
    Environment,
    FileDataset,
    InvalidArgument,
    ParallelRunStep,
    Parameter,
    Pipeline,
    PipelineRun,
    RunFailed,
    ScriptStep,
    Workspace,
)
from longshore.cluster import KubernetesWorkspace
from longshore_api import parse
from longshore_runs.cluster_api import KubernetesApi

NOW = "2026-01-01T00:00:00Z"


class Memory:
    """An API server in memory."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.version = 0
        self.waits: list[str] = []

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.objects.get((kind, name)))

    def list(self, kind: str) -> list[dict[str, Any]]:
        return [copy.deepcopy(each) for (found, _), each in self.objects.items() if found == kind]

    def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        key = manifest["kind"], manifest["metadata"]["name"]
        assert key not in self.objects
        if manifest["apiVersion"] != "v1":
            parse(manifest)
        self._store(key, manifest)
        return manifest

    def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        key = manifest["kind"], manifest["metadata"]["name"]
        self._store(key, {**self.objects.get(key, {}), **manifest})
        return manifest

    def change(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        found = self.objects[kind, name]
        self._store((kind, name), {**found, "spec": {**found["spec"], **spec}})

    def delete(self, kind: str, name: str) -> bool:
        return self.objects.pop((kind, name), None) is not None

    def wait(self, kind: str, name: str, version: str, seconds: float) -> None:
        self.waits.append(version)
        self.set_status(kind, name, **pipeline_status("True", "Succeeded"))

    def set_status(self, kind: str, name: str, **status: Any) -> None:
        self._store((kind, name), {**self.objects[kind, name], "status": status})

    def _store(self, key: tuple[str, str], manifest: dict[str, Any]) -> None:
        self.version += 1
        created = {"creationTimestamp": f"{self.version:05}", **manifest["metadata"]}
        metadata = {**created, "resourceVersion": str(self.version)}
        self.objects[key] = {**copy.deepcopy(manifest), "metadata": metadata}


def conditions(status: str, reason: str) -> dict[str, Any]:
    condition = {"type": "Succeeded", "status": status, "reason": reason, "message": f"It is {reason}."}
    found = [{**condition, "lastTransitionTime": NOW, "observedGeneration": 1}]
    return {"observedGeneration": 1, "conditions": found, "startTime": NOW}


def pipeline_status(status: str, reason: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {**conditions(status, reason), "pipeline": "run-1", "steps": list(steps), "columns": {}, "runUri": "pvc:a/b"}


@pytest.fixture(name="api")
def the_api() -> Memory:
    return Memory()


@pytest.fixture(name="ws")
def the_workspace(api: Memory) -> Workspace:
    return KubernetesWorkspace(api, "science")


@pytest.fixture(name="folder")
def the_folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    (tmp_path / "code/score.py").write_text("def run(batch):\n    return batch\n")
    (tmp_path / "code/.gitignore").write_text("*.bin\n")
    (tmp_path / "code/data.bin").write_bytes(b"\xff" * 100)
    return tmp_path


def score(**settings: Any) -> ParallelRunStep:
    given = {"inputs": {"images": FileDataset("images/", name="images")}, "output": "scores", **settings}
    return ParallelRunStep(
        "score", "score.py", source="code", environment=Environment("scikit", image="example.com/scikit:1"), **given
    )


@pytest.mark.usefixtures("folder")
def test_a_step_becomes_a_run_whose_code_and_references_are_applied(ws: Workspace, api: Memory, capsys):
    run = ws.submit(score(), tags={"experiment": "first"})
    raw = api.objects["PipelineRun", run.id]
    (step,) = raw["spec"]["pipelineSpec"]["steps"]
    name = step["parallelRun"]["source"]["configMap"]
    assert set(api.objects["ConfigMap", name]["data"]) == {".gitignore", "score.py"}
    assert {kind for kind, _ in api.objects} == {"PipelineRun", "ConfigMap", "Dataset", "Environment"}
    assert "score: 2 files (0.0 KiB)" in capsys.readouterr().out
    assert (run.name, run.status, dict(run.tags)) == ("score", "Pending", {"experiment": "first"})
    assert [each.id for each in ws.runs(name="score", tags={"experiment": "first"})] == [run.id]
    assert ws.runs(tags={"experiment": "second"}) == []
    assert ws.run(run.id).status == "Pending"
    with pytest.raises(KeyError, match="no PipelineRun 'other' in the namespace 'science'"):
        ws.run("other")


def test_larger_code_goes_to_the_default_store_once(ws: Workspace, api: Memory, folder: Path):
    (folder / "code/sub").mkdir()
    (folder / "code/sub/part.py").touch()
    with pytest.raises(InvalidArgument, match=r'step "score": source .* need a default Datastore with a URL'):
        ws.submit(score())
    assert api.objects == {}
    ws.apply(Datastore("main", "memory://science", default=True))
    for _ in range(2):
        run = ws.submit(score())
    (step,) = api.objects["PipelineRun", run.id]["spec"]["pipelineSpec"]["steps"]
    uri = step["parallelRun"]["source"]["uri"]
    from longshore_storage.store import open_store

    assert open_store("memory://science").names("longshore-code") == [uri.removeprefix("memory://science/")]
    archive = zipfile.ZipFile(io.BytesIO(open_store("memory://science").get(uri.removeprefix("memory://science/"))))
    assert archive.namelist() == [".gitignore", "score.py", "sub/part.py"]


@pytest.mark.parametrize(
    ("source", "message"),
    [("missing", "source is '.*missing': must be a folder that exists"), ("empty", "has no files: must have code")],
)
def test_code_that_is_not_there_is_refused(source: str, message: str, ws: Workspace, folder: Path):
    (folder / "empty").mkdir()
    with pytest.raises(InvalidArgument, match=message):
        ws.submit(score().replace(source=source))


@pytest.mark.usefixtures("folder")
def test_code_in_stores_maps_and_images_stays_where_it_is(ws: Workspace, api: Memory):
    sources = [{"config_map": "code"}, {"image": "/opt/code"}, "s3://bucket/code.zip", "pvc:claim/code"]
    steps = [ScriptStep(f"step-{n}", "a.py", source=each) for n, each in enumerate(sources)]  # type: ignore[arg-type]
    run = ws.submit(Pipeline("nightly", steps))
    found = [each["script"]["source"] for each in api.objects["PipelineRun", run.id]["spec"]["pipelineSpec"]["steps"]]
    assert found == [
        {"configMap": "code"}, {"image": "/opt/code"}, {"uri": "s3://bucket/code.zip"}, {"uri": "pvc:claim/code"}
    ]  # fmt: skip


@pytest.mark.usefixtures("folder")
def test_parameters_and_options_are_those_of_the_run(ws: Workspace, api: Memory):
    pipeline = Pipeline("nightly", [score(node_count=Parameter("nodes", 1), retries=1)])
    run = ws.submit(pipeline, parameters={"nodes": 3}, regenerate_outputs=True)
    spec = api.objects["PipelineRun", run.id]["spec"]
    assert (spec["parameters"], spec["regenerateOutputs"], run.name) == ({"nodes": 3}, True, "nightly")
    again = ws.submit(PipelineRun("x", pipeline_ref="nightly"), parameters={"nodes": 4})
    assert api.objects["PipelineRun", again.id]["spec"] == {
        "pipelineRef": {"name": "nightly"},
        "parameters": {"nodes": 4},
    }
    assert again.name == "nightly"


@pytest.mark.usefixtures("folder")
def test_states_are_those_of_the_resources(ws: Workspace, api: Memory, tmp_path: Path):
    run = ws.submit(score())
    counts = {"total": 10, "scheduled": 10, "running": 1, "succeeded": 3, "failed": 1, "retried": 0}
    (tmp_path / "run/logs/user/stdout/worker-0").mkdir(parents=True)
    (tmp_path / "run/logs/user/stdout/worker-0/process000.stdout.txt").write_text("hello\n")
    step = {
        **conditions("Unknown", "Running"),
        "progress": {
            "miniBatches": counts, "items": {}, "workers": {},
            "columns": {"done": "4/10", "failed": "1", "rate": "2/min", "workers": "1/1"},
        },
        "output": {"uri": "s3://bucket/scores"},
        "runUri": str(tmp_path / "run"),
    }  # fmt: skip
    manifest = {"apiVersion": "v1", "kind": "ParallelRunStep", "metadata": {"name": "run-1-score"}, "spec": {}}
    api.create(manifest)
    api.set_status("ParallelRunStep", "run-1-score", **step)
    running = {"name": "score", "state": "Running", "resource": "ParallelRunStep/run-1-score"}
    api.set_status("PipelineRun", run.id, **pipeline_status("Unknown", "Running", running))
    assert (run.status, str(run.steps["score"].progress)) == ("Running", "4/10, 1 failed, 2/min")
    assert str(run.logs("score")) == "worker-0/process000: hello"
    assert run.outputs["scores"].uri == "s3://bucket/scores"
    with pytest.raises(KeyError, match=r"has no step 'train'; its steps are: score"):
        run.logs("train")
    api.set_status("ParallelRunStep", "run-1-score", **{**step, "runUri": "pvc:claim/run"})
    with pytest.raises(RuntimeError, match="is in a claim, which only pods can read; use a Datastore with a URL"):
        str(run.logs())


@pytest.mark.usefixtures("folder")
def test_a_run_is_waited_for_by_watches_not_by_polls(ws: Workspace, api: Memory, capsys):
    run = ws.submit(score())
    api.set_status("PipelineRun", run.id, **pipeline_status("Unknown", "Running"))
    version = api.objects["PipelineRun", run.id]["metadata"]["resourceVersion"]
    assert run.wait().status == "Succeeded"
    assert api.waits == [version]
    assert "score: Succeeded. It is Succeeded." in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_control_changes_the_spec_and_retry_makes_a_new_run(ws: Workspace, api: Memory):
    run = ws.submit(score(), tags={"a": "b"})
    spec = lambda: api.objects["PipelineRun", run.id]["spec"]  # noqa: E731
    with pytest.raises(RuntimeError, match="is not suspended"):
        run.resume()
    with pytest.raises(RuntimeError, match="has not ended, so it cannot be retried"):
        run.retry()
    pending = {"name": "score", "state": "Pending"}
    api.set_status("PipelineRun", run.id, **pipeline_status("Unknown", "Running", pending))
    run.suspend()
    assert (spec()["suspend"], run.status) == (True, "Suspended")
    run.resume()
    assert (spec()["suspend"], run.status) == (False, "Running")
    run.cancel()
    assert spec()["cancel"] is True
    api.set_status("PipelineRun", run.id, **pipeline_status("False", "StepFailed"))
    with pytest.raises(RunFailed, match=r"score: Failed\. It is StepFailed\."):
        run.wait(show=False)
    with pytest.raises(RuntimeError, match="has ended, so it cannot be cancelled"):
        run.cancel()
    again = run.retry(accept_changed_code=True)
    assert api.objects["PipelineRun", again.id]["spec"] == {"retryOf": run.id, "acceptChangedCode": True}
    assert dict(again.tags) == {"a": "b"}
    api.delete("PipelineRun", run.id)
    with pytest.raises(RuntimeError, match="does not exist; it was deleted"):
        run.status  # noqa: B018


def test_objects_are_kept_in_the_namespace(ws: Workspace):
    ws.apply(FileDataset("images/", name="images", datastore=Datastore("store", "s3://bucket")))
    assert {(each.kind, each.reference) for each in ws.resources()} == {("Dataset", "images"), ("Datastore", "store")}
    assert [each.kind for each in ws.resources("Model")] == []
    ws.delete("Dataset", "images")
    with pytest.raises(KeyError, match="namespace 'science' has no Dataset 'images'"):
        ws.delete("Dataset", "images")


# The client


@contextmanager
def serving(answers: dict[tuple[str, str], tuple[int, Any]], folder: Path, monkeypatch) -> Iterator[list[Any]]:
    """Serve answers by method and path; a kubeconfig leads to them."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path, _, query = self.path.partition("?")
            asked.append((self.command, path, query, self.headers["Content-Type"], json.loads(sent) if sent else None))
            code, body = answers.get((self.command, path), (404, {"message": "not found"}))
            text = json.dumps(body).encode() + b"\n"
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    contexts = [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "science"}}]
    users = [{"name": "u", "user": {"token": "t"}}]
    config = {"clusters": [cluster], "contexts": contexts, "users": users, "current-context": "here"}
    (folder / "kubeconfig").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **config}))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "kubeconfig"))
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


OURS = "/apis/longshore.dev/v1alpha1/namespaces/science"


def test_the_client_speaks_to_the_context_of_the_kubeconfig(tmp_path: Path, monkeypatch):
    dataset = {"kind": "Dataset", "metadata": {"name": "a"}}
    answers = {
        ("GET", f"{OURS}/datasets"): (200, {"items": [dataset]}),
        ("PATCH", f"{OURS}/datasets/a"): (200, dataset),
        ("PATCH", f"{OURS}/pipelineruns/r"): (200, {}),
        ("POST", f"{OURS}/pipelineruns"): (422, {"message": 'PipelineRun "r" is invalid: spec.x'}),
        ("DELETE", f"{OURS}/datasets/a"): (200, {}),
        ("PATCH", f"{OURS}/datastores/s"): (422, {"message": "spec.uri is wrong"}),
        ("GET", f"{OURS}/pipelineruns"): (200, {"type": "MODIFIED"}),
        ("GET", "/api/v1/namespaces/science/configmaps/c"): (200, {"kind": "ConfigMap"}),
    }
    with serving(answers, tmp_path, monkeypatch) as asked:
        api = KubernetesApi()
        assert api.namespace == "science"
        assert KubernetesApi("other", "here").namespace == "other"
        assert (api.get("Dataset", "b"), api.list("Dataset")) == (None, [dataset])
        assert api.get("ConfigMap", "c") == {"kind": "ConfigMap"}
        api.apply(dataset)
        assert asked[-1][2:4] == ("fieldManager=longshore-python&force=true", "application/apply-patch+yaml")
        api.change("PipelineRun", "r", {"cancel": True})
        assert asked[-1][3:] == ("application/merge-patch+json", {"spec": {"cancel": True}})
        with pytest.raises(ApiError, match="is invalid") as caught:
            api.create({"kind": "PipelineRun", "metadata": {"name": "r"}})
        assert caught.value.status == 422
        assert (api.delete("Dataset", "a"), api.delete("Dataset", "b")) == (True, False)
        api.wait("PipelineRun", "r", "7", 30)
        assert "watch=true" in asked[-1][2]
        assert "resourceVersion=7" in asked[-1][2]
        with pytest.raises(ApiError, match="no context 'there'; its contexts are: here"):
            KubernetesApi(context="there")
        ws = longshore.Workspace.kubernetes()
        with pytest.raises(InvalidArgument, match=r'Datastore "s": spec\.uri is wrong'):
            ws.apply(Datastore("s", "s3://b"))


def test_without_a_kubeconfig_the_remedy_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ApiError, match="there is no kubeconfig, and this process is in no cluster; set KUBECONFIG"):
        longshore.Workspace.kubernetes()
