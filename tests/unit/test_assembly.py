"""The one output file is a function of the rows in mini-batch order, whatever segments they came from."""

import asyncio
import errno
import io
import itertools
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import jobs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_coordinator import assembly
from longshore_coordinator.assembly import Assembled, AssemblyError, assemble
from longshore_coordinator.committed import Piece
from longshore_coordinator.service import Coordinator
from longshore_coordinator.tables import Columns
from longshore_protocol.job import APPEND_ROW, SUMMARY_ONLY, Output
from longshore_protocol.segments import NO_VALUE, digest_of
from longshore_storage.store import LocalStore, open_store

OUT = "out.txt"
fresh = itertools.count()


def job(format="text"):
    return jobs.job(output=Output(action=APPEND_ROW, uri="/out", file_name=OUT, format=format))


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
    """Return a Parquet file as processes write it: columns without a value are marked."""
    table = pa.table(columns)
    marks = [NO_VALUE if column.null_count == table.num_rows else None for column in table.columns]
    fields = [field.with_metadata(mark) if mark else field for field, mark in zip(table.schema, marks, strict=True)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(table.columns, schema=pa.schema(fields)), sink)
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


def test_rows_may_be_in_a_segment_in_another_order_than_in_the_file():
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
    assert f'the rows are kept in 2 files in "{tmp_path}/out.txt.parts"' in str(refused.value)
    assert {name: target.get(name) for name in target.names()} == {
        "out.txt.parts/1.txt": b"x\n1\n2\n",
        "out.txt.parts/2.txt": other.encode() + b"3\n",
    }


NAMED = {  # headers of two mini-batches, whether they are one file, and its bytes
    "the same names, not to be written": (["id,x", "id,x"], b"1,a\n2,b\n"),
    "another order": (["id,x", "x,id"], None),
    "other names": (["id,x", "id,y"], None),
    "fewer names": (["id,x", "id"], None),
    "no names at first": (["", "id,x"], b"1,a\n2,b\n"),
    "no names later": (["id,x", ""], b"1,a\n2,b\n"),
    "names that are written, and the same not": (["id,x\n", "id,x"], None),
}


@pytest.mark.parametrize(("headers", "expected"), NAMED.values(), ids=NAMED.keys())
def test_rows_are_never_joined_by_position_where_their_names_differ(headers, expected):
    source, target = memory(), memory()
    pieces = lay_out(source, [b"1,a\n", b"2,b\n"], headers=headers)
    if expected is not None:
        assemble(source, target, job("csv"), pieces)
        assert {name: target.get(name) for name in target.names()} == {OUT: expected}
        return
    with pytest.raises(AssemblyError, match=r"different columns: mini-batch 0 .* mini-batch 1 .* kept in 2 files in"):
        assemble(source, target, job("csv"), pieces)
    lines = [header.rstrip("\n").encode() + b"\n" for header in headers]
    assert target.get("out.txt.parts/1.txt") == lines[0] + b"1,a\n"
    assert target.get("out.txt.parts/2.txt") == lines[1] + b"2,b\n"
    assert not target.exists(OUT)


def test_names_that_come_after_rows_without_any_hold_for_those_that_follow():
    source = memory()
    pieces = lay_out(source, [b"1\n", b"2\n", b"3\n"], headers=["", "x", "y"])
    with pytest.raises(AssemblyError, match="mini-batch 1 has the header 'x', mini-batch 2 has 'y'"):
        assemble(source, memory(), job("csv"), pieces)


def test_parts_of_an_earlier_assembly_go_with_the_next_one():
    source, target = memory(), memory()
    with pytest.raises(AssemblyError):
        assemble(source, target, job(), lay_out(source, [b"1\n", b"2\n"], headers=["x\n", "y\n"]))
    assemble(source, target, job(), lay_out(source, [b"1\n", b"2\n"], headers=["x\n", "x\n"]))
    assert target.names() == [OUT]


def test_rows_of_too_many_different_columns_stay_in_their_segments(monkeypatch):
    monkeypatch.setattr(assembly, "_MOST_PARTS", 2)
    source, target = memory(), memory()
    with pytest.raises(AssemblyError, match="more than 2 different sets of columns and are kept in the run folder"):
        assemble(source, target, job(), lay_out(source, [b"1\n"] * 3, headers=["x\n", "y\n", "z\n"]))
    assert target.names() == []
    with pytest.raises(AssemblyError, match="more than 2 different sets of columns and are kept in the run folder"):
        assemble_tables([{"x": [1]}, {"x": ["a"]}, {"x": [b"a"]}, {"x": [True]}])


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
    with pytest.raises(AssemblyError, match=r"rows of mini-batch 0: it ends 3 bytes before the end"):
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
    with pytest.raises(AssemblyError, match="committed rows of mini-batch 0: their digest differs"):
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
    with pytest.raises(AssemblyError, match="their digest differs"):
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


EMPTY_FLOAT, EMPTY_TEXT = pa.nulls(1, pa.float64()), pa.nulls(1, pa.string())


PROMOTED = {
    "integers and floats": ([1], [0.5], pa.float64()),
    "narrow and wide integers": (pa.array([1], pa.int8()), pa.array([2], pa.int64()), pa.int64()),
    "a column that is null at first": ([None], ["a"], pa.string()),
    "a column that is null later": (["a"], [None], pa.string()),
    "text beside floats without a value": (["abc"], EMPTY_FLOAT, pa.string()),
    "floats without a value, then text": (EMPTY_FLOAT, ["abc"], pa.string()),
    "integers beside floats without a value": ([2**60 + 1], EMPTY_FLOAT, pa.int64()),
    "decimals beside floats without a value": ([Decimal("1.10")], EMPTY_FLOAT, pa.decimal128(3, 2)),
    "times beside floats without a value": ([datetime(2024, 1, 1)], EMPTY_FLOAT, pa.timestamp("us")),
    "structures beside floats without a value": ([{"a": 1}], EMPTY_FLOAT, pa.struct([("a", pa.int64())])),
    "no value at all": (EMPTY_FLOAT, EMPTY_FLOAT, pa.float64()),
    "no value of two types": (EMPTY_FLOAT, EMPTY_TEXT, pa.float64()),
    "decimals of two scales": ([Decimal("1.10")], [Decimal("1234.5")], pa.decimal128(6, 2)),
    "decimals that are long together": ([Decimal("9" * 36)], [Decimal("0." + "1" * 30)], pa.decimal256(66, 30)),
    "decimals and integers": ([Decimal("1.10")], [2**60 + 1], pa.decimal128(21, 2)),
}


@pytest.mark.parametrize(("first", "second", "expected"), PROMOTED.values(), ids=PROMOTED.keys())
def test_parquet_columns_become_the_type_that_holds_all_values(first, second, expected):
    table = pq.read_table(io.BytesIO(assemble_tables([{"x": first}, {"x": second}])))
    assert table.schema.field("x").type == expected
    assert table.schema.field("x").metadata is None
    assert table.column("x").to_pylist() == [*pa.array(first).to_pylist(), *pa.array(second).to_pylist()]


def test_parquet_columns_that_some_mini_batches_lack_are_null_there():
    table = pq.read_table(io.BytesIO(assemble_tables([{"a": [1]}, {"b": ["x"], "a": [2]}])))
    assert table.to_pydict() == {"a": [1, 2], "b": [None, "x"]}


def test_tables_with_many_sparse_columns_are_compared_by_few_steps(monkeypatch):
    steps = []
    unify = pa.unify_schemas
    monkeypatch.setattr(pa, "unify_schemas", lambda *given, **options: steps.append(1) or unify(*given, **options))
    columns = Columns()
    for number in range(500):
        empty = [bool(number >> place & 1) for place in range(9)]
        fields = [
            pa.field(f"c{place}", pa.float64(), metadata=NO_VALUE if has else None) for place, has in enumerate(empty)
        ]
        columns.add(pa.schema(fields), mini_batch=number)
    assert columns.schema() == pa.schema([(f"c{place}", pa.float64()) for place in range(9)])
    assert len(steps) < 20


UNLIKE = {  # columns of two mini-batches, and what of them is said
    "integers and text": ([1], ["x"], r'in column "x" \(string, before: int64\)'),
    "decimals and floats": ([Decimal("1.10")], [0.5], r'in column "x" \(double, before: decimal128\(3, 2\)\)'),
    "floats and decimals": ([0.5], [Decimal("1.10")], r'in column "x" \(decimal128\(3, 2\), before: double\)'),
    "lists of decimals and of floats": ([[Decimal("1.1")]], [[0.5]], r'in column "x" \(list<.*double>, before: list<'),
    "structures": ([{"a": Decimal("1.1")}], [{"a": 0.5}], r'in column "x" \(struct<a: double>, before: struct<'),
    "times with and without a zone": (
        [datetime(2024, 1, 1)],
        [datetime(2024, 1, 1, tzinfo=UTC)],
        r'in column "x" \(timestamp\[us, tz=UTC\], before: timestamp\[us\]\)',
    ),
    "integers that a float cannot hold": ([2**53 + 1], [0.5], 'column "x" of mini-batch 0 cannot be converted'),
}


@pytest.mark.parametrize(("first", "second", "text"), UNLIKE.values(), ids=UNLIKE.keys())
def test_parquet_columns_that_do_not_go_together_are_reported_and_kept_in_files(first, second, text):
    source, target = memory(), memory()
    blocks = [parquet({"n": [number], "x": each}) for number, each in enumerate((first, second, EMPTY_FLOAT, first))]
    with pytest.raises(AssemblyError, match=text) as caught:
        assemble(source, target, job("parquet"), lay_out(source, blocks, rows=[1] * 4))
    assert re.search(r'; the rows are kept in 2 files in "memory:.*/out\.txt\.parts", one for each', str(caught.value))
    assert target.names() == ["out.txt.parts/1.txt", "out.txt.parts/2.txt"]
    tables = [pq.read_table(io.BytesIO(target.get(name))).to_pydict() for name in target.names()]
    assert tables == [{"n": [0, 2, 3], "x": [*first, None, *first]}, {"n": [1], "x": second}]


@pytest.mark.parametrize("damage", [slice(0, -1), slice(None, 3)], ids=["cut at the end", "hardly begun"])
def test_parquet_that_cannot_be_read_names_the_segment(damage):
    source = memory()
    data = parquet({"x": [1]})[damage]
    source.put("s", data)
    with pytest.raises(AssemblyError, match="segment s has no readable Parquet data for mini-batch 0"):
        assemble(source, memory(), job("parquet"), [Piece(0, "s", 0, len(data), 1, "")])


def test_a_parquet_footer_longer_than_the_first_read_is_read_whole(monkeypatch):
    monkeypatch.setattr(assembly, "_TAIL", 16)
    data = assemble_tables([{"a": [1]}, {"a": [2]}])
    assert pq.read_table(io.BytesIO(data)).to_pydict() == {"a": [1, 2]}


class FewDescriptors(LocalStore):
    """A store on a machine that can have few files open at once."""

    def __init__(self, path, *, most, error):
        super().__init__(path)
        self._most, self._error, self._files = most, error, []

    def open(self, name):
        self._files = [each for each in self._files if not each.closed]
        if len(self._files) >= self._most:
            raise OSError(self._error, "Too many open files")
        self._files.append(super().open(name))
        return self._files[-1]


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE])
@pytest.mark.parametrize("most", [1, 3])
def test_a_file_is_assembled_with_few_descriptors(tmp_path, most, error):
    source = FewDescriptors(str(tmp_path / "segments"), most=most, error=error)
    pieces = lay_out(source, [b"%d\n" % number for number in range(40)], segment_of=lambda number: number % 8)
    target = LocalStore(str(tmp_path / "out"))
    assert assemble(source, target, job(), pieces).rows == 40
    assert target.get(OUT) == b"".join(b"%d\n" % number for number in range(40))


def test_no_descriptor_at_all_is_an_error(tmp_path):
    source = FewDescriptors(str(tmp_path / "segments"), most=0, error=errno.EMFILE)
    pieces = lay_out(source, [b"1\n"])
    with pytest.raises(OSError, match="Too many open files"):
        assemble(source, memory(), job(), pieces)


@pytest.mark.parametrize("package", ["pyarrow", "pyarrow.parquet"])
def test_an_output_that_cannot_be_assembled_here_ends_the_run_before_it_lists_anything(monkeypatch, tmp_path, package):
    monkeypatch.setitem(sys.modules, package, None)
    there = replace(job("parquet"), run_uri=str(tmp_path / "run"))
    there = replace(there, output=replace(there.output, uri=str(tmp_path / "out")))

    def cut(_):
        raise AssertionError("the inputs are listed")

    async def verdict():
        coordinator = Coordinator(there, cut=cut)
        await coordinator.open()
        return await coordinator.plan_complete()

    found = asyncio.run(verdict())
    assert found is not None
    assert found.reason == "OutputError"
    assert re.match(
        r'output\.format "parquet" needs the Python package "pyarrow" where the coordinator runs, and it cannot be '
        r"imported \(.+\); install it there or choose another format$",
        found.message,
    )


@pytest.mark.parametrize("changes", [{"format": "csv"}, {"action": SUMMARY_ONLY}], ids=str)
def test_what_needs_no_package_is_not_refused_for_lack_of_it(monkeypatch, changes):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assembly.require_packages(replace(job("parquet"), output=replace(job("parquet").output, **changes)))
