"""What is brought whole, once, however often an agent is started."""

from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from longshore_agent import whole_data
from longshore_agent.places import StagingError
from longshore_agent.whole_data import bring_whole
from longshore_protocol.job import Input, Job, MiniBatchSize, Output, ScriptInput


@pytest.fixture
def url():
    store, folder = fsspec.filesystem("memory"), f"memory://{uuid4()}"
    for name in ("a.txt", "deep/b.txt"):
        store.pipe_file(f"{folder}/{name}", name.encode())
    return folder


def job(*inputs, side=()):
    output = Output("summary_only", "/out")
    return Job("s", "1", "/run", inputs, MiniBatchSize("files", 1), output, "/code", "m.py", side_inputs=side)


def test_a_file_is_a_file_a_folder_a_folder_and_what_is_here_is_read_where_it_is(tmp_path, url):
    local = tmp_path / "here"
    local.mkdir()
    side = (
        ScriptInput("file", (f"{url}/a.txt",)),
        ScriptInput("folder", (url,)),
        ScriptInput("here", (str(local),)),
    )
    for _ in range(2):  # an agent that is started again
        found = bring_whole(job(side=side), str(tmp_path / "data")).side_inputs
        assert Path(found["file"]).read_text() == "a.txt"
        assert Path(found["file"]).name == "a.txt"
        assert Path(found["folder"], "deep/b.txt").read_text() == "deep/b.txt"
        assert found["here"] == str(local)


def test_what_was_brought_is_not_brought_again_and_what_was_begun_is(tmp_path, url, monkeypatch):
    fetched = []

    def fetch(uri, target):
        fetched.append(uri)
        if uri.endswith("b.txt") and len(fetched) < 4:
            raise OSError("cut off")
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).write_text("x")

    monkeypatch.setattr(whole_data, "fetch_file_to", fetch)
    wanted = job(Input("files", (url,), mode="download"))
    with pytest.raises(StagingError, match="the input files cannot be brought: OSError: cut off"):
        bring_whole(wanted, str(tmp_path))
    fetched += ["", "", ""]
    found = bring_whole(wanted, str(tmp_path))
    assert sorted(filter(None, fetched)) == [f"{url}/a.txt", f"{url}/deep/b.txt", f"{url}/deep/b.txt"]
    assert found.downloads == {"files": f"{tmp_path}/files"}
    assert found.copies == {f"{url}/{name}": f"{tmp_path}/files/{name}" for name in ("a.txt", "deep/b.txt")}


def test_inputs_that_are_mounted_or_here_are_not_brought(tmp_path, url):
    found = bring_whole(job(Input("a", (url,)), Input("b", (str(tmp_path),), mode="download")), str(tmp_path / "data"))
    assert (found.side_inputs, found.downloads, found.copies) == ({}, {}, {})
