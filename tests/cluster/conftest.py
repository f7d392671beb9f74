"""A real Kubernetes for the tests of a session: the checkout's own that is up, else one that is made and ended here.

Where none can be made, every test that needs it is skipped, in words that nobody overlooks; under CI it fails.
"""

import json
import os
import ssl
import subprocess
import time
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import pytest
from localcluster import cluster as local
from localcluster import machine
from localcluster.places import places
from localcluster.processes import Problem

ROOT = Path(__file__).parents[2]

PATIENCE = 60.0  # seconds: far more than any single thing takes
_left_out = []


def eventually(condition, *, patience=PATIENCE):
    """Look until `condition()` gives something true, and return that; the test fails when it never does."""
    give_up = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < give_up, f"still not so after {patience:.0f} s: {condition}"
        time.sleep(0.1)
    return found


class Kubectl:
    """kubectl for one cluster, in one namespace."""

    eventually = staticmethod(eventually)

    def __init__(self, kubeconfig, namespace="default"):
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    def try_(self, *arguments, stdin=None):
        """Run kubectl and return how it ended."""
        given = json.dumps(stdin) if isinstance(stdin, dict | list) else stdin
        return subprocess.run(
            ["kubectl", f"--namespace={self.namespace}", *map(str, arguments)],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )

    def __call__(self, *arguments, stdin=None):
        """Run kubectl and return what it printed; the test fails if it does."""
        ended = self.try_(*arguments, stdin=stdin)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def get(self, *arguments):
        """Return an object, or a list's items."""
        found = json.loads(self("get", *arguments, "--output=json"))
        return found.get("items", found)

    def request(self, method, path, body, **query):
        """Send the API server a request of our own: kubectl cannot apply a status. JSON is YAML, too."""
        config = json.loads(Path(self.kubeconfig).read_text())
        server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        tls = ssl.create_default_context(cafile=server["certificate-authority"])
        tls.load_cert_chain(user["client-certificate"], user["client-key"])
        url = f"{server['server']}{path}?{urllib.parse.urlencode(query)}"
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        asked = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": kind}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))
        with opener.open(asked, timeout=PATIENCE) as answer:
            return json.load(answer)

    def in_namespace(self, namespace):
        return Kubectl(self.kubeconfig, namespace)


@pytest.fixture(scope="session")
def kubectl():
    """Kubectl for a cluster with a node."""
    place = places()
    if local.takes_images(place):
        yield Kubectl(place.kubeconfig)
        return
    if os.geteuid() or not machine.is_debian():
        _leave_out("no cluster is up, and only root on Debian can make one")
    try:
        local.up(place, with_node=True)
    except Problem as problem:
        _leave_out(f"no cluster is up, and none can be made: {problem}")
    try:
        yield Kubectl(place.kubeconfig)
    finally:
        local.down(place)


@pytest.fixture(scope="session")
def crds(kubectl):
    """Have the custom resource definitions of crds/ in the cluster, as they are now, and return their names.

    Through the API as it is: it prunes what an old server does not know, where kubectl would refuse it.
    """
    names = []
    for file in sorted((ROOT / "crds").iterdir()):
        names.append(f"{file.stem}.longshore.dev")
        verb = "replace" if kubectl.try_("get", "crd", names[-1]).returncode == 0 else "create"
        kubectl(verb, "--validate=false", "--filename", file)
    for each in names:
        kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{each}")
        eventually(lambda each=each: kubectl.try_("get", each).returncode == 0)  # established, and served
    return names


@pytest.fixture
def namespace(kubectl, crds):  # noqa: ARG001, a fixture cannot ask for another but as an argument
    """Kubectl in a namespace of the test's own, removed afterwards."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    yield kubectl.in_namespace(name)
    kubectl("delete", "namespace", name, "--wait=false")


def _leave_out(why):
    if os.environ.get("CI") == "true":
        pytest.fail(f"{why}; under CI the tests on a cluster are not optional", pytrace=False)
    _left_out.append(why)
    pytest.skip(why)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    """Say it last, after the list of what was skipped."""
    result = yield
    for why in sorted(set(_left_out)):
        terminalreporter.section("NOT TESTED ON A CLUSTER", sep="!", red=True, bold=True)
        terminalreporter.write_line(why)
    return result
