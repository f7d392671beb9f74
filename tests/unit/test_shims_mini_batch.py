"""The dataset that the context of run() offers: an input restricted to one mini-batch."""

import copy
import os
from pathlib import Path

import pandas
import pytest

from longshore_host.entry import MiniBatchContext
from longshore_protocol.job import TabularFormat
from longshore_protocol.messages import InputSpec
from longshore_shims.errors import NotInsideAStep


def context(items, *places, table=None):
    given = InputSpec("images", table, tuple(map(str, places)))
    return MiniBatchContext(mini_batch=7, attempt=2, given=given, items=items, deadline=60.0)


@pytest.fixture
def files(tmp_path):
    """The paths of three files, as a mini-batch of the folder data/."""
    paths = [tmp_path / "data" / name for name in ("b/2.txt", "a/1.txt", "a/deep/2.txt")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    return list(map(str, paths))


def test_the_context_states_which_mini_batch_it_is_and_until_when():
    made = context(["/in/a", "/in/b"], "/in")
    assert (made.minibatch_index, made.attempt, made.input_name, made.items_total) == ("7", 2, "images", 2)
    assert (made.partition_key_value, made.deadline) == ({}, 60.0)
    assert copy.deepcopy(made).minibatch_index == "7"  # scripts copy what they queue


def test_files_are_those_of_the_mini_batch_by_their_names_in_the_input(files, tmp_path):
    dataset = context(files, tmp_path / "data").dataset
    assert dataset.name == "images"
    assert dataset.to_path() == ["/b/2.txt", "/a/1.txt", "/a/deep/2.txt"]
    assert dataset.skip(1).take(1).to_path() == ["/a/1.txt"]
    with dataset.mount() as mounted:
        assert Path(mounted.mount_point, "a/deep/2.txt").read_text() == "2.txt"
        assert sorted(os.listdir(mounted.mount_point)) == ["a", "b"]
    copies = dataset.take(2).download(str(tmp_path / "copies"))
    assert copies == [str(tmp_path / "copies/b/2.txt"), str(tmp_path / "copies/a/1.txt")]


def test_files_that_were_downloaded_from_a_store_are_distinguished(files):
    dataset = context([files[0], files[2], files[1]], "s3://bucket/images/**").dataset
    assert dataset.to_path() == ["/2.txt", "/2/2.txt", "/1.txt"]
    assert [Path(each).read_text() for each in dataset.download()] == ["2.txt", "2.txt", "1.txt"]


def test_one_file_is_mounted_as_it_is(files, tmp_path):
    with context(files[:1], tmp_path / "data").dataset.mount() as mounted:
        assert mounted.mount_point == files[0]


def test_rows_are_those_of_the_mini_batch_and_the_callers_own():
    rows = pandas.DataFrame({"n": [1, 2, 3]})
    dataset = context(rows, "/in/rows.csv", table=TabularFormat("csv")).dataset
    table = dataset.to_pandas_dataframe()
    table["n"] = 0
    assert list(dataset.to_pandas_dataframe()["n"]) == list(rows["n"]) == [1, 2, 3]
    assert list(dataset.skip(1).take(1).to_pandas_dataframe()["n"]) == [2]
    assert list(dataset.skip(2).to_pandas_dataframe().index) == [0]
    assert repr(dataset) == "<3 rows of the input images of the step>"
    sentence = r"MiniBatchRows\.to_path is not available inside a Longshore step: call to_pandas_dataframe"
    with pytest.raises(NotInsideAStep, match=sentence):
        dataset.to_path()


def test_rows_may_be_dicts():
    rows = [{"n": 1}, {"n": 2, "m": "two"}]
    dicts = TabularFormat("jsonl", as_dicts=True)
    dataset = context(rows, "/in/rows.jsonl", table=dicts).dataset
    assert list(dataset.to_pandas_dataframe()["n"]) == [1, 2]
    assert dataset.skip(1).to_pandas_dataframe().to_dict("records") == [{"n": 2, "m": "two"}]
    assert repr(dataset) == "<2 rows of the input images of the step>"
    assert context([], "/in/rows.jsonl", table=dicts).dataset.to_pandas_dataframe().empty
