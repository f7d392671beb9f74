"""The newest server of custom resources (localcluster.crd_server), running for tests on free ports of this machine.

Whoever shows the certificate may do everything, in any namespace: none needs to exist. No webhook, no policy.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.crd_server import ETCD, SERVER
from localcluster.processes import run

PATIENCE = 60.0  # seconds: far more than any single thing takes
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ADMISSION = (
    "NamespaceLifecycle",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
)  # all of them read from a core API, which is not there


@dataclass(frozen=True)
class Answer:
    """What the server answered: an object, or a Status that says what is wrong."""

    code: int
    body: dict[str, Any]

    @property
    def fields(self) -> list[str]:
        """The fields that a refusal names."""
        return [each.get("field", "") for each in self.body.get("details", {}).get("causes", [])]

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


class Server:
    """A running server."""

    def __init__(self, url: str, certificate: Path, key: Path, authority: Path) -> None:
        self._url = url
        tls = ssl.create_default_context(cafile=str(authority))
        tls.load_cert_chain(certificate, key)
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)
        self._opener = urllib.request.build_opener(*handlers)

    def request(self, method: str, path: str, body: Any = None, **query: str) -> Answer:
        """Send a request; the body of a PATCH is a merge patch."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        url = f"{self._url}{path}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(url, data, {"Content-Type": kind}, method=method)
        try:
            with self._opener.open(asked, timeout=PATIENCE) as answer:
                return Answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode()
            try:
                return Answer(error.code, json.loads(text))
            except ValueError:
                return Answer(error.code, {"message": text})

    def define(self, definition: dict[str, Any]) -> dict[str, Any]:
        """Create a definition, and return it once its resources are served; fail if it is refused."""
        answer = self.request("POST", DEFINITIONS, definition)
        assert answer.code == 201, answer.message
        path = f"{DEFINITIONS}/{definition['metadata']['name']}"

        def is_established() -> bool:
            conditions = self.request("GET", path).body.get("status", {}).get("conditions") or []
            return any((each["type"], each["status"]) == ("Established", "True") for each in conditions)

        eventually(lambda: is_established() and self.request("GET", resources_of(definition)).code == 200)
        return self.request("GET", path).body


def resources_of(definition: dict[str, Any], namespace: str = "default") -> str:
    """Return the path of a definition's resources in a namespace."""
    spec = definition["spec"]
    version = spec["versions"][0]["name"]
    return f"/apis/{spec['group']}/{version}/namespaces/{namespace}/{spec['names']['plural']}"


def eventually(condition: Callable[[], bool]) -> None:
    """Look until the condition holds; fail when it never does."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, f"still not so after {PATIENCE:.0f} s"
        time.sleep(0.05)


@contextmanager
def crd_server(programs: Path, folder: Path) -> Iterator[Server]:
    """Run the server and its etcd, whose programs are in one folder and whose files go into another."""
    etcd, peers, port = _free_ports(3)
    url, store = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{etcd}"
    certificate, key, config = folder / "client.crt", folder / "client.key", folder / "kubeconfig"
    subject = ("-subj", "/O=system:masters/CN=tests")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2")
    run("openssl", "req", "-x509", *curve, *subject, "-keyout", key, "-out", certificate)
    config.write_text(json.dumps(_kubeconfig(url, certificate, key)))  # JSON is YAML
    with ExitStack() as running:
        _start(
            running,
            folder / "etcd.log",
            [
                programs / ETCD,
                f"--data-dir={folder}/etcd",
                "--unsafe-no-fsync",
                f"--listen-client-urls={store}",
                f"--advertise-client-urls={store}",
                f"--listen-peer-urls=http://127.0.0.1:{peers}",
            ],
        )
        server = _start(
            running,
            folder / "server.log",
            [
                programs / SERVER,
                f"--etcd-servers={store}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--cert-dir={folder}/serving",
                f"--client-ca-file={certificate}",
                "--authentication-skip-lookup",
                *(
                    f"--{each}={config}"
                    for each in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
                ),
                f"--disable-admission-plugins={','.join(_ADMISSION)}",
                "--enable-priority-and-fairness=false",
            ],
        )

        def is_served() -> bool:
            assert server.poll() is None, f"it ended: {(folder / 'server.log').read_text()[-2000:]}"
            try:
                return served.request("GET", DEFINITIONS).code == 200
            except OSError:
                return False

        authority = folder / "serving" / "apiserver.crt"  # which the server signs for itself
        eventually(lambda: server.poll() is not None or authority.exists())
        served = Server(url, certificate, key, authority)
        eventually(is_served)
        yield served


def _start(running: ExitStack, log: Path, command: list[str | Path]) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    running.callback(_end, started)
    return started


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(number: int) -> list[int]:
    with ExitStack() as bound:
        sockets = [bound.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _kubeconfig(url: str, certificate: Path, key: Path) -> dict[str, Any]:
    """Lead the server's own clients to itself: it has no core API that they could ask."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "own",
        "clusters": [{"name": "own", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
        "contexts": [{"name": "own", "context": {"cluster": "own", "user": "tests"}}],
        "users": [{"name": "tests", "user": {"client-certificate": str(certificate), "client-key": str(key)}}],
    }
