"""Inputs behind HTTP: the same outputs as from files of this machine, and a sentence where a file does not come."""

import http.server
import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import pandas
import pytest
from served import serving

SCRIPT = """
import os

def run(mini_batch):
    if isinstance(mini_batch, list):
        return [read(path) for path in mini_batch]
    return [" ".join(map(str, row)) for row in mini_batch.itertuples(index=False)]

def read(path):
    assert os.path.isabs(path)
    with open(path) as file:
        return os.path.basename(path) + ": " + file.read()
"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """The standard library's, which knows no ranges, with ranges."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        if name in self.server.broken:
            self.server.refused[name] += 1
            self.send_error(self.server.broken[name])
            return
        with suppress(ConnectionError):
            asked = self.headers["Range"]
            if asked is None or self.path.endswith("/"):
                self.server.whole[name] += 1
                super().do_GET()
                return
            with open(self.translate_path(self.path), "rb") as file:
                content = file.read()
            start, end = asked.removeprefix("bytes=").split("-")
            part = content[int(start) : int(end) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{int(start) + len(part) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)
            self.server.sent[name] += len(part)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server(longshore):
    """Serve the test's folder; `broken` has the names that fail, and how."""
    handler = partial(Handler, directory=longshore.folder)
    with serving(handler) as made:
        made.broken, made.refused, made.sent, made.whole = {}, Counter(), Counter(), Counter()
        yield made


@pytest.fixture
def run(longshore):
    """Give a function that runs the script over one input.

    Nothing may stay in the machine's temporary folder, where agents put what they bring.
    """
    longshore.write("code/script.py", SCRIPT)
    temporary = Path(tempfile.mkdtemp())  # of a short path: sockets are in it
    longshore.variables["TMPDIR"] = str(temporary)

    def over(place, name, table=None, **spec):
        kind = {"file": {"paths": [place]}} if table is None else {"tabular": {"paths": [place], **table}}
        fields = {"inputs": [{"name": "given", **kind}], "source": {"uri": "file:code"}, "processCountPerNode": 2}
        longshore.manifest(longshore.step("script.py", **fields, **spec))
        longshore.run_dir = longshore.folder / name
        ended = longshore.run()
        assert list(temporary.iterdir()) == []
        return ended

    yield over
    shutil.rmtree(temporary)


def assert_same(run, server, path, **spec):
    """Run over a path here and behind HTTP, and compare the output files."""
    here, there = run(path, "here", **spec), run(f"{server.url}/{path}", "there", **spec)
    assert there.code == here.code == 0, there.stderr
    assert there.output == here.output
    assert there.mini_batches == here.mini_batches
    assert there.items == here.items
    assert there.log("sys/node/worker-0/agent.txt") == ""
    return there


def test_files_come_from_a_server_as_from_here(longshore, run, server):
    longshore.data(*[f"{number:02d}.txt" for number in range(23)], "deeper/00.txt", "deeper/a b.txt")
    ended = assert_same(run, server, "data/", miniBatchSize=3)
    assert ended.items["succeeded"] == 25
    assert ended.rows[-2:] == ["00.txt: deeper/00.txt", "a b.txt: deeper/a b.txt"]


def test_a_csv_comes_in_the_ranges_that_are_needed(longshore, run, server):
    longshore.write("data/a.csv", "x,y\n" + "".join(f"{number:06d},{number}\n" for number in range(60_000)))
    longshore.write("data/b.csv", "x,y\n1,2\n")
    ended = assert_same(run, server, "data/*.csv", table={"format": "csv"}, miniBatchSize="200KB")
    size, slices = (longshore.folder / "data/a.csv").stat().st_size, ended.mini_batches["total"]
    assert slices == 5
    assert ended.items["succeeded"] == 60_001
    assert size < server.sent["a.csv"] < size + slices * 400_000  # what is looked at to find where rows begin


def test_a_parquet_file_comes_once_for_each_worker(longshore, run, server):
    folder = longshore.folder / "data"
    folder.mkdir()
    frame = pandas.DataFrame({"n": range(1000), "s": [f"row {number}" for number in range(1000)]})
    frame.to_parquet(folder / "t.parquet", row_group_size=300)
    spec = {"miniBatchSize": None, "miniBatch": {"rows": 150}}
    ended = assert_same(run, server, "data/t.parquet", table={"format": "parquet"}, **spec)
    assert ended.items["succeeded"] == 1000
    assert server.whole["t.parquet"] == 1


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_does_not_come_fails_its_mini_batch_alone(longshore, run, server, status):
    longshore.data("a.txt", "b.txt", "c.txt")
    server.broken["b.txt"] = status
    ended = run(f"{server.url}/data/", "run", miniBatchSize=1, runMaxTry=1, errorThreshold=1)
    assert ended.code == 0, ended.stderr
    assert ended.rows == ["a.txt: a.txt", "c.txt: c.txt"]
    assert ended.mini_batches == {"total": 3, "scheduled": 3, "succeeded": 2, "failed": 1}
    [failed] = ended.failed
    assert (failed["category"], failed["items"]) == ("DataError", [f"{server.url}/data/b.txt"])
    assert failed["message"] == ended.first_error["message"]
    assert f'"{server.url}/data/b.txt"' in failed["message"]
    assert ("it does not exist" if status == 404 else "410") in failed["message"]
    assert server.refused["b.txt"] == 1
    assert ended.log("sys/node/worker-0/agent.txt") == ""


def test_a_table_that_does_not_come_is_a_data_error(longshore, run, server):
    longshore.write("data/a.csv", "x,y\n1,2\n")
    server.broken["a.csv"] = 410
    ended = run(f"{server.url}/data/a.csv", "run", table={"format": "csv"}, miniBatchSize="1KB", runMaxTry=1)
    assert ended.code == 1
    assert ended.first_error["category"] == "DataError"
    assert f'"{server.url}/data/a.csv"' in ended.first_error["message"]
