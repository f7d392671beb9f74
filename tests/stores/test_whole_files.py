"""What comes of a file is the file, or an error: not a part of it, not two versions of it, nothing damaged."""

import base64
import hashlib
import http.server
from uuid import uuid4

import pytest
from moto.backends import get_backend
from served import serving

from longshore_storage import retrying
from longshore_storage.files import CutOffError, fetch_file, open_file
from longshore_storage.store import open_store

LARGE = b"0123456789abcdef" * 100_000


class Handler(http.server.BaseHTTPRequestHandler):
    """Says of its one file what `said` says, and sends what `sent` says; each answer to HEAD has the next ETag."""

    def do_HEAD(self):
        self.server.asked += 1
        self._head(len(self.server.said), {"ETag": self.server.etag(self.server.asked), **self.server.headers})

    def do_GET(self):
        content = self.server.sent
        if self.headers["Range"]:
            start, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            content = content[start : end + 1]
        self._head(len(content), {})
        self.wfile.write(content)

    def _head(self, size, headers):
        self.send_response(200)
        for name, value in {"Content-Length": str(size), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def served():
    with serving(Handler) as made:
        made.asked, made.said, made.sent, made.headers, made.etag = 0, b"whole", b"whole", {}, lambda _: '"1"'
        made.url = f"{made.url}/{uuid4()}"
        yield made


@pytest.fixture
def fetch(served, tmp_path):
    def fetched(url=None):
        target = tmp_path / "copy"
        fetch_file(url or served.url, str(target), check=lambda: None)
        return target.read_bytes()

    return fetched


def test_a_whole_file_comes(served, fetch):
    assert fetch() == b"whole"
    served.said = served.sent = LARGE
    assert fetch() == LARGE


def test_a_part_does_not_pass_for_the_file(served, fetch):
    served.sent = b"who"
    with pytest.raises(CutOffError, match=r"^3 bytes were downloaded, and it has 5$"):
        fetch()


def test_a_file_that_changed_meanwhile_does_not_pass(served, fetch):
    served.said = served.sent = LARGE
    served.etag = lambda asked: f'"{asked}"'
    with pytest.raises(CutOffError, match=r"^it changed while it was copied$"):
        fetch()


def test_damage_does_not_pass(served, fetch):
    served.headers = {"Content-MD5": base64.b64encode(hashlib.md5(b"whole").digest()).decode()}
    assert fetch() == b"whole"
    served.sent = b"whale"
    for _ in range(2):
        with pytest.raises(CutOffError, match=r"^the MD5 digest of the downloaded bytes differs from the store's$"):
            fetch()


def test_what_is_not_whole_may_come_whole_the_next_time():
    assert retrying.is_retryable(CutOffError("3 bytes were downloaded, and it has 5"))


def test_a_range_that_is_cut_off_is_not_the_end(served, monkeypatch):
    monkeypatch.setattr(retrying.time, "sleep", lambda _: None)
    served.said = LARGE
    served.sent = LARGE[:1000]
    with open_file(served.url, read_ahead=False) as file, pytest.raises(OSError, match="but received"):
        file.read()


@pytest.mark.usefixtures("s3")
def test_an_etag_of_s3_that_only_looks_like_a_digest_costs_one_more_copy(fetch):
    name = uuid4().hex
    open_store("s3://bucket").put(name, b"encrypted")
    assert fetch(f"s3://bucket/{name}") == b"encrypted"
    get_backend("s3")["123456789012"]["aws"].get_object("bucket", name)._etag = "0" * 32
    with pytest.raises(CutOffError):
        fetch(f"s3://bucket/{name}")
    assert fetch(f"s3://bucket/{name}") == b"encrypted"


@pytest.mark.parametrize(("fixture", "scheme"), [("gcs", "gs"), ("azure", "abfs"), ("s3", "s3")])
def test_stores_state_digests(request, fetch, fixture, scheme, monkeypatch):
    request.getfixturevalue(fixture)
    name = uuid4().hex
    open_store(f"{scheme}://bucket").put(name, b"content")
    found = []
    original = hashlib.md5
    monkeypatch.setattr(hashlib, "md5", lambda *given, **named: found.append(1) or original(*given, **named))
    assert fetch(f"{scheme}://bucket/{name}") == b"content"
    assert found
