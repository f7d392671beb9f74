"""What waits to be reported, and when it is so much that it must be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_agent.outbox import FLUSH_BYTES, FLUSH_OUTCOMES, Outbox
from longshore_protocol import messages
from longshore_protocol.segments import decode_digests, digest_of
from longshore_protocol.wire import Completion, Failure

FAILURE = Failure(3, 1, 2, 0, "UserError", "ValueError: no", "", 1.0, 0.5, "log")


@pytest.fixture
def outbox():
    return Outbox("w0.1.x")


def done(mini_batch, *, succeeded=2, header=""):
    return [messages.DONE, mini_batch, 1, succeeded, 2, 1_000_000, 400, 300, 200, header]


def complete(outbox, mini_batch, rows=b"row\n", *, header=""):
    outbox.complete(done(mini_batch, header=header), process=4, rows=rows)


def test_an_empty_outbox_has_nothing_to_report(outbox):
    assert not outbox.is_full()
    assert outbox.batch.is_empty()


def test_a_result_is_reported_unchanged(outbox):
    complete(outbox, 7)
    assert outbox.batch.completed == [Completion(7, 1, 0, 4, 2, 2, -1, 4, 1_000_000, 400, 300, 200)]


@given(st.lists(st.tuples(st.binary(max_size=30), st.sampled_from(["", "a,b\n", "c\n"])), max_size=20))
def test_each_result_points_at_its_own_rows_and_its_own_header(results):
    outbox = Outbox("w0.1.x")
    for number, (rows, header) in enumerate(results):
        complete(outbox, number, rows, header=header)
    batch = outbox.take()
    segment = b"".join(batch.rows)
    assert len(segment) == batch.size
    assert len(set(batch.headers)) == len(batch.headers)
    for found, (rows, header) in zip(batch.completed, results, strict=True):
        assert segment[found.offset : found.offset + found.length] == rows
        assert (batch.headers[found.header] if found.header >= 0 else "") == header


def test_headers_count_as_much_as_rows(outbox):
    """Results of other columns each bring a header, and the coordinator takes no report of 64 MB."""
    for number in range(FLUSH_BYTES // 2**20):
        assert not outbox.is_full()
        complete(outbox, number, header=f"{number},".ljust(2**20, "x"))
    assert outbox.is_full()


def test_results_that_are_refused_are_failures_of_their_own_and_the_others_stay_as_they_were(outbox):
    for number in range(4):
        complete(outbox, number, b"row %d\n" % number)
    batch = outbox.take()
    rows = batch.seal()
    batch.refuse({1: "no", 3: "not this either", 9: "of none here"})
    assert [each.mini_batch for each in batch.completed] == [0, 2]
    assert batch.failed == [
        Failure(1, 1, 2, 4, "UserError", "no", "", 1.0, 0.0004, ""),
        Failure(3, 1, 2, 4, "UserError", "not this either", "", 1.0, 0.0004, ""),
    ]
    digests = decode_digests(batch.digests, count=2)
    for each, digest in zip(batch.completed, digests, strict=True):
        assert digest_of(rows[each.offset : each.offset + each.length]) == digest


def test_a_large_segment_is_reported_at_once(outbox):
    complete(outbox, 1, b"x" * (FLUSH_BYTES - 1))
    assert not outbox.is_full()
    complete(outbox, 2, b"x")
    assert outbox.is_full()


def test_many_small_results_are_reported_at_once(outbox):
    for number in range(FLUSH_OUTCOMES):
        assert not outbox.is_full()
        complete(outbox, number, b"")
    assert outbox.is_full()


def test_a_process_that_never_came_to_run_is_reported_at_once(outbox):
    outbox.init_failed(FAILURE._replace(mini_batch=-1))
    assert outbox.is_full()
    assert not outbox.batch.is_empty()


def test_failures_and_what_is_given_back_are_reported_too(outbox):
    outbox.fail(FAILURE)
    outbox.give_back(9, 2)
    batch = outbox.take()
    assert (batch.failed, batch.returned, batch.completed) == ([FAILURE], [[9, 2]], [])


def test_what_is_taken_is_removed_and_every_batch_has_a_segment_of_its_own(outbox):
    names = []
    for number in range(3):
        complete(outbox, number)
        names.append(outbox.take().segment)
        assert outbox.batch.is_empty()
    assert names == [f"state/segments/w0.1.x-00000{number}" for number in (1, 2, 3)]
    assert Outbox("w0.1.y").take().segment not in names
