"""What an agent takes of memory while it stages a large object in mini-batches: little, however large the object is."""

import http.server
from contextlib import suppress
from pathlib import Path

import pytest
from served import serving

LIMIT = 300 << 20  # bytes of an agent
HEADER = b"x,text\n"
LINE = b"1," + b"t" * 1021 + b"\n"
LINES = (4 << 30) // len(LINE)
SIZE = len(HEADER) + LINES * len(LINE)
BLOCK = memoryview(LINE * 4096)

COUNT = """
def run(mini_batch):
    assert mini_batch["x"].sum() == len(mini_batch)
    return [len(mini_batch)] * len(mini_batch)
"""


class Table(http.server.BaseHTTPRequestHandler):
    """4 GiB of csv that lie nowhere: each range is made when it is asked for."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()

    def do_GET(self):
        start, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        end = min(end + 1, SIZE)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{SIZE}")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(HEADER[start:end])
            start, end = max(start - len(HEADER), 0), end - len(HEADER)
            while start < end:
                inside = start % len(LINE)
                part = BLOCK[inside : inside + end - start]
                self.wfile.write(part)
                start += len(part)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def url():
    with serving(Table) as server:
        yield f"{server.url}/table.csv"


def peak(pid):
    """Return the most memory that a process had so far, in bytes; 0 once it is gone."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)
    return 0


def test_an_object_of_4_gib_in_mini_batches_of_10_mib_takes_an_agent_less_than_300_mib(longshore, url):
    longshore.write("code/entry.py", COUNT)
    step = longshore.step(
        "entry.py",
        source={"uri": "file:code"},
        inputs=[{"name": "rows", "tabular": {"paths": [url], "format": "csv", "columnTypes": {"x": "int64"}}}],
        miniBatchSize="10MB",
        processCountPerNode=2,
        outputAction="summary_only",
        errorThreshold=0,
    )
    longshore.manifest(step)
    command = longshore.start()
    [agent] = longshore.wait_until(lambda: longshore.processes("longshore_agent"))
    most = 0

    def ended():
        nonlocal most
        most = max(most, peak(agent))
        return not command.is_running()

    longshore.wait_until(ended, patience=300)
    status = command.wait()
    longshore.nothing_is_left_running()
    assert status.code == 0, status.first_error
    assert status.items == {"total": LINES, "succeeded": LINES}
    assert status.mini_batches["succeeded"] == -(-SIZE // (10 << 20))
    print(f"the agent took {most >> 20} MiB at most")
    assert 0 < most < LIMIT
