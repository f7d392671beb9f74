"""What below a folder is no input: run folders, a run's own output, hidden names of tables."""

import json
import os
from uuid import uuid4

import fsspec
import jobs
import pytest

from longshore_coordinator.enumerate import EmptyInputError, InputError, cut, selections
from longshore_protocol.job import Input, Output, TabularFormat
from longshore_protocol.slices import first_path
from longshore_storage import beneath
from longshore_storage.folders import SPECIAL
from longshore_storage.listing import HIDDEN, OWN, RUN, Selection, list_files
from longshore_storage.run_folders import mark_run
from longshore_storage.store import open_store

DATA = ["a.csv", "b/c.csv"]


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path) -> str:
    """Return a folder with DATA, as a local path or as a URL."""
    url = str(tmp_path) if request.param == "local" else f"memory://{uuid4()}"
    write(url, *DATA)
    return url


def write(root, *names):
    store = open_store(root)
    for name in names:
        store.put(name, b"id,x\n1,2\n")


def found(root, path, selection) -> list[str]:
    whole = f"{root}/{path}" if path else root
    return [each.removeprefix(root + "/") for each in list_files(whole, selection)]


# Where the files of a run lie, and the folder that has the mark.
RUNS = {
    "default run folder": ("longshore-runs/run-1/out/rows.csv", "longshore-runs/run-1"),
    "renamed run folder": ("tuesday/out/rows.csv", "tuesday"),
    "pipeline folder": ("runs/p-1/steps/score/out/rows.csv", "runs/p-1"),
    "nested": ("b/deep/er/run-1/failed.csv", "b/deep/er/run-1"),
    "in its own state": ("b/run-1/state/rows.csv", "b/run-1"),
}


@pytest.mark.parametrize(("name", "marked"), RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("path", ["", "**/*.csv", "**"])
def test_run_folders_are_no_input_of_a_walk_around_them(root, name, marked, path):
    write(root, name)
    open_store(f"{root}/{marked}").mark()
    selection = Selection(runs=False)
    assert found(root, path, selection) == DATA
    assert selection.left_out == {RUN: 1}
    assert name in found(root, path, Selection())


def test_what_a_path_names_in_a_run_folder_is_input(root):
    write(root, "runs/1/out/rows.csv")
    open_store(f"{root}/runs/1").mark()
    for path in ("runs/1/out/rows.csv", "runs/1/out", "runs/1", "runs/1/**/*.csv", "runs/1/out/*"):
        selection = Selection(runs=False)
        assert found(root, path, selection) == ["runs/1/out/rows.csv"]
        assert not selection.left_out


def test_the_output_in_a_datastore_is_marked_by_the_folder_of_the_run_id(root):
    write(root, "longshore/run-1/out/rows.csv", "longshore/run-1-more/rows.csv")
    mark_run(f"{root}/elsewhere", "run-1", [f"{root}/longshore/run-1/out", f"{root}/other"])
    assert found(root, "", Selection(runs=False)) == [*DATA, "longshore/run-1-more/rows.csv"]
    assert open_store(f"{root}/longshore/run-1").exists(".longshore")
    assert open_store(f"{root}/elsewhere").exists(".longshore")
    assert not open_store(f"{root}/other").exists(".longshore")


@pytest.mark.parametrize("own", ["out", "b/out", "b/deep/out"])
def test_the_output_of_the_run_itself_is_never_input(root, own):
    write(root, f"{own}/rows.csv", f"{own}/more/rows.csv")
    selection = Selection(without=(f"{root}/{own}", f"{root}/absent", "other://store/out"))
    assert found(root, "", selection) == DATA
    assert found(root, "**/*.csv", selection) == DATA
    assert selection.left_out == {OWN: 2}


@pytest.mark.parametrize("path", ["out", "out/more", "out/more/*.csv"])
def test_a_path_into_the_output_of_the_run_itself_is_refused(root, path):
    write(root, "out/more/rows.csv")
    inputs = (Input("rows", (f"{root}/{path}",)),)
    job = jobs.job(*inputs, uri=f"{root}/r", unit="files", size=1, output=Output("append_row", f"{root}/out"))
    with pytest.raises(InputError, match="is in the output of this run, which cannot be an input; name another path"):
        list(cut(job))


@pytest.mark.parametrize("name", ["_SUCCESS", ".part.csv.crc", "_temporary/0/x.csv", "_delta_log/0.csv", "b/.x/y.csv"])
def test_hidden_names_are_left_out_of_folders_of_tables(root, name):
    write(root, name)
    selection = Selection(hidden=False)
    assert found(root, "", selection) == DATA
    assert selection.left_out == {HIDDEN: 1}
    assert name in found(root, "", Selection())


def test_hidden_names_that_a_path_spells_and_partitions_are_input(root):
    write(root, "_x/y.csv", "_k=1/z.csv", ".h.csv")
    shown = Selection(hidden=False)
    assert found(root, "**/*.csv", shown) == ["_k=1/z.csv", *DATA]
    assert shown.left_out == {HIDDEN: 1}
    for path in ("_x/y.csv", "_*/y.csv", "_x", "_x/*"):
        assert found(root, path, Selection(hidden=False)) == ["_x/y.csv"]
    assert found(root, ".*", Selection(hidden=False)) == [".h.csv"]


def test_what_is_neither_file_nor_folder_is_counted(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    selection = Selection()
    assert list(list_files(str(tmp_path), selection)) == []
    assert selection.left_out == {SPECIAL: 1}


def test_a_job_selects_by_the_kind_of_each_input(root):
    write(root, "_SUCCESS", "run/state.csv", "out/old.csv")
    open_store(f"{root}/run").mark()
    inputs = (Input("rows", (root,), tabular=TabularFormat("csv")), Input("files", (root,)))
    job = jobs.job(*inputs, uri=f"{root}/r", unit="bytes", size=9, output=Output("append_row", f"{root}/out"))
    selected = selections(job)
    paths = [first_path({"path": each}) for each in list_files(root, selected[0])]
    assert paths == [f"{root}/{name}" for name in DATA]
    assert selected[0].left_out == {HIDDEN: 1, RUN: 1, OWN: 1}
    assert f"{root}/_SUCCESS" in list(list_files(root, selected[1]))


def test_an_input_of_nothing_but_what_is_left_out_reports_it(root):
    write(root, "p/_SUCCESS", "p/r/x.csv")
    open_store(f"{root}/p/r").mark()
    inputs = (Input("rows", (f"{root}/p",), tabular=TabularFormat("csv")),)
    job = jobs.job(*inputs, unit="bytes", size=9, action="append_row")
    told = r'left out: 1 x hidden \(a leading "\." or "_"\), 1 x run folder \(read where the path names it\)\.$'
    with pytest.raises(EmptyInputError, match=told):
        list(cut(job))


def test_a_folder_of_files_that_was_marked_over_a_link_is_recognised(tmp_path):
    write(str(tmp_path / "elsewhere"), "rows.csv")
    write(str(tmp_path / "in"), "a.csv")
    open_store(str(tmp_path / "elsewhere")).mark()
    (tmp_path / "in/run").symlink_to(tmp_path / "elsewhere")
    assert found(str(tmp_path / "in"), "", Selection(runs=False)) == ["a.csv"]
    own = Selection(without=(str(tmp_path / "elsewhere"),))
    assert found(str(tmp_path / "in"), "", own) == ["a.csv"]


def test_the_mark_itself_is_no_input_of_a_marked_folder(root):
    open_store(root).mark()
    fs, inside = fsspec.core.url_to_fs(f"{root}/.longshore")
    assert b"No run takes" in fs.cat_file(inside)
    assert found(root, "", Selection(runs=False)) == DATA


@pytest.mark.parametrize("unit", ["bytes", "rows"])
def test_a_link_that_cannot_be_followed_fails_its_own_mini_batch(tmp_path, unit):
    write(str(tmp_path), "b.csv")
    for name, target in {
        "a.csv": "gone",
        "c.csv": "c.csv",
        "d.csv": "e.csv",
        "e.csv": "d.csv",
        "f.csv": "b.csv/x",
    }.items():
        (tmp_path / name).symlink_to(target)
    inputs = (Input("rows", (str(tmp_path),), tabular=TabularFormat("csv")),)
    job = jobs.job(*inputs, unit=unit, size=99, action="append_row")
    pieces = [json.loads(each.payload) for each in cut(job)]
    assert [os.path.basename(each["path"]) for each in pieces if "unreadable" in each] == [f"{n}.csv" for n in "acdef"]
    assert [os.path.basename(each["path"]) for each in pieces if "unreadable" not in each] == ["b.csv"]


def test_a_folder_that_cannot_be_listed_ends_the_run(tmp_path, monkeypatch):
    write(str(tmp_path), "a.csv", "closed/b.csv")
    entries = beneath.entries

    def refuse(folder):
        if folder.rstrip("/").endswith("closed"):
            raise PermissionError(13, "Permission denied", folder)
        return entries(folder)

    monkeypatch.setattr(beneath, "entries", refuse)
    inputs = (Input("rows", (str(tmp_path),), tabular=TabularFormat("csv")),)
    job = jobs.job(*inputs, unit="bytes", size=99, action="append_row")
    with pytest.raises(InputError, match=f'cannot be listed at "{tmp_path}/closed/": Permission denied'):
        list(cut(job))
