"""Objects that grow by lines, in stores that cannot append."""

import pytest

from longshore_storage.lines import Lines
from longshore_storage.store import LocalStore, open_store


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    return LocalStore(str(tmp_path)) if request.param == "folder" else open_store(f"memory://{tmp_path.name}-lines")


def test_each_addition_leaves_the_whole_object_with_its_header_once(store):
    lines = Lines(store, "a/table.csv", limit=10, header="x,y")
    lines.add([b"1,2\n"])
    lines.add([b"3,4\n", b"5,6\n"])
    assert store.get("a/table.csv") == b"x,y\n1,2\n3,4\n5,6\n"


def test_a_later_writer_goes_on_where_an_earlier_one_ended(store):
    Lines(store, "table.csv", limit=10, header="x,y").add([b"1,2\n"])
    Lines(store, "table.csv", limit=10, header="x,y").add([b"3,4\n"])
    assert store.get("table.csv") == b"x,y\n1,2\n3,4\n"


def test_the_oldest_lines_go_first_and_the_header_never(store):
    lines = Lines(store, "table.csv", limit=2, header="x")
    for number in range(5):
        lines.add([b"%d\n" % number])
    assert store.get("table.csv") == b"x\n3\n4\n"


def test_an_object_without_a_header_holds_its_lines_alone(store):
    Lines(store, "log.txt", limit=2).add([b"one\n"])
    Lines(store, "log.txt", limit=2).add([b"two\n"])
    assert store.get("log.txt") == b"one\ntwo\n"
