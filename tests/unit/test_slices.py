"""How messages name the items of a mini-batch."""

import pytest

from longshore_protocol.slices import item_names

NAMES = {
    "files": (["/a", "/b", "/c"], ["/a", "/b"]),
    "files of a partition": ({"partition": {"year": 2024}, "files": ["/a"]}, ["/a"]),
    "records": ({"path": "/a.csv", "start": 7, "end": 90}, ["/a.csv, bytes 7 to 90"]),
    "records in several ranges": ({"path": "/a.csv", "ranges": [[7, 9], [20, 30]]}, ["/a.csv, bytes 7 to 30"]),
    "rows of a Parquet file": ({"path": "/a", "row_groups": [2, 4], "rows": None}, ["/a, row groups 2 to 3"]),
    "an unreadable file": ({"path": "/a", "unreadable": "ArrowInvalid: no footer"}, ["/a"]),
    "rows of a query": ({"path": "sql://d", "keys": [1, None]}, ["rows of sql://d, keys [1, None]"]),
    "all rows of a query": ({"path": "sql://d", "keys": None}, ["rows of sql://d"]),
    "pieces": (
        {"pieces": [{"path": f"/{name}", "start": 0, "end": 5} for name in "abc"]},
        ["/a, bytes 0 to 5", "/b, bytes 0 to 5"],
    ),
}


@pytest.mark.parametrize(("slice", "names"), NAMES.values(), ids=NAMES.keys())
def test_the_first_items_are_named_by_their_files(slice, names):
    assert item_names(slice, 2) == names
