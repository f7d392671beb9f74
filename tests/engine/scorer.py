"""A service that entry scripts ask for scores, many at once."""

import http.server
import json
import threading
from contextlib import suppress

PATIENCE = 30.0  # seconds: far more than anything takes


class Scorer(http.server.ThreadingHTTPServer):
    """A service that answers GET /NAME with the length of the name, once `together` requests are in flight.

    A name in `never` is not answered before the end of the test, one that begins with "bad" with 500.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.together = 1
        self.never = set()
        self.asked = []
        self.most = 0
        self.over = threading.Event()
        self._in_flight = 0
        self._reached = False
        self._changed = threading.Condition()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def begin(self, name):
        with self._changed:
            self.asked.append(name)
            self._in_flight += 1
            self.most = max(self.most, self._in_flight)
            self._reached = self._reached or self._in_flight >= self.together
            self._changed.notify_all()
            if name not in self.never:
                self._changed.wait_for(lambda: self._reached, PATIENCE)
        if name in self.never:
            self.over.wait(PATIENCE)

    def answer(self):
        """Answer all from now on."""
        with self._changed:
            self._reached = True
            self._changed.notify_all()

    def end(self):
        with self._changed:
            self._in_flight -= 1


class Answer(http.server.BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):
        name = self.path[1:]
        self.server.begin(name)
        body = json.dumps(len(name)).encode()
        self.server.end()
        with suppress(OSError):  # who asked is dead
            self.send_response(500 if name.startswith("bad") else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


def names(count):
    return [f"{number:03d}" + "x" * (number % 7) for number in range(count)]
