"""A package index on the loopback interface, with tiny wheels: builds need no network and take milliseconds."""

from __future__ import annotations

import base64
import tarfile
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path


class PackageIndex:
    """A simple index (PEP 503) of the files in a folder; `requests` lists the paths that were asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[str] = []
        self.authorizations: set[str] = set()  # headers that were received
        self.credentials = ""  # "user:password" that a request must have
        self.status = 200  # another one is the answer to every request
        self.gate = threading.Event()  # answers wait for it
        self.gate.set()
        self.asked = threading.Event()  # a request has arrived
        self.stop_at = 0  # number of the request at which the gate closes; 0: none
        self.stopped = threading.Event()  # it has closed there
        self.url = ""

    def wheel(
        self,
        name: str,
        version: str = "1.0",
        *,
        requires: Iterable[str] = (),
        modules: dict[str, str] | None = None,
        tag: str = "py3-none-any",
    ) -> None:
        """Add a wheel; its module has the wheel's name and VERSION, unless `modules` names others."""
        files = modules or {f"{name}.py": f"VERSION = {version!r}\n"}
        info = f"{name}-{version}.dist-info"
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        files |= {
            f"{info}/METADATA": "\n".join([*lines, *(f"Requires-Dist: {each}" for each in requires), ""]),
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        record = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
        with zipfile.ZipFile(self.folder / f"{name}-{version}-{tag}.whl", "w") as archive:
            for path, content in {**files, f"{info}/RECORD": record}.items():
                archive.writestr(path, content)

    def source(self, name: str, version: str = "1.0", *, setup: str) -> None:
        """Add a source distribution with this setup.py."""
        content = {"PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "setup.py": setup}
        with tarfile.open(self.folder / f"{name}-{version}.tar.gz", "w:gz") as archive:
            for path, text in content.items():
                member = tarfile.TarInfo(f"{name}-{version}/{path}")
                member.size = len(text)
                archive.addfile(member, BytesIO(text.encode()))

    def downloads(self, name: str) -> int:
        """Return how often the files of a package were downloaded."""
        return sum(each.startswith(f"/files/{name}-") for each in self.requests)

    def answer(self, path: str, authorization: str | None) -> tuple[int, bytes]:
        self.requests.append(path)
        self.authorizations |= set(filter(None, [authorization]))
        self.asked.set()
        if self.stop_at and len(self.requests) >= self.stop_at:
            self.gate.clear()
            self.stopped.set()
        self.gate.wait()
        if self.credentials:
            wanted = "Basic " + base64.b64encode(self.credentials.encode()).decode()
            if authorization != wanted:
                return 401, b""
        if self.status != 200:
            return self.status, b""
        kind, _, name = path.strip("/").partition("/")
        if kind == "files":
            return 200, (self.folder / name).read_bytes()
        found = [each.name for each in sorted(self.folder.iterdir()) if each.name.startswith(f"{name}-")]
        links = "".join(f'<a href="/files/{each}">{each}</a>' for each in found)
        return (200, f"<!DOCTYPE html><html><body>{links}</body></html>".encode()) if found else (404, b"")


@contextmanager
def package_index(folder: Path) -> Iterator[PackageIndex]:
    """Serve an index of the wheels in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    index = PackageIndex(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.send_head()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.send_head()

        def send_head(self) -> bytes:
            code, body = index.answer(self.path, self.headers.get("Authorization"))
            self.send_response(code)
            if code == 401:
                self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Type", "text/html" if "/files/" not in self.path else "application/zip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return body

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            return  # a killed builder closes its connection

    server = Server(("127.0.0.1", 0), Handler)
    index.url = f"http://127.0.0.1:{server.server_port}/simple"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield index
    finally:
        index.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
