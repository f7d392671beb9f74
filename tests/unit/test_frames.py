"""Frames come out of a stream as they went in, wherever the stream was split; what is none is refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_protocol.frames import MAX_HEADER, Decoder, FrameError, decode, encode

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(st.none() | st.booleans() | NUMBERS | st.text(), lambda inner: st.lists(inner, max_size=3))
HEADERS = st.lists(VALUES, min_size=1, max_size=4)
FRAMES = st.lists(st.tuples(HEADERS, st.binary(max_size=40)), max_size=6)


def split(data, places):
    cuts = sorted({place % (len(data) + 1) for place in places})
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(frames=FRAMES, places=st.lists(st.integers(0, 10_000), max_size=12))
def test_frames_survive_any_split_of_the_stream(frames, places):
    stream = b"".join(encode(header, body) for header, body in frames)
    decoder = Decoder()
    assert [frame for part in split(stream, places) for frame in decoder.feed(part)] == frames


@given(frames=FRAMES)
def test_frames_survive_a_stream_of_single_bytes(frames):
    decoder = Decoder()
    stream = b"".join(encode(header, body) for header, body in frames)
    assert [frame for byte in stream for frame in decoder.feed(bytes([byte]))] == frames


@given(header=HEADERS, body=st.binary(max_size=40), data=st.data())
def test_a_frame_comes_with_its_last_byte_and_not_before(header, body, data):
    frame = encode(header, body)
    missing = data.draw(st.integers(1, len(frame)))
    decoder = Decoder()
    assert decoder.feed(frame[:-missing]) == []
    assert decoder.feed(frame[-missing:]) == [(header, body)]


@given(header=HEADERS, body=st.binary(max_size=40))
def test_exactly_one_frame_is_read_at_once(header, body):
    frame = encode(header, body)
    assert decode(frame) == (header, body)
    for other in (b"", frame[:-1], frame + b"\0", frame + frame):
        with pytest.raises(FrameError):
            decode(other)


def test_bodies_are_returned_unchanged():
    body = bytes(range(256)) * 1000
    assert decode(encode(["done", 1], body)) == (["done", 1], body)


def test_text_of_any_language_and_names_that_are_no_utf_8_survive():
    header = ["failed", "größer als ∞", "\udcff", "\0"]
    assert decode(encode(header)) == (header, b"")


@given(data=st.binary(min_size=8, max_size=200))
def test_garbage_is_refused_or_waited_for_and_nothing_is_made_up(data):
    try:
        frames = Decoder().feed(data)
    except FrameError:
        return
    assert sum(8 + len(body) for _, body in frames) <= len(data)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (struct.pack(">II", MAX_HEADER + 1, 0), f"a frame announces a header of {MAX_HEADER + 1} bytes"),
        (b"GET / HTTP/1.1\r\n", "a frame announces a header of"),
        (struct.pack(">II", 4, 0) + b"[1,}", "a frame's header is not JSON"),
        (struct.pack(">II", 0, 3) + b"abc", "a frame's header is not JSON"),
        (struct.pack(">II", 3, 0) + b'"\xff"', "a frame's header is not JSON"),
    ],
    ids=["too long", "another protocol", "no JSON", "no header", "no UTF-8"],
)
def test_what_is_no_frame_is_refused_with_a_sentence(data, sentence):
    with pytest.raises(FrameError, match=sentence):
        Decoder().feed(data)


def test_frames_before_the_garbage_do_not_hide_it():
    with pytest.raises(FrameError):
        Decoder().feed(encode(["ready", 0.1]) + b"\xff" * 8)


def test_a_header_that_does_not_fit_into_json_is_refused():
    with pytest.raises(TypeError):
        encode(["done", object()])
