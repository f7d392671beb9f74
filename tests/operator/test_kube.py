"""The calls of the API, as a server sees them."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

import pytest
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import kube_config

from longshore_operator.cluster.api import (
    ApiError,
    ApiKube,
    Conflict,
    NotFound,
    Refused,
    Taken,
    client_from_environment,
)

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}}


@contextmanager
def serving(status=200, body=None):
    """A server that gives one answer, and notes what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.command, self.path, self.headers["Content-Type"], json.loads(sent) if sent else None))
            text = json.dumps({"items": []} if body is None else body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    client = ApiClient(Configuration(host=f"http://127.0.0.1:{server.server_port}"))
    try:
        yield ApiKube(client), asked
    finally:
        client.rest_client.pool_manager.clear()
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_status_is_applied_by_its_owner_and_keeps_its_spelling():
    status = {"runId": "p-1"}
    with serving() as (kube, asked):
        kube.write_status({"kind": "ParallelRunStep", "metadata": {"name": "p", "namespace": "n"}, "status": status})
    ((method, path, content, body),) = asked
    assert (method, content) == ("PATCH", "application/apply-patch+yaml")
    status_of = "/apis/longshore.dev/v1alpha1/namespaces/n/parallelrunsteps/p/status"
    assert path == f"{status_of}?fieldManager=longshore&force=true"
    assert body["status"] == status


def test_only_what_was_looked_at_is_deleted():
    with serving() as (kube, asked):
        kube.delete("Pod", "n", "p", "uid-1")
    assert asked[0][3]["preconditions"] == {"uid": "uid-1"}


def test_elements_of_a_list_state_what_they_are():
    listed = {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "p"}}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    with serving(body=listed) as (kube, asked):
        assert kube.list("Pod", "n", "a=b") == ([pod], "7")
        (dataset,), _ = kube.list("Dataset", "")
        assert kube.find("Pod", "n", "p") == pod
    assert dataset["apiVersion"] == "longshore.dev/v1alpha1"
    assert [each[1] for each in asked] == [
        "/api/v1/namespaces/n/pods?labelSelector=a%3Db",
        "/apis/longshore.dev/v1alpha1/datasets",
        "/api/v1/namespaces/n/pods?fieldSelector=metadata.name%3Dp",
    ]


def test_what_is_absent_is_none_and_what_cannot_be_read_is_an_error():
    with serving(404, {"message": "no pod p"}) as (kube, _):
        assert kube.read("Pod", "n", "p") is None
        with pytest.raises(NotFound, match="no pod p"):
            kube.delete("Pod", "n", "p", "uid")
        with pytest.raises(NotFound, match="no pod p"):
            kube.create(POD)
    for status in (401, 403, 429, 500, 503):
        with serving(status, {"message": "not now"}) as (kube, _), pytest.raises(ApiError, match="not now"):
            kube.read("Pod", "n", "p")


def test_an_object_that_is_there_already_is_a_conflict():
    with (
        serving(409, {"message": 'pods "p" already exists'}) as (kube, _),
        pytest.raises(Taken, match="already exists"),
    ):
        kube.create(POD)
    modified = {"message": "Operation cannot be fulfilled: the object has been modified"}
    with serving(409, modified) as (kube, _), pytest.raises(Conflict) as caught:
        kube.create(POD)
    assert not isinstance(caught.value, Taken)


@pytest.mark.parametrize("status", [400, 403, 413, 422])
def test_what_is_against_a_rule_is_refused_in_the_servers_words(status):
    with serving(status, {"message": "pods are not allowed"}) as (kube, _), pytest.raises(Refused) as caught:
        kube.create(POD)
    assert str(caught.value) == "pods are not allowed"


def test_a_server_that_is_away_raises_api_error():
    with serving() as (kube, _):
        pass
    kube._client.configuration.retries = False
    with pytest.raises(ApiError):
        kube.read("Pod", "n", "p")


def test_as_many_connections_are_kept_as_there_are_threads(tmp_path, monkeypatch):
    """The client library keeps five for each core."""
    peers, all_ask = [], threading.Barrier(40)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            all_ask.wait(60)
            peers.append(self.client_address)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving_thread = threading.Thread(target=server.serve_forever)
    serving_thread.start()
    named = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}, "user": {}}
    named["context"] = {"cluster": "here", "user": "here"}
    lists = {"clusters": [named], "users": [named], "contexts": [named]}
    (tmp_path / "config").write_text(json.dumps({"current-context": "here", **lists}))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    client = client_from_environment(connections=40)
    kube = ApiKube(client)
    try:
        for _ in range(3):
            threads = [threading.Thread(target=kube.read, args=("Pod", "n", "p")) for _ in range(40)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
    finally:
        client.rest_client.pool_manager.clear()
        server.shutdown()
        serving_thread.join()
        server.server_close()
    assert len(peers) == 120
    assert len(set(peers)) == 40
