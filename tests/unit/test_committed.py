"""Where the committed rows lie, read from a ledger's records into a few bytes a mini-batch."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_coordinator.committed import Committed, Piece
from longshore_protocol.segments import decode_digests, digest_of, encode_digests, select_digests


def raw(number, *, attempt=1, offset=0, length=4, rows=1, header=-1):
    return [number, attempt, offset, length, rows, 1, header, 0, 1_000_000, 4, 3, 2]


def record(*raws, segment="state/segments/w0.1.x-000001", headers=(), **more):
    return {"done": {"worker": "w0", "segment": segment, "headers": list(headers), "mini_batches": list(raws), **more}}


def test_rows_come_in_mini_batch_order_with_their_segment_header_and_digest():
    digests = [digest_of(b"b"), digest_of(b"a")]
    records = [
        {"replayed": {}},
        record(raw(3, header=0), headers=["x,y\n"], segment="state/segments/w1.1.y-000012", bytes=4),
        record(raw(2, offset=4, rows=2), raw(0, header=0), headers=["x\n"], bytes=8, digests=encode_digests(digests)),
        {"tried": {}},
    ]
    assert list(Committed.of(records)) == [
        Piece(0, "state/segments/w0.1.x-000001", 0, 4, 1, "x\n", 8, digest_of(b"a")),
        Piece(2, "state/segments/w0.1.x-000001", 4, 4, 2, "", 8, digest_of(b"b")),
        Piece(3, "state/segments/w1.1.y-000012", 0, 4, 1, "x,y\n", 4, b""),
    ]


def test_the_first_completion_of_a_mini_batch_counts():
    pieces = Committed.of([record(raw(1, offset=7)), record(raw(1, offset=9, attempt=2), segment="other")])
    assert len(pieces) == 1
    assert [(piece.segment, piece.offset) for piece in pieces] == [("state/segments/w0.1.x-000001", 7)]


@pytest.mark.parametrize("name", ["s", "s-1", "s-000001-", "w-1234567", "w-000000", "-000001", "w-٣٣٣٣٣٣"])
def test_every_name_of_a_segment_is_kept_as_it_was(name):
    assert [piece.segment for piece in Committed.of([record(raw(0), segment=name)])] == [name]


@given(st.lists(st.integers(0, 30), unique=True))
def test_each_committed_mini_batch_is_there_once(numbers):
    pieces = Committed.of(record(raw(number, offset=number)) for number in numbers)
    assert [(piece.mini_batch, piece.offset) for piece in pieces] == [(each, each) for each in sorted(numbers)]
    assert len(pieces) == len(numbers)


CHANGES = {
    "another place": record(raw(0, offset=1), bytes=8),
    "another segment": record(raw(0), bytes=8, segment="state/segments/w0.1.x-000002"),
    "another header": record(raw(0, header=0), bytes=8, headers=["x\n"]),
    "another mini-batch": record(raw(1), bytes=8),
    "other rows": record(raw(0), bytes=8, digests=encode_digests([digest_of(b"x")])),
}


@pytest.mark.parametrize("other", CHANGES.values(), ids=CHANGES.keys())
def test_the_digest_distinguishes_sets_of_rows(other):
    assert Committed.of([other]).digest() != Committed.of([record(raw(0), bytes=8)]).digest()
    assert Committed.of([other]).digest() == Committed.of([other]).digest()


def test_digests_of_only_some_results_are_refused():
    with pytest.raises(ValueError, match="expected 2 digests"):
        Committed.of([record(raw(0), raw(1), digests=encode_digests([digest_of(b"x")]))])


def test_digests_can_be_selected_without_being_read():
    digests = [digest_of(bytes([number])) for number in range(5)]
    chosen = select_digests(encode_digests(digests), [0, 3])
    assert decode_digests(chosen, count=2) == [digests[0], digests[3]]
    assert select_digests("", [0, 3]) == ""


def test_a_mini_batch_takes_less_than_60_bytes():
    digests = encode_digests([digest_of(b"x")] * 100)
    records = (
        record(
            *(raw(start + number) for number in range(100)), digests=digests, segment=f"state/segments/w-{start:06d}"
        )
        for start in range(0, 20_000, 100)
    )
    tracemalloc.start()
    try:
        pieces = Committed.of(records)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / len(pieces) < 60
