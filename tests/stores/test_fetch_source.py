"""A source comes from a folder or a .zip of any store; what would leave its folder, or is no source, is refused."""

import io
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from uuid import uuid4

import pytest
from archives import zipped

from longshore_agent.fetch_source import SourceError, fetch_source
from longshore_storage.store import open_store


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return open_store(str(tmp_path / "store") if request.param == "local" else f"memory://{uuid4()}")


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "source")


def found(folder):
    names = (os.path.join(parent, name) for parent, _, files in os.walk(folder) for name in files)
    return {os.path.relpath(path, folder): Path(path).read_text() for path in names}


def test_a_folder_comes_with_all_below_it(store, folder):
    store.put("code/script.py", b"1")
    store.put("code/package/module.py", b"2")
    store.put("code2/other.py", b"3")
    for _ in range(2):  # a container that is started again
        fetch_source(store.child("code"), folder)
        assert found(folder) == {"script.py": "1", "package/module.py": "2"}


def test_a_zip_is_unpacked_as_it_is(store, folder):
    store.put("code.zip", zipped(**{"script.py": "1", "package/": "", "package/module.py": "2"}))
    for _ in range(2):
        fetch_source(store.child("code.zip"), folder)
        assert found(folder) == {"script.py": "1", "package/module.py": "2"}


@pytest.mark.parametrize("name", ["../out.py", "/etc/out.py", "a/../../out.py", "a\\..\\out.py", "a//b.py"])
def test_a_zip_with_a_name_that_leads_out_is_refused_whole(store, folder, name):
    store.put("code.zip", zipped(**{"script.py": "1", name: "2"}))
    with pytest.raises(SourceError, match="is not a valid file name in a folder"):
        fetch_source(store.child("code.zip"), folder)
    assert found(folder) == {}


def test_a_zip_with_a_link_is_refused(store, folder):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    store.put("code.zip", packed.getvalue())
    with pytest.raises(SourceError, match="'link' in it is a symbolic link"):
        fetch_source(store.child("code.zip"), folder)


def test_an_object_whose_name_leads_out_is_refused(folder):
    uri = f"memory://{uuid4()}"
    store = open_store(f"{uri}/code")
    store._fs.store[f"{store._root}/a/..\\..\\out.py"] = store._fs.open(f"{store._root}/x", "wb")
    with pytest.raises(SourceError, match="is not a valid file name in a folder"):
        fetch_source(store.uri, folder)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("absent", "does not exist"),
        ("absent.zip", "cannot be fetched: it does not exist"),
        ("bad.zip", "cannot be fetched: BadZipFile"),
        ("script.py", "is a file; it must be a folder or a .zip file"),
    ],
)
def test_what_is_no_source_is_reported_in_one_sentence(store, folder, name, sentence):
    store.put("script.py", b"1")
    store.put("bad.zip", b"not a zip")
    with pytest.raises(SourceError) as caught:
        fetch_source(store.child(name), folder)
    text = str(caught.value)
    assert text.startswith(f'The source "{store.child(name)}" ')
    assert sentence in text
    assert text.endswith(".")
    assert "\n" not in text


def test_over_http_there_are_archives_only(folder):
    with pytest.raises(SourceError, match=r'"https://host/code" is not a \.zip file'):
        fetch_source("https://host/code", folder)


@pytest.mark.usefixtures("s3")
def test_the_command_ends_with_1_and_the_sentence_or_with_0_and_the_source(tmp_path):
    store = open_store(f"s3://bucket/{uuid4()}")
    store.put("code/script.py", b"1")

    def command(name):
        arguments = [sys.executable, "-m", "longshore_agent.fetch_source", store.child(name), str(tmp_path / "out")]
        return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)

    ended = command("absent")
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith(f'longshore-agent: The source "{store.child("absent")}" cannot be fetched:')
    assert command("code").returncode == 0
    assert found(tmp_path / "out") == {"script.py": "1"}


def bomb(**members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, size in members.items():
            with archive.open(name, "w") as member:
                for start in range(0, size, 1 << 20):
                    member.write(bytes(min(1 << 20, size - start)))
    return packed.getvalue()


@pytest.mark.parametrize(
    "case",
    [
        ({"_SMALL": 1 << 20}, bomb(zeros=8 << 20), "its 8 KiB unpack to 8 MiB, more than source code does"),
        (
            {"_SMALL": 1 << 20},
            bomb(**{f"{n}.py": 1 << 20 for n in range(9)}),
            "unpack to 9 MiB, more than source",
        ),
        ({"_MOST_BYTES": 1 << 20}, bomb(zeros=(1 << 20) + 1), "it unpacks to 1 MiB; the limit is 1 MiB"),
        ({"_MOST_FILES": 3}, bomb(**dict.fromkeys("abcd", 1)), "it has 4 files; the limit is 3"),
        ({"_MOST_FILES": 3}, zipped(**dict.fromkeys(("a/", "b/", "c/", "d/"), "")), "it has 4 files"),
    ],
    ids=["one large file", "many", "too large", "too many files", "too many folders"],
)
def test_a_zip_that_would_fill_the_disk_is_refused_before_anything_is_unpacked(store, folder, monkeypatch, case):
    limits, archive, sentence = case
    for name, value in limits.items():
        monkeypatch.setattr(f"longshore_agent.fetch_source.{name}", value)
    store.put("code.zip", archive)
    with pytest.raises(SourceError, match=sentence):
        fetch_source(store.child("code.zip"), folder)
    assert found(folder) == {}


def test_a_zip_that_states_less_than_it_holds_unpacks_to_no_more(store, folder):
    """What a member's header says is what is looked at, so it must be what counts."""
    packed = bytearray(bomb(zeros=4 << 20))
    entry = packed.index(b"PK\x01\x02")
    packed[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    store.put("code.zip", bytes(packed))
    with pytest.raises(SourceError, match="BadZipFile"):
        fetch_source(store.child("code.zip"), folder)
    assert sum(len(text) for text in found(folder).values()) <= 10
