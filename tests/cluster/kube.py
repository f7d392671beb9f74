"""kubectl, and waiting."""

import json
import os
import ssl
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from manifests import resource

OURS = ".longshore.dev"  # behind the plurals of our kinds
PATIENCE = 60.0  # seconds: far more than any single thing takes


def eventually(condition, *, patience=PATIENCE):
    """Look until `condition()` gives something true, and return that; the test fails when it never does."""
    give_up = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < give_up, f"still not so after {patience:.0f} s: {condition}"
        time.sleep(0.1)
    return found


def words(text):
    """Return the rows of a table that kubectl printed."""
    return [line.split() for line in text.splitlines()]


@contextmanager
def watched(kubectl, file, *what):
    """Record a watch into a file for a while; give what returns its events so far, as (type, object)."""

    def events():
        decoder, text = json.JSONDecoder(), file.read_text().lstrip()
        while text:
            try:
                event, end = decoder.raw_decode(text)
            except ValueError:
                return  # it is being written
            text = text[end:].lstrip()
            yield event["type"], event["object"]

    with kubectl.recorded(file, "get", *what, "--watch", "--output-watch-events", "--output=json"):
        yield events


def sets(events):
    """Yield every set of names that there was, one for each event of a watch."""
    now = set()
    for type_, raw in events:
        name = raw["metadata"]["name"]
        now = now - {name} if type_ == "DELETED" else now | {name}
        yield now


class Kubectl:
    """kubectl for one cluster, in one namespace."""

    eventually = staticmethod(eventually)

    def __init__(self, kubeconfig, namespace="default"):
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    def try_(self, *arguments, stdin=None, patience=PATIENCE):
        """Run kubectl and return how it ended."""
        given = json.dumps(stdin) if isinstance(stdin, dict | list) else stdin
        command, environment = self._command(arguments)
        return subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, timeout=patience, env=environment
        )

    def __call__(self, *arguments, stdin=None, patience=PATIENCE):
        """Run kubectl and return what it printed; the test fails if it does."""
        ended = self.try_(*arguments, stdin=stdin, patience=patience)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    @contextmanager
    def recorded(self, file, *arguments):
        """Have a kubectl that goes on, such as a watch, write what it prints into a file for a while."""
        command, environment = self._command(arguments)
        with file.open("wb") as log, subprocess.Popen(command, stdout=log, env=environment) as process:
            try:
                yield process
            finally:
                process.terminate()

    def get(self, *arguments):
        """Return an object, or a list's items."""
        found = json.loads(self("get", *arguments, "--output=json"))
        return found.get("items", found)

    def read(self, what, **query):
        """Return a pod or a resource of ours (PLURAL/NAME), or a list's items, as `get` does.

        It is for what is looked at again and again: a process for each look would keep a core busy that the pods need.
        """
        plural, slash, name = what.partition("/")
        group = "/apis/longshore.dev/v1alpha1" if plural.endswith(OURS) else "/api/v1"
        path = f"{group}/namespaces/{self.namespace}/{plural.removesuffix(OURS)}{slash}{name}"
        found = self.request("GET", path, **query)
        return found.get("items", found)

    def conditions(self, what):
        """Return the conditions of a resource of ours by their types."""
        found = self.read(what).get("status", {}).get("conditions", [])
        return {each["type"]: each for each in found}

    def apply(self, kind, name, /, **spec):
        """Apply a resource of ours."""
        self("apply", "--validate=false", "--filename=-", stdin=resource(kind, name, spec))

    def request(self, method, path, body=None, **query):
        """Send the API server a request of our own: kubectl cannot apply a status. JSON is YAML, too."""
        server, opener = self._connection
        url = f"{server}{path}?{urllib.parse.urlencode(query)}"
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(url, data, {"Content-Type": kind}, method=method)
        with opener.open(asked, timeout=PATIENCE) as answer:
            return json.load(answer)

    def evict(self, pod, **options):
        """Evict a pod, as draining its node does; `options` are of its deletion."""
        (evictions,) = (each for each in self.request("GET", "/api/v1")["resources"] if each["name"] == "pods/eviction")
        body = {
            "apiVersion": f"policy/{evictions['version']}",  # v1 since 1.22, though policy/v1 is there since 1.21
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.namespace},
            "deleteOptions": options,
        }
        self.request("POST", f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction", body)

    @cached_property
    def _connection(self):
        """The API server's URL, and what opens URLs of it as the cluster's administrator."""
        config = json.loads(Path(self.kubeconfig).read_text())
        server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        tls = ssl.create_default_context(cafile=server["certificate-authority"])
        tls.load_cert_chain(user["client-certificate"], user["client-key"])
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)
        return server["server"], urllib.request.build_opener(*handlers)

    def in_namespace(self, namespace):
        return Kubectl(self.kubeconfig, namespace)

    def _command(self, arguments):
        command = ["kubectl", f"--namespace={self.namespace}", *map(str, arguments)]
        return command, {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
