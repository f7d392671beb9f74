"""Object stores for tests: real servers of real protocols, each on a free port of this machine."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

BUCKET = "bucket"


@dataclass
class S3:
    """A server that speaks S3; `variables` lead clients to it. `refuse` may answer a request in the store's stead."""

    variables: dict[str, str]
    puts: Counter[str] = field(default_factory=Counter)  # by path: how often it was written, in one piece
    ignores_conditions: bool = False


@contextmanager
def s3_server() -> Iterator[S3]:
    """Run a server with one empty bucket."""
    from moto.backends import get_backend
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would tell of every request
    get_backend("s3").reset()
    dispatch = DomainDispatcherApplication(create_backend_app)
    store = S3({})
    one_at_a_time = threading.Lock()  # the server looks and writes in two steps, and is to be as exact as a store

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
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        get_backend("s3")["123456789012"]["aws"].create_bucket(BUCKET, "us-east-1")
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
