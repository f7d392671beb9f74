"""However large an object, the agent that stages it stays small: a csv of 4 GB, made as it is sent, in 10 MB pieces."""

import http.server
import threading
from contextlib import suppress
from pathlib import Path

import pytest

ROW = b"%s,1\n" % (b"x" * 4093)
PIECE = ROW * 2560  # 10 MiB
SIZE = 400 * len(PIECE)
LIMIT = 300 << 20  # bytes

SCRIPT = """
def run(mini_batch):
    return [len(mini_batch)]
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()

    def do_GET(self):
        start, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        end = min(end + 1, SIZE)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{SIZE}")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        view = memoryview(PIECE)
        with suppress(ConnectionError):
            while start < end:
                inside = start % len(PIECE)
                part = view[inside : inside + end - start]
                self.wfile.write(part)
                start += len(part)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.daemon_threads = True
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()
        thread.join()


def most_memory(pid):
    """The most bytes that a process has had in memory at once; 0 when it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


def test_an_agent_stays_small_whatever_it_stages(longshore, server):
    longshore.write("code/script.py", SCRIPT)
    table = {"paths": [f"{server}/big.csv"], "format": "csv", "header": False}
    longshore.manifest(
        longshore.step(
            "script.py",
            source={"uri": "file:code"},
            inputs=[{"name": "big", "tabular": table}],
            miniBatchSize="10MB",
            processCountPerNode=2,
            errorThreshold=-1,
        )
    )
    command = longshore.start()
    [agent] = longshore.wait_until(lambda: not command.is_running() or longshore.processes("longshore_cli.tethered"))
    seen = [0]

    def has_ended():
        seen.append(most_memory(agent))
        return not command.is_running()

    longshore.wait_until(has_ended, patience=180)
    ended = command.wait()
    assert ended.code == 0, ended.stderr
    assert sum(map(int, ended.rows)) == SIZE // len(ROW)
    assert 0 < max(seen) < LIMIT
