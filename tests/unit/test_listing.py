"""The files that a path means, in the order of their full paths."""

import glob
import os
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from uuid import uuid4

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore_storage import folders
from longshore_storage.errors import ListingError
from longshore_storage.listing import list_files

FILES = ["a.png", "a/b.png", "a/c/d.png", "a-1/e.png", "b/.hidden/f.png", "b/.g.png", "b/h.txt", "z.png"]
PATTERNS = {
    "*.png": ["a.png", "z.png"],
    "?.png": ["a.png", "z.png"],
    "[!a]*": ["z.png"],
    "*/*.png": ["a-1/e.png", "a/b.png"],
    "**/*.png": ["a-1/e.png", "a.png", "a/b.png", "a/c/d.png", "z.png"],
    "**": ["a-1/e.png", "a.png", "a/b.png", "a/c/d.png", "b/h.txt", "z.png"],
    "a/**/*.png": ["a/b.png", "a/c/d.png"],
    "**/c/**/d.png": ["a/c/d.png"],
    "**/**/d.png": ["a/c/d.png"],
    "b/.*": ["b/.g.png"],
    "b/.*/*": ["b/.hidden/f.png"],
    "b/*": ["b/h.txt"],
    "[ab]/?.*": ["a/b.png", "b/h.txt"],
    "nothing*": [],
    "absent/*": [],
    "a.png/*": [],
}


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path) -> str:
    """Return a folder with FILES, as a local path or as a URL."""
    if request.param == "local":
        for name in FILES:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return str(tmp_path)
    url = f"memory://{uuid4()}"
    for name in FILES:
        fsspec.filesystem("memory").pipe_file(f"{url}/{name}", b"x")
    return url


def test_a_folder_gives_all_its_files_in_the_order_of_their_paths(root):
    assert list(list_files(root)) == sorted(f"{root}/{name}" for name in FILES)
    assert list(list_files(root + "/")) == list(list_files(root))


def test_a_whole_store_can_be_listed():
    name = f"{uuid4()}.png"
    fsspec.filesystem("memory").pipe_file(name, b"x")
    assert f"memory://{name}" in list(list_files("memory://"))
    assert list(list_files(f"memory://{name[:-5]}?png")) == []
    assert list(list_files(f"memory://{name[:-4]}?png")) == [f"memory://{name}"]
    assert next(list_files("/")).startswith("/")


def test_a_file_gives_itself(root):
    assert list(list_files(f"{root}/a/b.png")) == [f"{root}/a/b.png"]


@pytest.mark.parametrize(("pattern", "wanted"), PATTERNS.items(), ids=PATTERNS)
def test_a_glob_gives_what_the_shell_would(root, pattern, wanted):
    assert list(list_files(f"{root}/{pattern}")) == [f"{root}/{name}" for name in wanted]


def test_a_file_url_gives_plain_local_paths(tmp_path):
    (tmp_path / "a b.png").touch()
    wanted = [str(tmp_path / "a b.png")]
    assert list(list_files(f"file://{tmp_path}/a%20b.png")) == wanted
    assert list(list_files(f"file://{tmp_path}/a?b.png")) == wanted


def test_a_path_that_exists_is_no_glob(root):
    name = f"{root}/run[1]"
    if root.startswith("memory"):
        fsspec.filesystem("memory").pipe_file(name, b"x")
    else:
        Path(name).touch()
    assert list(list_files(name)) == [name]


def test_a_path_that_does_not_exist_is_named(root):
    with pytest.raises(ListingError) as caught:
        list(list_files(f"{root}/absent"))
    assert str(caught.value) == f'The path "{root}/absent" does not exist.'


def test_a_store_that_is_not_known_is_named():
    with pytest.raises(ListingError, match=r'"nostore://x/y" cannot be listed.*nostore'):
        list(list_files("nostore://x/y"))


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "a").touch()

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ListingError, match=f'"{tmp_path}" cannot be listed at "{tmp_path}/": Permission denied'):
        list(list_files(str(tmp_path)))


def test_links_to_files_and_folders_are_followed_and_cycles_end(tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").touch()
    (tmp_path / "in/file").symlink_to(tmp_path / "out/x")
    (tmp_path / "in/folder").symlink_to(tmp_path / "out")
    (tmp_path / "in/deep/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/itself").symlink_to(tmp_path / "in")
    (tmp_path / "out/back").symlink_to(tmp_path / "in/deep")
    (tmp_path / "in/nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "in/own").symlink_to("own")
    found = [os.path.relpath(path, tmp_path / "in") for path in list_files(str(tmp_path / "in"))]
    assert found == ["file", "folder/x", "nowhere", "own"]


def test_what_is_no_file_and_what_is_being_written_are_left_out(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in (".unfinished-1", ".hidden", "x"):
        (tmp_path / name).touch()
    assert list(list_files(str(tmp_path))) == [str(tmp_path / ".hidden"), str(tmp_path / "x")]
    assert list(list_files(f"{tmp_path}/.*")) == [str(tmp_path / ".hidden")]


@pytest.mark.parametrize("suffix", ["", "/**/*.png"])
def test_the_first_file_is_there_before_the_last_folder_is_read(root, monkeypatch, suffix):
    read = []
    place = folders.RemoteFolders if root.startswith("memory") else folders.LocalFolders
    names = place.names
    monkeypatch.setattr(place, "names", lambda self, folder: read.append(folder) or names(self, folder))
    files = list_files(root + suffix)
    assert next(files) == f"{root}/a-1/e.png"
    assert [folder[len(root) :].strip("/") for folder in read] == ["", "a-1"]


def test_markers_of_folders_are_no_files(monkeypatch):
    url = f"memory://{uuid4()}"
    fs = fsspec.filesystem("memory")
    fs.pipe_file(f"{url}/a/x", b"x")
    ls = type(fs).ls
    folder = fs._strip_protocol(f"{url}/a")
    marks = [{"name": folder, "type": "file", "size": 0}, {"name": folder + "/sub/", "type": "file", "size": 0}]
    monkeypatch.setattr(
        type(fs), "ls", lambda self, path, **kw: (marks if path == folder else []) + ls(self, path, **kw)
    )
    assert list(list_files(url)) == [f"{url}/a/x"]


names = st.text(alphabet="ab-.0", min_size=1, max_size=3).filter(lambda name: name.strip("."))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    paths=st.lists(st.lists(names, min_size=1, max_size=3).map("/".join), max_size=8),
    pattern=st.lists(st.sampled_from(["*", "a*", "?", "**", "[ab]*", ".*", "a"]), min_size=1, max_size=3).map("/".join),
)
def test_listings_agree_with_the_standard_library_and_are_sorted(tmp_path_factory, paths, pattern):
    root = tmp_path_factory.mktemp("tree")
    for path in paths:
        target = root / path
        if not any(parent.is_file() for parent in target.parents) and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
    everything = [os.path.join(parent, file) for parent, _, files in os.walk(root) for file in files]
    assert list(list_files(str(root))) == sorted(everything)
    if "*" in pattern or "?" in pattern:
        matched = glob.glob(f"{root}/{pattern}", recursive=True)
        assert list(list_files(f"{root}/{pattern}")) == sorted({path for path in matched if os.path.isfile(path)})


def test_over_http_a_folder_is_what_its_page_of_links_states(tmp_path):
    pages = {
        "index.html": '<a href="../">up</a><a href="?C=N;O=D">order</a><a href="/else/f.txt">far</a><a href="#t">t</a>'
        '<a href="b.txt">b</a><a href="a/">a</a><a href="a-b.txt">a-b</a><a href="http://localhost:1/c.txt">c</a>',
        "a/index.html": '<a href="d%20e.txt">d</a><a href="/a/f.txt">f</a>',
    }
    (tmp_path / "a").mkdir()
    for name, page in pages.items():
        (tmp_path / name).write_text(page)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            root = f"http://127.0.0.1:{server.server_address[1]}"
            names = ["a-b.txt", "a/d%20e.txt", "a/f.txt", "b.txt"]
            assert list(list_files(root + "/")) == [f"{root}/{name}" for name in names]
            assert list(list_files(root + "/**/*.txt")) == [f"{root}/{name}" for name in names]
            assert list(list_files(root + "/index.html")) == [root + "/index.html"]
            with pytest.raises(ListingError, match="does not exist"):
                list(list_files(root + "/none/"))
        finally:
            server.shutdown()
            thread.join()
