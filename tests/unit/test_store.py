"""Objects are absent or whole, in a local folder as in an object store."""

import os
import stat
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from longshore_storage.objects import ObjectStore
from longshore_storage.store import LocalStore, Store, local_path, open_store


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path) -> Store:
    return open_store(str(tmp_path / "run")) if request.param == "local" else open_store(f"memory://{uuid4()}/run")


class Interrupted(Exception):
    pass


def test_a_path_or_a_file_url_is_local_and_another_url_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_path("in/x") == str(tmp_path / "in/x")
    assert local_path("file:///data/a%20b") == "/data/a b"
    assert local_path("file:/data/a") == "/data/a"
    assert local_path("file://localhost/data/img?.png#2") == "/data/img?.png#2"
    assert local_path("memory://data/a") is None
    assert isinstance(open_store("memory://data"), ObjectStore)
    assert isinstance(open_store("file:///data"), LocalStore)


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match="nostore"):
        open_store("nostore://data")


def test_what_was_put_is_read_listed_and_replaced(store):
    store.put("b/2", b"two")
    store.put("a", b"one")
    store.put("a", b"once more")
    assert store.get("a") == b"once more"
    assert store.exists("b/2")
    assert not store.exists("b/3")
    assert store.names() == ["a", "b/2"]
    assert store.names("b") == ["b/2"]
    assert store.names("absent") == []
    assert store.child("b/2") == store.uri + "/b/2"


def test_an_absent_object_cannot_be_read(store):
    with pytest.raises(FileNotFoundError):
        store.get("absent")
    with pytest.raises(FileNotFoundError):
        store.open("absent")


def test_an_object_is_created_once_and_then_left_alone(store):
    assert store.create("epochs/1", b"first")
    assert not store.create("epochs/1", b"second")
    assert store.get("epochs/1") == b"first"
    assert store.names() == ["epochs/1"]


def test_of_many_creators_at_once_exactly_one_wins(tmp_path):
    store, ready, won = LocalStore(str(tmp_path)), threading.Barrier(8), []

    def create(mark: bytes) -> None:
        ready.wait()
        if store.create("epoch", mark):
            won.append(mark)

    threads = [threading.Thread(target=create, args=(b"%d" % number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.get("epoch")] == won


def test_objects_are_read_by_range(store):
    store.put("rows", b"0123456789")
    with store.open("rows") as file:
        file.seek(4)
        assert file.read(3) == b"456"


def test_a_large_object_appears_when_its_writer_is_done(store):
    with store.writer("out/rows") as file:
        file.write(b"first ")
        assert not store.exists("out/rows")
        assert store.names() == []
        file.write(b"second")
    assert store.get("out/rows") == b"first second"
    assert store.names() == ["out/rows"]


def test_a_writer_that_fails_leaves_what_was_there(store):
    store.put("rows", b"old")
    for name in ("rows", "fresh"):
        with pytest.raises(Interrupted), store.writer(name) as file:  # noqa: PT012  (the block is what fails)
            file.write(b"half")
            raise Interrupted
    assert store.get("rows") == b"old"
    assert store.names() == ["rows"]


def test_deleting_takes_objects_and_folders_and_forgives_absence(store):
    for name in ("a", "b/1", "b/c/2"):
        store.put(name, b"x")
    store.delete("b")
    assert store.names() == ["a"]
    store.delete("a")
    store.delete("a")
    assert store.names() == []


def test_what_a_killed_writer_left_is_never_listed(tmp_path):
    store = LocalStore(str(tmp_path))
    store.put("a", b"x")
    (tmp_path / ".unfinished-0123").write_bytes(b"half")
    assert store.names() == ["a"]


def test_a_failed_write_leaves_nothing(tmp_path):
    store = LocalStore(str(tmp_path))
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        store.put("folder", b"x")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_an_unreadable_folder_does_not_pass_for_an_empty_one(tmp_path, monkeypatch):
    store = LocalStore(str(tmp_path))
    store.put("ledger/1", b"x")

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        store.names("ledger")


def test_local_objects_have_the_rights_of_ordinary_files(tmp_path):
    (tmp_path / "ordinary").touch()
    LocalStore(str(tmp_path)).put("object", b"x")
    assert stat.S_IMODE((tmp_path / "object").stat().st_mode) == stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)


def test_a_local_object_and_the_new_folders_above_it_are_made_durable(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), fsync(file)))
    LocalStore(str(tmp_path)).put("state/ledger/1", b"x")
    wanted = [tmp_path, tmp_path / "state", tmp_path / "state/ledger"]
    assert {str(path) for path in wanted} <= set(synced)
    assert any(Path(path).name.startswith(".unfinished-") for path in synced)


def test_making_a_store_makes_its_folder(store, tmp_path):
    store.make()
    store.make()
    assert store.names() == []
    assert (tmp_path / "run").is_dir() == isinstance(store, LocalStore)
