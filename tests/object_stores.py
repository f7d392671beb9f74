"""Object stores for tests: real servers of real protocols, each on a free port of this machine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any
from unittest import mock

from azure.storage.blob import BlobServiceClient
from s3_server import BUCKET, Server

_AZURITE = "3.37.0"
_AZURITE_OPTIONS = ("--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck")  # the library may be newer
_AZURE_ACCOUNT = "devstoreaccount1"  # the account that the emulator has, with the key that everybody knows
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


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


class AzureServer:
    """Azurite, Microsoft's own emulator of Azure's Blob service; another one is started when it has crashed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._printed: deque[str] = deque(maxlen=20)  # its last lines

    def running(self) -> Server:
        """Return the server that runs, with what it holds, or a new one."""
        if self._process is not None and self._process.poll() is None:
            return self._server
        if self._process is not None:
            print(f"Azurite ended with {self._process.returncode}:", *self._printed, sep="\n", file=sys.stderr)
        self.stop()
        command = ["node", azurite(), "--blobPort", "0", *_AZURITE_OPTIONS]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self._process = process = subprocess.Popen(command, **output)  # type: ignore[call-overload]
        first = next(line for line in process.stdout if "successfully listens on" in line)
        self._reader = threading.Thread(target=lambda: self._printed.extend(process.stdout))  # or it would block
        self._reader.start()
        endpoint = f"http://127.0.0.1:{int(first.rpartition(':')[2])}/{_AZURE_ACCOUNT}"
        text = f"AccountName={_AZURE_ACCOUNT};AccountKey={AZURE_KEY};BlobEndpoint={endpoint};"
        text = f"DefaultEndpointsProtocol=http;{text}"
        with BlobServiceClient.from_connection_string(text) as client:
            client.create_container(BUCKET)
        self._server = Server({"AZURE_STORAGE_CONNECTION_STRING": text})
        return self._server

    def stop(self) -> None:
        """End it, if it was started."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._reader.join()
            self._process.stdout.close()


@contextmanager
def azure_servers() -> Iterator[AzureServer]:
    """Provide Azurite, started when it is first asked for."""
    server = AzureServer()
    try:
        yield server
    finally:
        server.stop()


def azurite() -> str:
    """Return the path of Azurite's program; npm brings it into this user's cache, once. Raises CalledProcessError."""
    folder = Path.home() / ".cache" / "longshore-tests" / f"azurite-{_AZURITE}"
    program = folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not program.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:  # whole or not at all: others may look meanwhile
            options = ("--no-audit", "--no-fund", "--ignore-scripts", "--prefix", fresh)
            subprocess.run(["npm", "install", *options, f"azurite@{_AZURITE}"], check=True, stdout=subprocess.DEVNULL)
            with suppress(OSError):  # somebody else was faster
                Path(fresh).rename(folder)
            Path(fresh).mkdir(exist_ok=True)
    return str(program)
