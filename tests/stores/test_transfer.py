"""Copies between stores, and the stamp that tells whether a file has other content."""

import os
from uuid import uuid4

import pytest

from longshore_agent.transfer import transfer
from longshore_storage.errors import StorageError
from longshore_storage.files import file_stamp
from longshore_storage.store import open_store


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path):
    """A folder in each kind of store, with two files."""
    uri = f"{tmp_path}/source"
    if request.param == "s3":
        request.getfixturevalue("s3")
        uri = f"s3://bucket/{tmp_path.name}"
    store = open_store(uri)
    store.put("a.txt", b"first")
    store.put("below/b.txt", b"second")
    return uri


def copy(source, destination):
    return transfer(source, destination, check=lambda: None)


def test_a_folder_is_copied_with_all_below(place, tmp_path):
    assert copy(place, f"{tmp_path}/target") == 2
    target = open_store(f"{tmp_path}/target")
    assert {name: target.get(name) for name in target.names()} == {"a.txt": b"first", "below/b.txt": b"second"}
    assert copy(f"{tmp_path}/target", f"{place}-back") == 2
    assert open_store(f"{place}-back").get("below/b.txt") == b"second"


def test_a_file_becomes_the_file_of_the_other_name(place, tmp_path):
    assert copy(f"{place}/below/b.txt", f"{tmp_path}/target/c.txt") == 1
    assert (tmp_path / "target" / "c.txt").read_bytes() == b"second"


def test_what_is_not_there_cannot_be_copied(place, tmp_path):
    with pytest.raises((OSError, StorageError)):
        copy(f"{place}/nothing", f"{tmp_path}/target")


def test_a_glob_is_no_file_and_no_folder(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ValueError, match="does not support globs"):
        copy(f"{tmp_path}/*.txt", f"{tmp_path}/target")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_copy_that_is_to_end_ends_before_the_next_file(place, tmp_path):
    class EndError(Exception):
        pass

    def end():
        raise EndError

    with pytest.raises(EndError):
        transfer(place, f"{tmp_path}/target", check=end)
    assert open_store(f"{tmp_path}/target").names() == []


def test_other_content_of_the_same_length_has_another_stamp(place):
    def stamp():
        return file_stamp(f"{place}/a.txt", **({"skip_instance_cache": True} if "://" in place else {}))

    before = stamp()
    assert stamp() == before
    open_store(place).put("a.txt", b"third")
    assert stamp() != before


def test_a_link_that_a_script_made_does_not_lead_to_what_only_we_may_read(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").symlink_to("/proc/self/environ")
    with pytest.raises(PermissionError, match="is a link to a file in /proc"):
        transfer(str(tmp_path / "in"), str(tmp_path / "out"), check=lambda: None)
    assert not (tmp_path / "out" / "x").exists()


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("name", ["a//b.txt", "../b.txt", "a/./b.txt", "a/../b.txt", "/b.txt"])
def test_a_name_that_no_folder_can_have_is_refused_before_anything_is_written(name, tmp_path):
    source = f"s3://bucket/{uuid4()}"
    store = open_store(source)
    for each in (name, "a/b.txt", "b.txt"):
        store.put(each, each.encode())
    with pytest.raises(ValueError, match="is not a valid file name in a folder"):
        copy(source, f"{tmp_path}/target")
    assert not list(tmp_path.iterdir())
    assert copy(source, f"{source}-copy") == 3
    assert open_store(f"{source}-copy").get(name) == name.encode()
