"""The operator as a process, before an API server that notes what it is asked: its needs, its readiness, its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from longshore_operator.manifests import names

PATIENCE = 30.0
OURS, DEFINITIONS = "/apis/longshore.dev/v1alpha1", "/apis/apiextensions.k8s.io/v1"
OTHERS = ["apiextensions.k8s.io", "networking.k8s.io"]
VERBS = ["create", "delete", "get", "list", "patch", "watch"]


def group(name, version):
    found = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [found], "preferredVersion": found}


def kind(plural, kind_):
    return {"name": plural, "singularName": "", "kind": kind_, "namespaced": True, "verbs": VERBS}


NAMESPACES, CRDS = kind("namespaces", "Namespace"), kind("customresourcedefinitions", "CustomResourceDefinition")
COMPUTE = kind("computeclusters", "ComputeCluster")
STEPS, PODS = kind("parallelrunsteps", "ParallelRunStep"), kind("pods", "Pod")
SCRIPTS, TRANSFERS = kind("scriptsteps", "ScriptStep"), kind("transfersteps", "TransferStep")
PIPELINES = [kind("pipelines", "Pipeline"), kind("pipelineruns", "PipelineRun")]
DATA = [kind(f"{name.lower()}s", name) for name in ("Dataset", "Datastore", "Environment", "Model")]
KINDS = [STEPS, SCRIPTS, TRANSFERS, COMPUTE, *PIPELINES, *DATA]
CORE = [PODS, kind("configmaps", "ConfigMap"), kind("services", "Service")]
POLICIES = kind("networkpolicies", "NetworkPolicy")
NETWORKING = "/apis/networking.k8s.io/v1"


WATCHES = len([*CORE, POLICIES, *KINDS])


class ApiServer:
    """Discovery, empty lists, and watches that are held open until `end`; `kinds` are those of ours it serves."""

    def __init__(self):
        self.kinds = KINDS
        self.asked = []  # method, path, query
        self.watch = threading.Event()  # until then, watches get no answer
        self.ended = threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                api.asked.append((self.command, url.path, query))
                if "watch" in query:
                    api.watch.wait()
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.flush()
                    api.ended.wait()
                    return
                body = api.answer(url.path)
                text = json.dumps({} if body is None else body).encode()
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = False
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def answer(self, path):
        answers = {
            "/api": {"versions": ["v1"]},
            "/apis": {"groups": [group("longshore.dev", "v1alpha1"), *map(group, OTHERS, ["v1"] * 2)]},
            "/api/v1": {"resources": [NAMESPACES, *CORE]},
            NETWORKING: {"resources": [POLICIES]},
            DEFINITIONS: {"resources": [CRDS]},
            OURS: {"resources": self.kinds},
        }
        empty = {"metadata": {"resourceVersion": "1"}, "items": []}
        listed = tuple(f"/{each['name']}" for each in (*CORE, POLICIES, *KINDS))
        return answers.get(path, empty if path.endswith(listed) else None)

    def end(self):
        self.watch.set()
        self.ended.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def api():
    api = ApiServer()
    yield api
    api.end()


class Operator:
    def __init__(self, api, folder, *arguments):
        config = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{api.server.server_port}"}}],
            "users": [{"name": "me", "user": {"token": "very-secret"}}],
        }
        (folder / "kubeconfig").write_text(json.dumps(config))
        self.port, self.log = free_port(), folder / "log"
        environment = {**os.environ, "KUBECONFIG": str(folder / "kubeconfig"), "LONGSHORE_IMAGE": "longshore:test"}
        command = [sys.executable, "-m", "longshore_operator", "--metrics-port", str(self.port)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--log-format", "json", "--log-level", "DEBUG", *arguments],
                env={key: each for key, each in environment.items() if "proxy" not in key.lower()},
                stdout=log,
                stderr=log,
            )

    def get(self, path):
        """Return status and text; (0, "") when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def until(self, condition):
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < give_up, self.log.read_text()
            time.sleep(0.05)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def lines(self):
        return [json.loads(each) for each in self.log.read_text().splitlines()]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def start(api, tmp_path):
    started = []

    def start(*arguments):
        started.append(Operator(api, tmp_path, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def test_it_is_ready_once_its_watches_run_and_ends_when_it_is_stopped(api, start):
    operator = start()
    operator.until(lambda: len([1 for _, _, query in api.asked if "watch" in query]) == WATCHES)
    assert operator.get("/readyz")[0] == 503
    api.watch.set()
    operator.until(lambda: operator.get("/readyz")[0] == 200)
    assert 'longshore_api_requests_total{code="200",kind="Pod",verb="watch"} 1.0' in operator.get("/metrics")[1]
    assert operator.stop() == 0
    lines = operator.lines()  # every one of them is JSON
    assert "watching all namespaces" in [each["message"] for each in lines]
    assert not [each for each in lines if each["level"] in ("error", "critical")]
    assert "very-secret" not in operator.log.read_text()


def test_it_asks_for_nothing_but_what_there_is_and_what_it_watches(api, start):
    operator = start("--namespace", "a", "--namespace", "b")
    api.watch.set()
    operator.until(lambda: operator.get("/readyz")[0] == 200)
    operator.stop()
    discovery = {"/api", "/apis", "/api/v1", OURS, DEFINITIONS, NETWORKING}
    watched = {f"/api/v1/namespaces/{each}/{kind['name']}" for each in "ab" for kind in CORE}
    watched |= {f"{NETWORKING}/namespaces/{each}/networkpolicies" for each in "ab"}
    watched |= {f"{OURS}/namespaces/{each}/{kind['name']}" for each in "ab" for kind in KINDS}
    assert {path for _, path, query in api.asked if not query} <= discovery | watched
    assert {path for _, path, query in api.asked if "watch" in query} == watched
    assert {path for _, path, _ in api.asked} == discovery | watched
    assert {method for method, _, _ in api.asked} == {"GET"}
    selected = tuple(f"/{each['name']}" for each in (*CORE, POLICIES))
    selectors = {query.get("labelSelector") for _, path, query in api.asked if path.endswith(selected) and query}
    assert selectors == {names.OURS}  # those of others never come here


def test_it_waits_for_its_definitions_and_can_be_ended_meanwhile(api, start):
    api.kinds = []
    api.watch.set()
    operator = start()
    operator.until(lambda: operator.log.exists() and "is its CRD installed?" in operator.log.read_text())
    assert operator.get("/readyz")[0] == 503
    assert not [path for _, path, query in api.asked if "watch" in query]
    assert operator.stop() == 0


def test_definitions_that_come_later_are_found(api, start):
    api.kinds = []
    api.watch.set()
    operator = start()
    operator.until(lambda: operator.log.exists() and "is its CRD installed?" in operator.log.read_text())
    api.kinds = KINDS
    operator.until(lambda: operator.get("/readyz")[0] == 200)
    assert operator.stop() == 0


def test_an_environment_that_is_wrong_ends_it_with_one_sentence(start, monkeypatch):
    monkeypatch.setenv("LONGSHORE_PULL_POLICY", "Sometimes")
    operator = start()
    assert operator.process.wait(PATIENCE) == 1
    (line,) = operator.lines()
    assert line["level"] == "critical"
    assert line["message"].startswith("LONGSHORE_PULL_POLICY is 'Sometimes'")
