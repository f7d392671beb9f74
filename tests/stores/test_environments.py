"""Environments in stores: published whole or not at all, unpacked as they were, and never outside of their folder."""

import io
import json
import os
from pathlib import Path
from uuid import uuid4

import pyarrow
import pytest

from longshore_agent import environment
from longshore_agent.environment import (
    AbsentEnvironmentError,
    find_environment,
    publish_environment,
    unpack_environment,
)
from longshore_agent.environment_archive import ArchiveError, pack, unpack
from longshore_protocol.built_environment import MANIFEST, BuiltEnvironment
from longshore_storage.store import open_store


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return open_store(str(tmp_path / "store") if request.param == "local" else f"memory://{uuid4()}")


@pytest.fixture
def venv(tmp_path):
    """A folder like a virtual environment: with a program, links and an empty folder."""
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "include").mkdir()
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (folder / "bin" / "tool").write_text("#!/longshore/environment/venv/bin/python\n")
    (folder / "bin" / "tool").chmod(0o755)
    (folder / "bin" / "python").symlink_to("/usr/bin/python3")
    (folder / "lib64").symlink_to("lib")
    package = folder / "lib" / "python3.11" / "site-packages" / "package"
    package.mkdir(parents=True)
    (package / "data.bin").write_bytes(os.urandom(3 << 20))
    (package / ("long-" * 30)).write_text("a name that needs an extended header")
    return folder


def described(folder):
    """Return what is in a folder: content, mode and links."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name, mode = str(path.relative_to(folder)), path.lstat().st_mode & 0o100
        found[name] = os.readlink(path) if path.is_symlink() else mode if path.is_dir() else (mode, path.read_bytes())
    return found


def test_what_is_unpacked_is_what_was_published(store, venv, tmp_path):
    published = publish_environment(str(venv), store.child("e"))
    assert (published.is_new, find_environment(store.child("e"))) == (True, published)
    for _ in range(2):  # a container that is started again
        unpack_environment(store.child("e"), str(tmp_path / "out"))
        assert described(tmp_path / "out") == described(venv)


def test_equal_folders_give_equal_archives(venv, tmp_path):
    pack(str(venv), str(tmp_path / "first"))
    for path in venv.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    (venv / "pyvenv.cfg").chmod(0o600)
    pack(str(venv), str(tmp_path / "second"))
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_a_second_builder_publishes_nothing(store, venv):
    first = publish_environment(str(venv), store.child("e"))
    (venv / "more").write_text("another version")
    second = publish_environment(str(venv), store.child("e"))
    assert (second.is_new, second.digest) == (False, first.digest)
    assert [each for each in store.names("e") if each.endswith(".zst")] == [f"e/{first.archive}"]


def test_of_two_builders_at_once_the_first_counts(store, venv, monkeypatch):
    (venv / "other").write_text("other")
    found = []

    def find(uri):
        if not found:  # the other builder publishes after this one has looked
            found.append(None)
            (venv / "other").unlink()
            found.append(publish_environment(str(venv), uri))
            (venv / "other").write_text("other")

    monkeypatch.setattr(environment, "find_environment", find)
    published = publish_environment(str(venv), store.child("e"))
    assert (published.is_new, published.digest) == (False, found[1].digest)
    assert [each for each in store.names("e") if each.endswith(".zst")] == [f"e/{published.archive}"]


@pytest.mark.parametrize("moment", ["pack", "mark", "writer", "create"])
def test_a_builder_that_is_killed_leaves_nothing_that_is_unpacked(store, venv, tmp_path, moment, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(environment if moment == "pack" else type(store), moment, killed)
        with pytest.raises(Killed):
            publish_environment(str(venv), store.child("e"))
    with pytest.raises(AbsentEnvironmentError, match="does not exist; it is built again"):
        unpack_environment(store.child("e"), str(tmp_path / "out"))
    assert find_environment(store.child("e")) is None
    assert publish_environment(str(venv), store.child("e")).is_new
    unpack_environment(store.child("e"), str(tmp_path / "out"))
    assert described(tmp_path / "out") == described(venv)


@pytest.mark.parametrize("damage", ["absent", "cut"])
def test_an_archive_that_is_not_whole_is_built_again(store, venv, tmp_path, damage):
    published = publish_environment(str(venv), store.child("e"))
    name = f"e/{published.archive}"
    whole = store.get(name)
    store.delete(name)
    if damage == "cut":
        store.put(name, whole[:1000])
    with pytest.raises(AbsentEnvironmentError if damage == "absent" else Exception):
        unpack_environment(store.child("e"), str(tmp_path / "out"))
    assert find_environment(store.child("e")) is None
    assert publish_environment(str(venv), store.child("e")).is_new


def test_an_archive_with_another_digest_is_refused(store, venv, tmp_path):
    published = publish_environment(str(venv), store.child("e"))
    store.put("e/" + MANIFEST, BuiltEnvironment(published.archive, "0" * 64, published.size).to_json().encode())
    with pytest.raises(ArchiveError, match="digest differs"):
        unpack_environment(store.child("e"), str(tmp_path / "out"))


def test_an_empty_folder_is_not_published(store, tmp_path):
    with pytest.raises(ArchiveError, match="it is empty"):
        publish_environment(str(tmp_path), store.child("e"))
    assert store.names("e") == []


def archive(entries, content=b"", *, length=None):
    """Return an archive with these entries in its index."""
    index = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    packed = (len(index) if length is None else length).to_bytes(8, "big") + index + content
    return io.BytesIO(pyarrow.compress(packed, "zstd", asbytes=True))


@pytest.mark.parametrize(
    "entries",
    [
        [["../out", 0o644, 1, ""]],
        [["/out", 0o644, 1, ""]],
        [["a/../../out", 0o644, 1, ""]],
        [["", 0o644, 1, ""]],
        [["../out/", 0, 0, ""]],
        [["../out", 0, 0, "target"]],
        [["link", 0, 0, ".."], ["link/out", 0o644, 1, ""]],
        [["link", 0, 0, "/tmp"], ["link/", 0, 0, ""], ["link/out", 0o644, 1, ""]],
        [["twice", 0o644, 0, ""], ["twice", 0o644, 1, ""]],
        [["without", 0o644, 1]],
        [[1, 2, 3, 4]],
        ["text"],
        [["longer", 0o644, 2, ""]],
        {"name": 1},
        b"no JSON",
    ],
    ids=str,
)
def test_nothing_is_written_outside_of_the_folder(tmp_path, entries):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises((ArchiveError, ValueError, OSError)):
        unpack(archive(entries, b"1"), str(folder))
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("length", [1 << 40, 1000])
def test_an_index_that_is_not_there_is_not_read(tmp_path, length):
    with pytest.raises(ArchiveError, match="it is damaged"):
        unpack(archive([], length=length), str(tmp_path))


def test_a_file_gets_no_mode_that_changes_its_user(tmp_path):
    unpack(archive([["tool", 0o6777, 1, ""]], b"1"), str(tmp_path))
    assert (tmp_path / "tool").stat().st_mode & 0o7022 == 0


def test_a_pipe_is_not_packed(venv, tmp_path):
    os.mkfifo(venv / "pipe")
    with pytest.raises(ArchiveError, match="'pipe' is no file, folder or symbolic link"):
        pack(str(venv), str(tmp_path / "archive"))


@pytest.mark.parametrize(
    ("command", "ends"),
    [
        ("unpack", (3, 'The environment "{uri}" does not exist; it is built again.')),
        ("publish", (1, 'The environment "{uri}" cannot be used: it is empty')),
        ("find", (0, "")),
    ],
)
def test_a_command_explains_its_failure(tmp_path, monkeypatch, capsys, command, ends):
    uri, (code, text) = str(tmp_path / "store"), ends
    monkeypatch.setattr("sys.argv", ["environment", command, uri, str(tmp_path / "folder")])
    monkeypatch.setattr(environment, "leave_in_log", lambda _: None)
    (tmp_path / "folder").mkdir()
    assert environment.main() == code
    assert text.format(uri=uri) in capsys.readouterr().err
    assert list((tmp_path / "folder").iterdir()) == []


def test_what_was_found_is_left_for_the_container_that_installs(store, venv, tmp_path, monkeypatch):
    published = publish_environment(str(venv), store.child("e"))
    monkeypatch.setattr("sys.argv", ["environment", "find", store.child("e"), str(tmp_path / "found")])
    assert environment.main() == 0
    assert json.loads((tmp_path / "found" / MANIFEST).read_text())["digest"] == published.digest
