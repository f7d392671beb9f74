"""A store that speaks S3, for tests: on this machine, or, run as a program, in a pod of its own."""

from __future__ import annotations

import logging
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

BUCKET = "bucket"
_ACCOUNT, _REGION = "123456789012", "us-east-1"


@dataclass
class Server:
    """A running store with one bucket; `variables` lead its clients to it."""

    variables: dict[str, str] = field(default_factory=dict)
    puts: Counter[str] = field(default_factory=Counter)  # by path: how often an object was written, or a part of one
    gets: Counter[str] = field(default_factory=Counter)  # by path: how often it was read, or a part of it
    held: dict[str, threading.Event] = field(default_factory=dict)  # paths that are read once the event is set
    ignores_conditions: bool = False  # it overwrites what was to be created only if absent

    @property
    def root(self) -> str:
        """Where it listens: a URL without a path."""
        return next(found[0] for each in self.variables.values() if (found := re.search(r"http://[^/;]*", each)))

    def led_to(self, url: str) -> dict[str, str]:
        """Return variables that lead clients to `url` instead."""
        return {name: value.replace(self.root, url) for name, value in self.variables.items()}


@contextmanager
def s3_server(host: str = "127.0.0.1", port: int = 0) -> Iterator[Server]:
    """Run a store that speaks S3; on a free port, if none is given."""
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
        if environment["REQUEST_METHOD"] == "GET":
            path = environment["PATH_INFO"]
            store.gets[path] += 1
            if path in store.held:
                store.held[path].wait()
        with one_at_a_time:
            return dispatch(environment, start_response)

    server = make_server(host, port, application, threaded=True)
    store.variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "the-key",
        "AWS_SECRET_ACCESS_KEY": "the-secret",
        "AWS_DEFAULT_REGION": _REGION,
    }
    get_backend("s3")[_ACCOUNT]["aws"].create_bucket(BUCKET, _REGION)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        get_backend("s3").reset()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # a pod's first process is not sent what it ignores
    with s3_server("0.0.0.0", int(sys.argv[1])):
        signal.sigwait({signal.SIGTERM})
