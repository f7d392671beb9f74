"""A package index in a pod, with wheels that tests make: pods have no way out of the cluster."""

import base64
import hashlib
import zipfile
from contextlib import contextmanager

from servers import serve

USER, PASSWORD = "reader", "open-sesame-of-the-index"
PORT = 8080
_SERVER = """
import base64, http.server, os, sys, time

os.chdir(sys.argv[1])
EXPECTED = "Basic " + base64.b64encode(sys.argv[2].encode()).decode()

class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        while os.path.exists("held") and self.path.endswith(".whl"):
            time.sleep(0.05)
        if self.path.startswith("/private/") and self.headers.get("Authorization") != EXPECTED:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_GET()

http.server.ThreadingHTTPServer(("", int(sys.argv[3])), Handler).serve_forever()
"""


class Index:
    """An index at `url`, and one at `private_url` for the user `USER` with `PASSWORD`."""

    def __init__(self, kubectl, folder):
        self.folder, self.kubectl = folder, kubectl
        for each in ("simple", "private"):
            (folder / each).mkdir(parents=True)
        folder.chmod(0o755)
        kubectl("create", "configmap", "index", f"--from-literal=server.py={_SERVER}")
        container = {
            "command": ["python3", "/server/server.py", "/wheels", f"{USER}:{PASSWORD}", str(PORT)],
            "volumeMounts": [{"name": "server", "mountPath": "/server"}, {"name": "wheels", "mountPath": "/wheels"}],
        }
        volumes = [
            {"name": "server", "configMap": {"name": "index"}},
            {"name": "wheels", "hostPath": {"path": str(folder)}},
        ]
        serve(kubectl, "index", "docker.io/library/python:3.11-slim", PORT, container, volumes=volumes)
        host = f"http://index.{kubectl.namespace}.svc:{PORT}"
        self.url, self.private_url = f"{host}/simple", f"{host}/private"

    @contextmanager
    def held(self):
        """Let downloads of packages wait for a while."""
        (self.folder / "held").touch()
        try:
            yield
        finally:
            (self.folder / "held").unlink()

    def add(self, name, version="1.0", *, requires=(), code="", private=False):
        """Add a package with one module of its name."""
        folder = self.folder / ("private" if private else "simple") / name
        folder.mkdir(exist_ok=True)
        info = f"{name}-{version}.dist-info"
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {each}" for each in requires]
        files = {
            f"{name}/__init__.py": f'__version__ = "{version}"\n{code}',
            f"{info}/METADATA": "\n".join(lines) + "\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{path},{_digest(text)},{len(text)}\n" for path, text in files.items())
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
                wheel.writestr(path, text)
        for each in (folder, *folder.iterdir()):
            each.chmod(0o755)


def _digest(text):
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
