"""Slices are kept compressed, and come back as they were."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_coordinator.payloads import Payloads


def kept(slices):
    payloads = Payloads()
    for each in slices:
        payloads.append(each)
    return payloads


@given(st.lists(st.binary(max_size=20).map(lambda each: each.replace(b"\n", b"")), max_size=400))
def test_every_slice_comes_back(slices):
    payloads = kept(slices)
    assert len(payloads) == len(slices)
    assert [payloads[number] for number in reversed(range(len(slices)))] == slices[::-1]


def test_there_is_no_slice_behind_the_last_one():
    with pytest.raises(IndexError):
        kept([b"[]"] * 200)[200]


def test_a_slice_takes_few_bytes():
    slices = (b'["/data/images/train/part-%04d/image-%08d.png"]' % (number // 1000, number) for number in range(50_000))
    tracemalloc.start()
    try:
        payloads = kept(slices)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / len(payloads) < 20
