"""Object stores for tests: real servers of real protocols, each on a free port of this machine."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

BUCKET = "bucket"
_S3_ACCOUNT, _S3_REGION = "123456789012", "us-east-1"


@dataclass
class Server:
    """A running store with one bucket; `variables` lead its clients to it."""

    variables: dict[str, str] = field(default_factory=dict)
    puts: Counter[str] = field(default_factory=Counter)  # by path: how often an object was written, or a part of one
    ignores_conditions: bool = False  # it overwrites what was to be created only if absent


@contextmanager
def s3_server() -> Iterator[Server]:
    """Run a store that speaks S3."""
    from moto.backends import get_backend
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would tell of every request
    dispatch = DomainDispatcherApplication(create_backend_app)
    store = Server()
    one_at_a_time = threading.Lock()  # it looks and writes in two steps, and is to be as exact as a store

    def application(environment: dict[str, Any], start_response: Any) -> Any:
        if environment["REQUEST_METHOD"] == "PUT":
            store.puts[environment["PATH_INFO"]] += 1
            if store.ignores_conditions:
                environment.pop("HTTP_IF_NONE_MATCH", None)
        with one_at_a_time:
            return dispatch(environment, start_response)

    server = make_server("127.0.0.1", 0, application, threaded=True)
    store.variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "the-key",
        "AWS_SECRET_ACCESS_KEY": "the-secret",
        "AWS_DEFAULT_REGION": _S3_REGION,
    }
    get_backend("s3")[_S3_ACCOUNT]["aws"].create_bucket(BUCKET, _S3_REGION)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        get_backend("s3").reset()


@contextmanager
def gcs_server() -> Iterator[Server]:
    """Run a store that speaks Google's JSON; the one condition that it lacks is added."""
    from gcp_storage_emulator.exceptions import NotFound
    from gcp_storage_emulator.handlers import objects
    from gcp_storage_emulator.server import create_server

    store = Server()
    upload = objects._multipart_upload
    one_at_a_time = threading.Lock()

    def conditional_upload(request: Any, response: Any, storage: Any) -> None:
        name = request.data["meta"]["name"]
        with one_at_a_time:
            if request.query.get("ifGenerationMatch") == ["0"] and not store.ignores_conditions:
                try:
                    storage.get_file_obj(request.params["bucket_name"], name)
                except NotFound:
                    pass
                else:
                    response.status = HTTPStatus.PRECONDITION_FAILED
                    return
            upload(request, response, storage)

    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
    with mock.patch.object(objects, "_multipart_upload", conditional_upload):
        server.start()
        store.variables = {
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{server._api._httpd.server_address[1]}",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # it would ask Google what kind of bucket this is
        }
        try:
            yield store
        finally:
            server.stop()


class _Blobs(BaseHTTPRequestHandler):
    """As much of Azure's Blob service as a run needs: whole blobs, blobs of blocks, ranges, lists, one condition."""

    protocol_version = "HTTP/1.1"
    server: Any

    def _handle(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = unquote(url.path).removeprefix("/account").removeprefix(f"/{BUCKET}").lstrip("/")
        with self.server.lock:
            getattr(self, f"_{self.command.lower()}")(name, query, body)

    do_GET = do_HEAD = do_PUT = do_DELETE = _handle  # noqa: N815  (the standard library looks for these names)

    def _put(self, name: str, query: dict[str, str], body: bytes) -> None:
        blobs, blocks = self.server.blobs, self.server.blocks
        self.server.store.puts[name] += 1
        if query.get("comp") == "block":
            blocks[name, query["blockid"]] = body
        elif self.headers.get("If-None-Match") == "*" and name in blobs and not self.server.store.ignores_conditions:
            return self._answer(HTTPStatus.CONFLICT, code="BlobAlreadyExists")
        elif query.get("comp") == "blocklist":
            blobs[name] = b"".join(blocks.pop((name, each.text)) for each in ElementTree.fromstring(body))
        else:
            blobs[name] = body
        return self._answer(HTTPStatus.CREATED)

    def _get(self, name: str, query: dict[str, str], _: bytes) -> None:
        if query.get("comp") == "list":
            return self._list(query)
        if name not in self.server.blobs:
            return self._answer(HTTPStatus.NOT_FOUND, code="BlobNotFound")
        content = self.server.blobs[name]
        asked = self.headers.get("x-ms-range") or self.headers.get("Range")
        if asked is None or self.command == "HEAD":
            return self._answer(HTTPStatus.OK, content, blob=True)
        start, end = asked.removeprefix("bytes=").split("-")
        part = content[int(start) : int(end) + 1 if end else None]
        if not part:
            return self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, code="InvalidRange")
        place = f"bytes {start}-{int(start) + len(part) - 1}/{len(content)}"
        return self._answer(HTTPStatus.PARTIAL_CONTENT, part, blob=True, content_range=place)

    _head = _get

    def _delete(self, name: str, *_: Any) -> None:
        found = self.server.blobs.pop(name, None)
        self._answer(HTTPStatus.NOT_FOUND if found is None else HTTPStatus.ACCEPTED, code="BlobNotFound")

    def _list(self, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        entries = {}
        for name, content in sorted(self.server.blobs.items()):
            if name.startswith(prefix):
                inside, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
                if cut:
                    entries[prefix + inside + cut] = (
                        f"<BlobPrefix><Name>{escape(prefix + inside + cut)}</Name></BlobPrefix>"
                    )
                else:
                    size = f"<Content-Length>{len(content)}</Content-Length><BlobType>BlockBlob</BlobType>"
                    entries[name] = f"<Blob><Name>{escape(name)}</Name><Properties>{size}</Properties></Blob>"
        found = "".join(entries.values())
        blobs = f"<Blobs>{found}</Blobs><NextMarker/>"
        xml = f'<?xml version="1.0"?><EnumerationResults ContainerName="{BUCKET}">{blobs}</EnumerationResults>'
        self._answer(HTTPStatus.OK, xml.encode(), kind="application/xml")

    def _answer(
        self, status: HTTPStatus, content: bytes = b"", *, code: str = "", kind: str = "application/octet-stream",
        blob: bool = False, content_range: str = "",
    ) -> None:  # fmt: skip
        self.send_response(status)
        headers = {"x-ms-error-code": code if status >= HTTPStatus.BAD_REQUEST else "", "Content-Range": content_range}
        if blob:
            headers |= {"x-ms-blob-type": "BlockBlob", "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "ETag": '"e"'}
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def azure_server() -> Iterator[Server]:
    """Run a store that speaks Azure's Blob protocol: there is no such server to install, so it is ours."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Blobs) as server:
        running: Any = server
        running.daemon_threads = True
        running.lock, running.blobs, running.blocks, running.store = threading.Lock(), {}, {}, Server()
        endpoint = f"http://127.0.0.1:{server.server_address[1]}/account"
        running.store.variables = {
            "AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=http;AccountName=account;"
            f"AccountKey=dGhlLWtleQ==;BlobEndpoint={endpoint};"
        }
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield running.store
        finally:
            server.shutdown()
            thread.join()
