"""The one output file is a function of the rows in mini-batch order, whatever segments they came from."""

import io
import itertools

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_coordinator import assembly
from longshore_coordinator.assembly import Assembled, AssemblyError, assemble
from longshore_coordinator.committed import Piece
from longshore_protocol.job import APPEND_ROW, Input, Job, MiniBatchSize, Output
from longshore_protocol.segments import digest_of
from longshore_storage.store import LocalStore, open_store

OUT = "out.txt"
fresh = itertools.count()


def job(format="text"):
    return Job(
        name="score",
        run_id="1",
        run_uri="/run",
        inputs=(Input(name="in", paths=("/in",)),),
        mini_batch=MiniBatchSize(unit="files", value=1),
        output=Output(action=APPEND_ROW, uri="/out", file_name=OUT, format=format),
        source_uri="/source",
        entry_script="score.py",
    )


def memory():
    return open_store(f"memory://assembly-{next(fresh)}")


def lay_out(store, blocks, *, headers=None, rows=None, segment_of=lambda number: 0, garbage=b""):
    """Write each mini-batch's block into the segment it belongs to, with garbage between, and return the pieces."""
    segments, pieces = {}, []
    for number, block in enumerate(blocks):
        name = f"segments/{segment_of(number)}"
        data = segments.setdefault(name, bytearray())
        data += garbage
        count = block.count(b"\n") if rows is None else rows[number]
        pieces.append(Piece(number, name, len(data), len(block), count, headers[number] if headers else ""))
        data += block
    for name, data in segments.items():
        store.put(name, bytes(data))
    return pieces


def parquet(columns):
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def assemble_tables(columns, **layout):
    source, target = memory(), memory()
    blocks = [parquet(each) if each else b"" for each in columns]
    rows = [len(next(iter(each.values()))) if each else 0 for each in columns]
    pieces = lay_out(source, blocks, rows=rows, **layout)
    assembled = assemble(source, target, job("parquet"), pieces)
    data = target.get(OUT)
    assert assembled == Assembled(rows=sum(rows), bytes=len(data))
    return data


blocks = st.lists(st.lists(st.binary(max_size=9).map(lambda row: row.replace(b"\n", b"") + b"\n")).map(b"".join))


@given(blocks, st.randoms(use_true_random=False), st.integers(1, 4), st.sampled_from([b"", b"lost rows\n"]))
def test_the_file_is_the_concatenation_of_all_rows_whatever_the_segments(blocks, random, segments, garbage):
    source, target = memory(), memory()
    pieces = lay_out(source, blocks, segment_of=lambda _: random.randrange(segments), garbage=garbage)
    assembled = assemble(source, target, job(), iter(pieces))
    expected = b"".join(blocks)
    assert target.get(OUT) == expected
    assert assembled == Assembled(rows=expected.count(b"\n"), bytes=len(expected))


def test_rows_may_lie_in_a_segment_in_another_order_than_in_the_file():
    source, target = memory(), memory()
    source.put("s", b"second\nfirst\n")
    assemble(source, target, job(), [Piece(0, "s", 7, 6, 1, ""), Piece(1, "s", 0, 7, 1, "")])
    assert target.get(OUT) == b"first\nsecond\n"


def test_more_segments_than_may_be_open_are_read_and_closed(monkeypatch, tmp_path):
    monkeypatch.setattr(assembly, "_OPEN_SEGMENTS", 2)
    opened = []

    class Watched(LocalStore):
        def open(self, name):
            opened.append(super().open(name))
            assert sum(not file.closed for file in opened) <= 3
            return opened[-1]

    source = Watched(str(tmp_path / "in"))
    rows = [b"%d\n" % number for number in range(20)]
    pieces = lay_out(source, rows, segment_of=lambda number: number % 5)
    target = LocalStore(str(tmp_path / "out"))
    assemble(source, target, job(), pieces)
    assert target.get(OUT) == b"".join(rows)
    assert all(file.closed for file in opened)


def test_a_range_longer_than_one_copy_is_copied_whole(monkeypatch):
    monkeypatch.setattr(assembly, "_CHUNK", 3)
    source, target = memory(), memory()
    pieces = lay_out(source, [b"0123456789\n", b"ab\n"])
    assemble(source, target, job(), pieces)
    assert target.get(OUT) == b"0123456789\nab\n"


def test_the_header_stands_once_at_the_top():
    source, target = memory(), memory()
    pieces = lay_out(source, [b"", b"1,2\n", b"3,4\n"], headers=["", "x,\u00e9\n", "x,\u00e9\n"])
    assembled = assemble(source, target, job("csv"), pieces)
    assert target.get(OUT) == "x,\u00e9\n1,2\n3,4\n".encode()
    assert assembled == Assembled(rows=2, bytes=len(target.get(OUT)))


@pytest.mark.parametrize("other", ["y\n", ""], ids=["another", "none"])
def test_headers_that_differ_are_refused_with_both_mini_batches_and_leave_no_file(other, tmp_path):
    source, target = memory(), LocalStore(str(tmp_path))
    pieces = lay_out(source, [b"1\n", b"2\n", b"3\n"], headers=["x\n", "x\n", other])
    with pytest.raises(AssemblyError) as refused:
        assemble(source, target, job("csv"), pieces)
    assert all(each in str(refused.value) for each in ("mini-batch 0", repr("x\n"), "mini-batch 2", repr(other)))
    assert target.names() == []


def test_a_missing_segment_is_named_with_its_mini_batch_and_leaves_an_earlier_file_alone(tmp_path):
    target = LocalStore(str(tmp_path))
    target.put(OUT, b"earlier\n")
    with pytest.raises(AssemblyError, match="segment gone with the rows of mini-batch 4 is missing"):
        assemble(memory(), target, job(), [Piece(4, "gone", 0, 2, 1, "")])
    assert target.get(OUT) == b"earlier\n"
    assert target.names() == [OUT]


def test_a_segment_that_is_too_short_is_named_by_a_ledger_that_knows_no_digests():
    source = memory()
    source.put("s", b"1\n")
    with pytest.raises(AssemblyError, match=r"rows of mini-batch 0 .* ends 3 bytes before the end"):
        assemble(source, memory(), job(), [Piece(0, "s", 0, 5, 2, "")])


DAMAGED = {
    "truncated": lambda data: data[:-4],
    "truncated and filled up": lambda data: data[:-4] + bytes(4),
    "a byte flipped": lambda data: data[:9] + bytes([data[9] ^ 1]) + data[10:],
    "another of the same length": lambda data: b"w" * len(data),
    "longer": lambda data: data + b"row\n",
    "empty": lambda _: b"",
    "missing": lambda _: None,
}
BLOCKS = {"text": (b"first row\n", b"other row\n")}
BLOCKS["parquet"] = tuple(parquet({"x": list(range(number, 9))}) for number in range(2))


def sealed(blocks, *, size=None, name="state/segments/w0.1.x-000001"):
    """Return the pieces of a segment with these blocks, with the digests and the length that its agent reported."""
    size = sum(map(len, blocks)) if size is None else size
    offsets = itertools.accumulate(map(len, blocks), initial=0)
    return [
        Piece(number, name, offset, len(block), 1, "", size, digest_of(block))
        for number, (offset, block) in enumerate(zip(offsets, blocks, strict=False))
    ]


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
@pytest.mark.parametrize("format", BLOCKS)
def test_a_segment_that_was_changed_after_it_was_committed_is_refused_and_leaves_no_file(damage, format, tmp_path):
    source, target = memory(), LocalStore(str(tmp_path))
    pieces, found = sealed(BLOCKS[format]), damage(b"".join(BLOCKS[format]))
    if found is not None:
        source.put(pieces[0].segment, found)
    with pytest.raises(AssemblyError, match=f"segment {pieces[0].segment} "):
        assemble(source, target, job(format), pieces)
    assert target.names() == []


def test_rows_that_changed_places_are_refused():
    source, blocks = memory(), BLOCKS["text"]
    pieces = sealed(blocks)
    source.put(pieces[0].segment, blocks[1] + blocks[0])
    with pytest.raises(AssemblyError, match="mini-batch 0 as they were committed: their digest is another"):
        assemble(source, memory(), job(), pieces)


@pytest.mark.parametrize("format", BLOCKS)
def test_a_segment_that_is_as_it_was_committed_is_read(format):
    source, target = memory(), memory()
    pieces = sealed(BLOCKS[format])
    source.put(pieces[0].segment, b"".join(BLOCKS[format]))
    assert assemble(source, target, job(format), pieces).rows == 2


def test_parquet_whose_values_changed_beside_an_intact_footer_is_refused():
    source = memory()
    block = parquet({"x": list(range(1000))})
    source.put("s", block[:100] + bytes([block[100] ^ 1]) + block[101:])
    [piece] = sealed([block], name="s")
    with pytest.raises(AssemblyError, match="their digest is another"):
        assemble(source, memory(), job("parquet"), [piece])


def test_no_pieces_make_an_empty_file():
    target = memory()
    assert assemble(memory(), target, job(), []) == Assembled(rows=0, bytes=0)
    assert target.get(OUT) == b""


def test_parquet_holds_all_rows_in_mini_batch_order():
    data = assemble_tables([{"n": [1, 2], "s": ["a", "b"]}, {}, {"n": [3], "s": ["c"]}])
    assert pq.read_table(io.BytesIO(data)).to_pydict() == {"n": [1, 2, 3], "s": ["a", "b", "c"]}


@settings(max_examples=25)
@given(
    st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_parquet_is_the_same_bytes_whatever_the_segments(batches, random):
    tables = [{"n": batch, "x": [each / 2 for each in batch]} if batch else {} for batch in batches]
    scattered = assemble_tables(tables, segment_of=lambda _: random.randrange(3), garbage=b"lost")
    assert scattered == assemble_tables(tables)


def test_parquet_row_groups_end_at_the_mini_batch_that_fills_them(monkeypatch):
    monkeypatch.setattr(assembly, "_GROUP_ROWS", 4)
    data = assemble_tables([{"n": [0] * count} for count in (1, 2, 2, 1, 9, 3)])
    file = pq.ParquetFile(io.BytesIO(data))
    groups = [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)]
    assert groups == [4, 1, 4, 4, 2, 3]


def test_parquet_row_groups_are_closed_early_where_rows_are_large(monkeypatch):
    monkeypatch.setattr(assembly, "_GROUP_BYTES", 1)
    data = assemble_tables([{"n": [1]}, {"n": [2, 3]}])
    assert pq.ParquetFile(io.BytesIO(data)).num_row_groups == 2


PROMOTED = {
    "integers and floats": ([1], [0.5], pa.float64()),
    "narrow and wide integers": (pa.array([1], pa.int8()), pa.array([2], pa.int64()), pa.int64()),
    "a column that is null at first": ([None], ["a"], pa.string()),
    "a column that is null later": (["a"], [None], pa.string()),
}


@pytest.mark.parametrize(("first", "second", "expected"), PROMOTED.values(), ids=PROMOTED.keys())
def test_parquet_columns_become_the_type_that_holds_all_values(first, second, expected):
    table = pq.read_table(io.BytesIO(assemble_tables([{"x": first}, {"x": second}])))
    assert table.schema.field("x").type == expected
    assert table.num_rows == 2


def test_parquet_columns_that_some_mini_batches_lack_are_null_there():
    table = pq.read_table(io.BytesIO(assemble_tables([{"a": [1]}, {"b": ["x"], "a": [2]}])))
    assert table.to_pydict() == {"a": [1, 2], "b": [None, "x"]}


def test_parquet_types_that_do_not_go_together_are_refused_by_mini_batch_and_column():
    with pytest.raises(AssemblyError, match=r"mini-batch 1 .* in column b \(string, before: int64\)$"):
        assemble_tables([{"a": [1], "b": [1]}, {"a": [2], "b": ["x"]}])


def test_parquet_integers_that_a_float_cannot_hold_are_refused():
    with pytest.raises(AssemblyError, match="column x of mini-batch 0 cannot become double"):
        assemble_tables([{"x": [2**53 + 1]}, {"x": [0.5]}])


@pytest.mark.parametrize("damage", [slice(0, -1), slice(None, 3)], ids=["cut at the end", "hardly begun"])
def test_parquet_that_cannot_be_read_names_the_segment(damage):
    source = memory()
    data = parquet({"x": [1]})[damage]
    source.put("s", data)
    with pytest.raises(AssemblyError, match="segment s holds no readable Parquet file for mini-batch 0"):
        assemble(source, memory(), job("parquet"), [Piece(0, "s", 0, len(data), 1, "")])


def test_a_parquet_footer_longer_than_the_first_read_is_read_whole(monkeypatch):
    monkeypatch.setattr(assembly, "_TAIL", 16)
    data = assemble_tables([{"a": [1]}, {"a": [2]}])
    assert pq.read_table(io.BytesIO(data)).to_pydict() == {"a": [1, 2]}
