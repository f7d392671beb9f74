"""Objects are absent or whole, in a local folder as in an object store."""

import os
import stat
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from longshore_storage import retrying
from longshore_storage.files import open_file
from longshore_storage.listing import list_files
from longshore_storage.objects import ObjectStore
from longshore_storage.store import LocalStore, Store, local_path, open_store

SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "abfs"}


@pytest.fixture(params=["local", "memory", "s3", "gcs", "azure"])
def store(request, tmp_path) -> Store:
    if request.param == "local":
        return open_store(str(tmp_path / "run"))
    if request.param == "memory":
        return open_store(f"memory://{uuid4()}/run")
    request.getfixturevalue(request.param)
    return remote(request.param)


@pytest.fixture(params=["s3", "gcs", "azure"])
def server(request):
    """A store that is asked over the network, as (its name, the server)."""
    return request.param, request.getfixturevalue(request.param)


def remote(name) -> Store:
    return open_store(f"{SCHEMES[name]}://bucket/{uuid4()}/run")


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


def test_of_many_creators_at_once_exactly_one_wins(store):
    ready, won = threading.Barrier(8), []

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


def test_a_store_that_creates_names_once_is_taken_again_and_again(store):
    store.prove()
    store.prove()


@pytest.mark.parametrize("name", ["s3", "gcs"])  # whose protocols others speak, who may leave that out
def test_a_store_that_overwrites_what_should_be_created_is_refused(request, name, monkeypatch):
    running = request.getfixturevalue(name)
    monkeypatch.setattr(running, "ignores_conditions", True)
    store = remote(name)
    with pytest.raises(OSError, match=f"^{store.uri} cannot hold a run: this store overwrites"):
        store.prove()


def test_a_store_that_knows_no_exclusive_names_is_refused():
    with pytest.raises(OSError, match=r"^http://host/run cannot hold a run: http:// stores cannot create objects"):
        open_store("http://host/run").prove()


def test_what_another_client_writes_shows_at_once(server):
    name, _ = server
    reader = remote(name)
    writer = ObjectStore(reader.uri, asynchronous=False, skip_instance_cache=True)
    for number in range(3):
        assert reader.names("epochs") == [f"epochs/{each}" for each in range(number)]
        assert not reader.exists(f"epochs/{number}")
        assert writer.create(f"epochs/{number}", b"x")
        assert reader.exists(f"epochs/{number}")


@pytest.mark.parametrize(
    "root", ["az://bucket", "abfs://bucket", "abfss://bucket@devstoreaccount1.dfs.core.windows.net"]
)
@pytest.mark.usefixtures("azure")
def test_azures_ways_to_name_a_container_are_one_place(root):
    folder = str(uuid4())
    remote = open_store(f"abfs://bucket/{folder}")
    store = open_store(f"{root}/{folder}")
    store.prove()
    store.put("a/1", b"one")
    assert remote.get("a/1") == b"one"
    assert list(list_files(f"{root}/{folder}/a/")) == [f"{root}/{folder}/a/1"]
    with open_file(f"{root}/{folder}/a/1") as file:
        assert file.read() == b"one"


def test_many_objects_are_read_in_the_order_of_their_names(store):
    names = [f"ledger/{number}" for number in range(70)]
    for name in names:
        store.put(name, name.encode())
    assert list(store.get_each(names)) == [name.encode() for name in names]
    with pytest.raises(FileNotFoundError):
        list(store.get_each([*names, "absent"]))


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # Google's library does
def test_a_large_object_is_read_back_and_forth(store):
    content = bytes(range(256)) * 40_000
    with store.writer("large") as file:
        for start in range(0, len(content), 1_000_000):
            file.write(content[start : start + 1_000_000])
        assert file.tell() == len(content)
    with store.open("large") as file:
        for start, size in ((0, 10), (9_000_000, 5_000_000), (4_194_300, 20), (4_194_290, 20), (5, 1)):
            file.seek(start)
            assert file.read(size) == content[start : start + size]
        file.seek(-3, os.SEEK_END)
        assert file.read() == content[-3:]


def test_a_large_s3_object_whose_writer_fails_is_not_there_in_part_either(s3):
    store = remote("s3")
    with pytest.raises(Interrupted), store.writer("large") as file:  # noqa: PT012  (the block is what fails)
        file.write(b"x" * 60_000_000)
        raise Interrupted
    assert store.names() == []
    assert s3.puts[f"/{store.uri.removeprefix('s3://')}/large"] > 0


def test_what_a_stores_library_raises_is_an_os_error_that_names_the_object(monkeypatch):
    monkeypatch.setattr(retrying, "pause", lambda *_: 0.0)

    class Odd(Exception):
        pass

    class Broken:
        protocol = "odd"

        def __getattr__(self, name):
            def fail(*_, **__):
                raise Odd("no\n luck")

            return fail

    store = ObjectStore("memory://x")
    store._fs = Broken()
    for call in (
        lambda: store.get("a"),
        lambda: store.put("a", b""),
        lambda: store.create("a", b""),
        lambda: store.exists("a"),
        store.names,
        lambda: store.open("a"),
        lambda: store.delete("a"),
    ):
        with pytest.raises(OSError, match=r"^memory://x/.*: Odd: no luck$"):
            call()
