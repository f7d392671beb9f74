"""The inputs of a step as datasets: files and tables, wherever they lie on this machine."""

import os
from pathlib import Path

import pandas
import pytest

from longshore_run.context import VARIABLE, Context, Given
from longshore_shims.dataset import Dataset, StepDataset
from longshore_shims.errors import InputNotFoundException, NotInsideAStep, UserErrorException


@pytest.fixture
def files(tmp_path):
    """Three files in two folders; each holds its own name."""
    for name in ("a/1.txt", "a/b/2.txt", "a/b/3.txt"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    return tmp_path / "data"


def dataset(*paths, tabular=None):
    return StepDataset(Given("images", tuple(map(str, paths)), tabular))


def seen(folder):
    """The paths below a folder, in order."""
    walk = os.walk(folder)
    return sorted(os.path.relpath(os.path.join(where, name), folder) for where, _, names in walk for name in names)


def test_a_dataset_is_an_input_of_the_step(tmp_path, monkeypatch):
    context = Context("/logs", inputs=(Given("images", ("/in/*",)),))
    monkeypatch.setenv(VARIABLE, context.write(str(tmp_path)))
    assert Dataset.get_by_name(None, name="images").name == "images"
    with pytest.raises(
        InputNotFoundException, match=r"Input \"image\" does not exist; the step's inputs are: images\."
    ):
        Dataset.get_by_name("workspace", "image")
    with pytest.raises(NotInsideAStep, match=r"use Dataset\.get_by_name or run.input_datasets"):
        Dataset.get_by_id(None, "1")


def test_paths_are_those_below_the_dataset(files):
    assert dataset(files).to_path() == ["/a/1.txt", "/a/b/2.txt", "/a/b/3.txt"]
    assert dataset(files / "a" / "*").to_path() == ["/1.txt"]
    assert dataset(files / "a" / "**" / "*.txt").to_path() == ["/1.txt", "/b/2.txt", "/b/3.txt"]
    assert dataset(files / "a/1.txt").to_path() == ["/1.txt"]
    with pytest.raises(UserErrorException, match=r"The input images has no files at .*/absent"):
        dataset(files / "absent").to_path()


def test_rows_of_a_database_have_no_files():
    given = dataset("postgresql://db/sales", tabular={"format": "sql", "query": "SELECT 1"})
    with pytest.raises(UserErrorException, match=r"images is a query of a database; only run\(\) receives its rows"):
        given.to_pandas_dataframe()


def test_take_and_skip_leave_some_of_the_files(files):
    whole = dataset(files)
    assert whole.take(2).to_path() == ["/a/1.txt", "/a/b/2.txt"]
    assert whole.skip(1).take(1).to_path() == ["/a/b/2.txt"]
    assert whole.take(1).skip(1).take(5)._files() == []
    assert len(whole.to_path()) == 3


def test_one_folder_or_file_is_mounted_as_it_is(files):
    for path in (files, files / "a/1.txt"):
        with dataset(path).mount() as mounted:
            assert mounted.mount_point == str(path)
        assert path.exists()


def test_some_files_are_mounted_as_a_folder_of_them(files):
    mounted = dataset(files / "a/b/*").mount()
    mounted.start()
    folder = mounted.mount_point
    assert seen(folder) == ["2.txt", "3.txt"]
    mounted.stop()
    assert not os.path.exists(folder)
    assert seen(files / "a/b") == ["2.txt", "3.txt"]
    with dataset(files).take(1).mount() as mounted:
        assert seen(mounted.mount_point) == ["a/1.txt"]


def test_a_mount_point_may_be_named(files, tmp_path):
    with dataset(files).mount(str(tmp_path / "here")) as mounted:
        assert mounted.mount_point == str(tmp_path / "here")
        assert (tmp_path / "here/a/b/2.txt").read_text() == "a/b/2.txt"
    assert not (tmp_path / "here").exists()
    with pytest.raises(UserErrorException, match=r"is not empty, so a dataset cannot be mounted there\."):
        dataset(files).mount(str(files / "a")).start()
    assert len(dataset(files).to_path()) == 3


def test_downloads_are_copies(files, tmp_path):
    paths = dataset(files).skip(2).download(str(tmp_path / "copies"))
    assert paths == [str(tmp_path / "copies/a/b/3.txt")]
    with pytest.raises(UserErrorException, match="exists already"):
        dataset(files).download(str(tmp_path / "copies"))
    assert seen(tmp_path / "copies") == ["a/b/3.txt"]
    assert len(dataset(files).download(target_path=str(tmp_path / "copies"), overwrite=True)) == 3
    (path,) = dataset(files / "a/1.txt").download()
    assert Path(path).read_text() == "a/1.txt"


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.csv", "n,s\n1,x\n2,y\n"), ("t.tsv", "n\ts\n1\tx\n2\ty\n"),
     ("t.jsonl", '{"n": 1, "s": "x"}\n\n{"n": 2, "s": "y"}\n')],
)  # fmt: skip
def test_tables_are_read_by_the_ending_of_their_names(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    frame = dataset(tmp_path / name).to_pandas_dataframe()
    assert frame.to_dict("list") == {"n": [1, 2], "s": ["x", "y"]}


def test_parquet_is_a_table_and_a_picture_is_none(tmp_path):
    pandas.DataFrame({"n": [1]}).to_parquet(tmp_path / "t.parquet")
    assert dataset(tmp_path / "t.parquet").to_pandas_dataframe().to_dict("list") == {"n": [1]}
    (tmp_path / "t.png").touch()
    with pytest.raises(
        UserErrorException, match=r"t\.png cannot be read as a table: its name must end with one of \.csv"
    ):
        dataset(tmp_path / "t.png").to_pandas_dataframe()


def test_a_tabular_inputs_own_description_counts_and_take_means_rows(tmp_path):
    (tmp_path / "1.txt").write_text("1;2024-01-02\n2;2024-01-03\n")
    (tmp_path / "2.txt").write_text("3;2024-01-04\n")
    form = {
        "format": "csv", "separator": ";", "header": False, "encoding": "utf-8",
        "column_types": {"Column1": "str", "Column2": "datetime64[ns]", "Column9": "int64"},
    }  # fmt: skip
    table = dataset(tmp_path / "*.txt", tabular=form)
    frame = table.to_pandas_dataframe()
    assert list(frame["Column1"]) == ["1", "2", "3"]
    assert frame["Column2"].dt.day.tolist() == [2, 3, 4]
    rest = table.skip(1).take(2).to_pandas_dataframe()
    assert (list(rest["Column1"]), list(rest.index)) == (["2", "3"], [0, 1])
