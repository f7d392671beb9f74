"""A loopback HTTP server in this process, which starts runs of published pipelines.

Scripts post to the endpoint of a pipeline with the header that `get_authentication_header` returns. The server listens
on this machine only, and for as long as this process lives.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from longshore_azureml.dataset_factories import Dataset
from longshore_azureml.datasets import AbstractDataset
from longshore_azureml.datastores import DataPath, Datastore
from longshore_azureml.errors import AzureMLException, UserErrorException

if TYPE_CHECKING:
    from longshore_azureml.workspace import Workspace

_token = secrets.token_urlsafe(32)
_lock = threading.Lock()
_servers: dict[str, ThreadingHTTPServer] = {}  # by the folder of the workspace
_LONGEST = 1 << 20  # bytes of a request


def authorization() -> dict[str, str]:
    """Return the header that the server of this process requires."""
    return {"Authorization": f"Bearer {_token}"}


def url_of(workspace: Workspace, kind: str, id: str) -> str:
    """Return the URL of a pipeline or endpoint; start the server if it does not run yet."""
    with _lock:
        server = _servers.get(workspace.folder)
        if server is None:
            server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(workspace))
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, name="longshore-endpoints", daemon=True).start()
            _servers[workspace.folder] = server
    return f"http://127.0.0.1:{server.server_port}/{kind}/{id}"


def stop() -> None:
    """Stop all servers of this process."""
    with _lock:
        for each in _servers.values():
            each.shutdown()
            each.server_close()
        _servers.clear()


def _handler_of(workspace: Workspace) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Starts a run for each valid request."""

        def do_POST(self) -> None:
            """Answer one request."""
            given = self.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), authorization()["Authorization"].encode()):
                self._answer(HTTPStatus.UNAUTHORIZED, {"message": _UNAUTHORIZED})
                return
            try:
                length = int(self.headers.get("Content-Length") or 0)
                if length > _LONGEST:
                    self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"message": "The request is too large."})
                    return
                body = json.loads(self.rfile.read(length) or b"{}")
                self._answer(HTTPStatus.OK, {"Id": _start(workspace, self.path, body)})
            except (AzureMLException, ValueError, TypeError, AttributeError) as error:
                self._answer(HTTPStatus.BAD_REQUEST, {"message": str(error)})

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing: scripts print the answer."""

        def _answer(self, status: HTTPStatus, body: Mapping[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


_UNAUTHORIZED = (
    "The header Authorization must be that of get_authentication_header() of the process that serves this endpoint. "
    "From another process or machine, create a PipelineRun by the Kubernetes API instead."
)


def _start(workspace: Workspace, path: str, body: Mapping[str, Any]) -> str:
    """Start a run; return its id. Raises AzureMLException for an unknown pipeline or wrong parameters."""
    from longshore_azureml.publishing import PipelineEndpoint, PublishedPipeline

    kind, _, id = path.strip("/").partition("/")
    if kind not in ("pipelines", "endpoints"):
        raise UserErrorException(f'"{path}" is no endpoint of a pipeline.')
    pipeline = (
        PublishedPipeline.get(workspace, id)
        if kind == "pipelines"
        else PipelineEndpoint.get(workspace, id=id).get_pipeline()
    )
    values: dict[str, Any] = dict(body.get("ParameterAssignments") or {})
    for name, place in (body.get("DataPathAssignments") or {}).items():
        values[name] = DataPath(Datastore.get(workspace, place["DataStoreName"]), place["RelativePath"])
    for name, given in (body.get("DataSetDefinitionValueAssignments") or {}).items():
        values[name] = _dataset(workspace, given["SavedDataSetReference"]["Id"])
    experiment = body.get("ExperimentName") or pipeline.name
    return pipeline.submit(workspace, experiment, values).id


def _dataset(workspace: Workspace, id: str) -> AbstractDataset:
    found = next((each for each in workspace.datasets.values() if each.id == id), None)
    return Dataset.get_by_name(workspace, id) if found is None else found
