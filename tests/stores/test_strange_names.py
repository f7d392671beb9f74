"""Objects whose names no folder of a machine has are listed and read, or refused in a sentence: none is left out."""

import unicodedata
from uuid import uuid4

import boto3
import pytest

from longshore_storage.errors import ListingError
from longshore_storage.files import open_file
from longshore_storage.listing import list_files
from longshore_storage.systems import file_system

SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "abfs"}
NAMES = {
    "an empty folder name": "a//b.txt",
    "a folder below an empty one": "a//sub/b.txt",
    "two empty folder names": "a///b.txt",
    "an empty name at the top": "/b.txt",
    "a percent sign": "a%2Fb.txt",
    "a question mark": "q?x=1.txt",
    "a number sign": "h#f.txt",
    "brackets": "g[1].txt",
    "a space and a plus": "s p+.txt",
    "a file beside a folder of its name": "a.txt/b.txt",
    "two colons": "x::y.txt",
    "composed letters": unicodedata.normalize("NFC", "é.txt"),
    "letters and accents": unicodedata.normalize("NFD", "é.txt"),
}


@pytest.fixture(params=["s3", "gcs", "azure"])
def folder(request):
    request.getfixturevalue(request.param)
    return f"{SCHEMES[request.param]}://bucket/{uuid4()}"


def write(folder, *names):
    fs, inside = file_system(folder)
    for name in names:
        fs.pipe_file(f"{inside}/{name}", name.encode())


def read(url):
    with open_file(url) as file:
        return file.read().decode()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_an_object_of_any_name_is_listed_and_read(folder, name):
    write(folder, name, "a-1.txt", "a.txt", "z.txt")
    names = sorted({name, "a-1.txt", "a.txt", "z.txt"})
    assert list(list_files(f"{folder}/")) == [f"{folder}/{each}" for each in names]
    assert read(f"{folder}/{name}") == name
    assert list(list_files(f"{folder}/**/*.txt")) == [f"{folder}/{each}" for each in names]


@pytest.mark.parametrize("name", ["./b.txt", "../b.txt", "a/../b.txt", "..", "a/./../b.txt"])
@pytest.mark.usefixtures("s3")
def test_dots_are_names_like_others_in_s3(name):
    folder = f"s3://bucket/{uuid4()}"
    write(folder, name, "a.txt")
    assert list(list_files(folder)) == sorted([f"{folder}/{name}", f"{folder}/a.txt"])
    assert read(f"{folder}/{name}") == name


def test_an_object_with_content_that_no_library_can_read_ends_the_listing(s3):
    folder = str(uuid4())
    client = boto3.client("s3", endpoint_url=s3.root, aws_access_key_id="the-key", aws_secret_access_key="the-secret")
    for name, content in (("a/", b""), ("a/b.txt", b"b"), ("m/", b"rows")):
        client.put_object(Bucket="bucket", Key=f"{folder}/{name}", Body=content)
    assert list(list_files(f"s3://bucket/{folder}/a")) == [f"s3://bucket/{folder}/a/b.txt"]
    told = f'"s3://bucket/{folder}/m/" is an object of 4 bytes whose name ends with "/"'
    with pytest.raises(ListingError, match=told):
        list(list_files(f"s3://bucket/{folder}"))
