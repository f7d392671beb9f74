"""Names that differ only in case are refused where the disk ignores case, as macOS's does, and only there."""

import os
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from jobs import job

from longshore_agent import file_names
from longshore_agent.downloads import download_inputs
from longshore_agent.file_names import ignores_case, require_distinct
from longshore_agent.paths import StagingError
from longshore_agent.script_data import ScriptDataError, prepare
from longshore_agent.script_inputs import stage_input
from longshore_agent.trees import fetch_tree
from longshore_protocol.job import DOWNLOAD, Input, ScriptInput
from longshore_protocol.script_job import ScriptJob, ScriptOutput

COLLIDING = {
    "case": ["a.txt", "A.txt"],
    "case in a folder": ["x/a.txt", "X/a.txt"],
    "normal forms": ["\u00e9.txt", "e\u0301.txt"],
    "both": ["\u00c9.txt", "e\u0301.txt"],
    "not beside each other": ["a", "b", "c", "A"],
}
DISTINCT = {"none": [], "one twice": ["a", "a"], "others": ["a", "b", "A/b"], "dots": ["a.b", "ab"]}


@pytest.fixture(params=[True, False], ids=["case ignored", "case kept"])
def case_ignored(request, monkeypatch):
    """Whether the disk ignores case."""
    monkeypatch.setattr(file_names, "ignores_case", lambda _: request.param)
    return request.param


@pytest.mark.parametrize("names", COLLIDING.values(), ids=COLLIDING)
def test_colliding_names_are_refused_where_case_is_ignored(case_ignored, names):
    if case_ignored:
        with pytest.raises(ValueError, match=f'"{names[0]}" and "{names[-1]}" are one name on this disk'):
            require_distinct("/", names)
    else:
        require_distinct("/", names)


@pytest.mark.parametrize("names", DISTINCT.values(), ids=DISTINCT)
@pytest.mark.usefixtures("case_ignored")
def test_distinct_names_are_accepted(names):
    require_distinct("/", names)


@pytest.mark.parametrize("exists", [True, False])
def test_a_disk_that_ignores_case_is_recognized_by_the_other_spelling_of_a_folder(tmp_path, exists):
    (tmp_path / "runs").mkdir()
    folder = str(tmp_path / "runs" if exists else tmp_path / "runs" / "1" / "2")
    assert not ignores_case(folder)
    (tmp_path / "RUNS").symlink_to(tmp_path / "runs")  # what such a disk answers
    assert ignores_case(folder)


@pytest.fixture
def url():
    """A folder in a store with two files whose names differ only in case."""
    store, folder = fsspec.filesystem("memory"), f"memory://{uuid4()}"
    for name in ("a.txt", "A.txt"):
        store.pipe_file(f"{folder}/{name}", name.encode())
    return folder


def script(folder, **fields):
    (folder / "code").mkdir(exist_ok=True)
    return ScriptJob("train", "1", str(folder / "run"), str(folder / "code"), "train.py", **fields)


PLACES = {
    "a folder": lambda url, folder: fetch_tree(url, str(folder / "x")),
    "an input of a script": lambda url, folder: stage_input(ScriptInput("x", (url,)), str(folder / "x")),
    "an input of mode download": lambda url, folder: download_inputs(
        job(Input("x", (url,), mode=DOWNLOAD)), str(folder / "x")
    ),
    "the names of side inputs": lambda url, folder: download_inputs(
        job(side_inputs=(ScriptInput("words", (f"{url}/a.txt",)), ScriptInput("Words", (f"{url}/A.txt",)))),
        str(folder / "x"),
    ),
    "the names of a script's inputs": lambda url, folder: prepare(
        script(folder, inputs=(ScriptInput("x", (f"{url}/a.txt",)), ScriptInput("X", (f"{url}/A.txt",)))),
        str(folder / "x"),
    ),
    "the names of a script's outputs": lambda url, folder: prepare(
        script(folder, outputs=(ScriptOutput("x", f"{url}/1", "upload"), ScriptOutput("X", f"{url}/2", "upload"))),
        str(folder / "x"),
    ),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_nothing_replaces_a_file_whose_name_differs_only_in_case(case_ignored, tmp_path, url, place):
    if case_ignored:
        with pytest.raises((ValueError, StagingError, ScriptDataError), match="are one name on this disk"):
            place(url, tmp_path)
        assert not [each for each in Path(tmp_path).rglob("*.txt") if os.path.getsize(each)][1:]
    else:
        place(url, tmp_path)
