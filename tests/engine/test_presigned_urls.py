"""A presigned URL gives access to whoever reads it: its signature is nowhere but where the file is fetched."""

import http.server
import re

import pytest
from served import serving

SECRET = "c2lnbmF0dXJlLW9mLWEtYnVja2V0"
CSV = b"id,x\n1,2\n3,4\n"
SCRIPT = """
import os

def init():
    print(sorted(os.environ.items()))

def run(mini_batch):
    if not isinstance(mini_batch, list):
        return mini_batch
    return [open(path).read().splitlines()[-1] for path in mini_batch]
"""


class Store(http.server.BaseHTTPRequestHandler):
    """Gives a.csv to who has the signature, and nothing else to anyone."""

    def do_HEAD(self):
        self._answer(b"")

    def do_GET(self):
        self._answer(CSV)

    def _answer(self, body):
        there = self.path == f"/a.csv?X-Amz-Date=1&X-Amz-Signature={SECRET}"
        self.send_response(200 if there else 403)
        self.send_header("Content-Length", str(len(CSV) if there else 0))
        self.end_headers()
        self.wfile.write(body if there else b"")

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture
def store():
    with serving(Store) as server:
        yield server


CASES = {
    "a file that is read": ({"file": {"paths": ["{url}/a.csv?X-Amz-Date=1&X-Amz-Signature={secret}"]}}, 0),
    "a file that is refused": ({"file": {"paths": ["{url}/b.csv?X-Amz-Date=1&X-Amz-Signature={secret}"]}}, 1),
    "a table that is read": (
        {"tabular": {"format": "csv", "paths": ["{url}/a.csv?X-Amz-Date=1&X-Amz-Signature={secret}"]}},
        0,
    ),
    "a table that is refused": (
        {"tabular": {"format": "csv", "paths": ["{url}/b.csv?X-Amz-Date=1&X-Amz-Signature={secret}"]}},
        1,
    ),
}


@pytest.mark.parametrize(("data", "code"), CASES.values(), ids=CASES.keys())
def test_a_signature_is_in_no_file_of_the_run_and_on_no_screen(longshore, store, data, code):
    [(kind, given)] = data.items()
    paths = [each.format(url=store.url, secret=SECRET) for each in given["paths"]]
    longshore.write("code/score.py", SCRIPT)
    spec = {} if kind == "file" else {"miniBatchSize": "1KB"}
    longshore.manifest(
        longshore.step(
            "score.py",
            source={"uri": "code"},
            inputs=[{"name": "files", kind: {**given, "paths": paths}}],
            errorThreshold=0,
            **spec,
        ),
    )

    ended = longshore.run()

    assert ended.code == code, ended.stderr
    seen = {path: path.read_bytes() for path in ended.run_dir.rglob("*") if path.is_file()}
    assert [str(path) for path, content in seen.items() if SECRET.encode() in content] == []
    assert SECRET not in ended.stderr + ended.stdout
    if code:
        named = ended.succeeded["message"] + str(ended.first_error)
        assert re.search(r"b\.csv\?X-Amz-Date=1&X-Amz-Signature=\*\*\*", named)
