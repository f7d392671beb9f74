"""What inputs in object stores hold, as their listings tell it: no file is asked about by itself."""

from uuid import uuid4

import pytest

from longshore_storage.contents import DIGESTS, contents_of
from longshore_storage.systems import file_system

SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "abfs"}


@pytest.fixture(params=SCHEMES)
def folder(request):
    request.getfixturevalue(request.param)
    url = f"{SCHEMES[request.param]}://bucket/{uuid4()}"
    write(url, **{"a.csv": "1", "deep/b.csv": "2"})
    return url


def write(url, **files):
    fs, inside = file_system(url)
    for name, text in files.items():
        fs.pipe_file(f"{inside}/{name}", text.encode())


def test_a_file_that_is_written_again_is_named_though_it_has_the_same_size(folder):
    before = contents_of([folder])
    assert (before.count, sorted(before.files), before.unknown) == (2, ["a.csv", "deep/b.csv"], "")
    assert contents_of([folder]) == before
    write(folder, **{"a.csv": "9"})
    after = contents_of([folder])
    assert after.digest != before.digest
    assert [name for name in after.files if after.files[name] != before.files[name]] == ["a.csv"]


def test_the_same_content_has_the_same_digest_whenever_it_was_written(folder):
    before = contents_of([folder], by=DIGESTS)
    write(folder, **{"a.csv": "1"})
    assert contents_of([folder], by=DIGESTS) == before
    write(folder, **{"a.csv": "9"})
    assert contents_of([folder], by=DIGESTS).digest != before.digest


def test_a_listing_states_the_stamps_of_its_files(folder, monkeypatch):
    asked = []
    kind = type(file_system(folder)[0])
    info = kind.info
    monkeypatch.setattr(kind, "info", lambda self, path, **more: asked.append(path) or info(self, path, **more))
    assert contents_of([folder]).count == 2
    assert [path for path in asked if path.endswith(".csv")] == []


def test_an_address_that_is_signed_again_has_the_same_contents():
    folder = f"memory://{uuid4()}"
    places = [f"{folder}/a?id=1&X-Amz-Date={number}&X-Amz-Signature={number}" for number in (1, 2)]
    for place in places:
        system, path = file_system(place)
        system.pipe_file(path, b"same")
    first, second = (contents_of([place], by=DIGESTS) for place in places)
    assert (first.digest, first.count, first.unknown) == (second.digest, 1, "")
