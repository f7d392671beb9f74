"""An input is one path: a file, a folder in place, or a folder with the files that its URIs mean."""

import os
from pathlib import Path
from uuid import uuid4

import pytest

from longshore_agent.script_inputs import stage_input
from longshore_protocol.job import DOWNLOAD, MOUNT, ScriptInput
from longshore_storage.errors import ListingError
from longshore_storage.store import open_store

FILES = ("data/a/1.csv", "data/a/sub/2.csv", "data/b/1.csv", "data/b/x.txt", "other/1.csv")


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    store = open_store(str(tmp_path / "store") if request.param == "local" else f"memory://{uuid4()}")
    for name in FILES:
        store.put(name, name.encode())
    return store


def brought(store, tmp_path, *paths, mode=DOWNLOAD):
    """Bring an input, and return what its path is: the text of a file, or a dict of texts."""
    uris = tuple(store.child(path) for path in paths)
    path = Path(stage_input(ScriptInput("x", uris, mode), str(tmp_path / "inputs" / "x")))
    assert path.is_relative_to(tmp_path / "inputs" / "x")
    if path.is_file():
        return path.name, path.read_text()
    return {str(each.relative_to(path)): each.read_text() for each in path.rglob("*") if each.is_file()}


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["data"], {"a/1.csv": 0, "a/sub/2.csv": 1, "b/1.csv": 2, "b/x.txt": 3}),
        (["data/a/"], {"1.csv": 0, "sub/2.csv": 1}),
        (["data/*/1.csv"], {"a/1.csv": 0, "b/1.csv": 2}),
        (["data/a/**"], {"1.csv": 0, "sub/2.csv": 1}),
        (["data/b/*.txt"], {"x.txt": 3}),
        (["data/a", "data/b"], {"a/1.csv": 0, "a/sub/2.csv": 1, "b/1.csv": 2, "b/x.txt": 3}),
        (["data/a/1.csv", "data/b/x.txt"], {"a/1.csv": 0, "b/x.txt": 3}),
        (["data/b/1.csv", "data/b/x.txt"], {"1.csv": 2, "x.txt": 3}),
        (["data/a/*.csv", "other"], {"data/a/1.csv": 0, "other/1.csv": 4}),
        (["data/b", "data/b/x.txt"], {"1.csv": 2, "x.txt": 3}),
    ],
)
def test_names_are_those_below_what_the_uris_have_in_common(store, tmp_path, paths, names):
    assert brought(store, tmp_path, *paths) == {name: FILES[number] for name, number in names.items()}


@pytest.mark.parametrize("mode", [MOUNT, DOWNLOAD])
def test_one_file_is_that_file_with_its_name(store, tmp_path, mode):
    given = ScriptInput("x", (store.child("data/b/x.txt"),), mode)
    path = Path(stage_input(given, str(tmp_path / "x")))
    assert (path.name, path.read_text()) == ("x.txt", "data/b/x.txt")


def test_a_mounted_path_of_this_machine_is_where_it_is(tmp_path):
    (tmp_path / "[1]").mkdir()
    (tmp_path / "[1]" / "a.txt").write_text("")
    for path in (tmp_path / "[1]", tmp_path / "[1]" / "a.txt"):
        for uri in (str(path), path.as_uri()):
            assert stage_input(ScriptInput("x", (uri,)), str(tmp_path / "x")) == str(path)
    assert not (tmp_path / "x").exists()


def test_a_download_is_a_copy_and_a_mount_of_several_are_links(tmp_path):
    (tmp_path / "a.txt").write_text("1")
    copy = stage_input(ScriptInput("x", (str(tmp_path / "a.txt"),), DOWNLOAD), str(tmp_path / "x"))
    Path(copy).write_text("2")
    assert (tmp_path / "a.txt").read_text() == "1"
    folder = stage_input(ScriptInput("y", (str(tmp_path / "*.txt"),), MOUNT), str(tmp_path / "y"))
    assert os.readlink(f"{folder}/a.txt") == str(tmp_path / "a.txt")


def test_stores_of_different_kinds_make_one_folder(store, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.txt").write_text("here")
    uris = (str(tmp_path / "here"), store.child("other"))
    folder = Path(stage_input(ScriptInput("x", uris, DOWNLOAD), str(tmp_path / "x")))
    assert sorted(each.read_text() for each in folder.rglob("*") if each.is_file()) == ["here", "other/1.csv"]


def test_two_files_of_one_name_are_refused(tmp_path):
    name = str(uuid4())
    (tmp_path / name).mkdir()
    (tmp_path / name / "a.txt").write_text("")
    open_store(f"memory:/{tmp_path}/{name}").put("a.txt", b"")
    uris = (str(tmp_path / name), f"memory:/{tmp_path}/{name}")
    with pytest.raises(ValueError, match=r'would have the same name "a\.txt"'):
        stage_input(ScriptInput("x", uris, DOWNLOAD), str(tmp_path / "x"))


@pytest.mark.parametrize(("path", "error"), [("absent", ListingError), ("data/*.png", FileNotFoundError)])
def test_what_is_not_there_is_reported(store, tmp_path, path, error):
    with pytest.raises(error, match=path.replace("*", r"\*")):
        brought(store, tmp_path, path)
