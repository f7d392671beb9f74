"""Where records begin and end, against a plain reading of the rules, character by character."""

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_protocol import records
from longshore_protocol.job import TabularFormat
from longshore_protocol.records import aligned_range, each_record, header_line, is_splittable, record_starts

PLAIN, QUOTED = TabularFormat("csv"), TabularFormat("csv", multi_line=True)


def ends(text: bytes, format: TabularFormat = PLAIN, start: int = 0) -> list[tuple[int, bool]]:
    return [(end, is_blank) for end, is_blank, _ in each_record(io.BytesIO(text), format, start=start)]


def starts(text: bytes, step: int, start: int = 0) -> list[int]:
    return list(record_starts(io.BytesIO(text), QUOTED, start=start, step=step))


def ends_by_character(text: bytes, separator: str = ",") -> list[int]:
    """Return the ends of all records, as a state machine finds them."""
    found, state, position = [], "field start", 0
    while position < len(text):
        char = text[position : position + 1]
        if state == "quoted":
            if char == b'"' and text[position + 1 : position + 2] == b'"':
                position += 1
            elif char == b'"':
                state = "field"
        elif char == b"\n":
            found.append(position + 1)
            state = "field start"
        elif char == b'"' and state == "field start":
            state = "quoted"
        elif char == b"\r" or text[: position + 1].endswith(separator.encode()):
            state = "field start"
        else:
            state = "field"
        position += 1
    return found if found[-1:] == [len(text)] or not text else [*found, len(text)]


csv_text = st.lists(st.sampled_from(['"', '""', ",", "\n", "\r\n", "a", "b;c", 'x"y', '"q\n"', "||"])).map("".join)


def test_encodings_whose_newline_is_one_byte_are_splittable():
    for encoding in ("utf-8", "UTF8", "utf-8-sig", "latin-1", "cp1252", "shift_jis", "gb18030", "ascii"):
        assert is_splittable(TabularFormat("csv", encoding=encoding)), encoding
    for encoding in ("utf-16", "utf-16-le", "utf-32", "cp500", "iso2022_jp", "hz", "utf-7"):
        assert not is_splittable(TabularFormat("csv", encoding=encoding)), encoding
    with pytest.raises(LookupError, match="utf-99"):
        is_splittable(TabularFormat("csv", encoding="utf-99"))


@given(st.text(alphabet="ab\r\n", max_size=30).map(str.encode), st.integers(1, 12))
def test_each_line_is_in_the_one_slice_that_its_first_byte_is_in(text, step):
    found = []
    for nominal in range(0, len(text), step):
        start, end = aligned_range(io.BytesIO(text), nominal, min(nominal + step, len(text)), len(text))
        lines = io.BytesIO(text[start:end]).readlines()
        for line in lines:
            assert nominal <= start < nominal + step
            found.append(line)
            start += len(line)
    assert found == io.BytesIO(text).readlines()


@given(csv_text.map(str.encode))
def test_a_bound_between_records_is_moved_nowhere(text):
    bounds = [0, *(end for end, _ in ends(text, QUOTED))]
    for start, end in pairwise(bounds):
        assert aligned_range(io.BytesIO(text), start, end, len(text)) == (start, end)


@pytest.mark.parametrize("long", [1, 1 << 12])
@pytest.mark.parametrize("separator", [",", ";", "||"])
@given(text=csv_text)
def test_records_end_where_a_state_machine_states(long, separator, text):
    quoted = TabularFormat("csv", multi_line=True, separator=separator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_LONG", long)
        assert [end for end, _ in ends(text.encode(), quoted)] == ends_by_character(text.encode(), separator)


@pytest.mark.parametrize("long", [1, 1 << 12])
@pytest.mark.parametrize("block", [1, 7, 1 << 17])
@given(text=csv_text.map(str.encode), step=st.integers(1, 20), skip=st.integers(0, 2))
def test_starts_are_the_first_ones_behind_each_step(long, block, text, step, skip):
    bounds = [0, *ends_by_character(text)]
    begin = bounds[min(skip, len(bounds) - 1)]
    targets = range((begin // step + 1) * step, len(text) + step, step)
    wanted = sorted({next((bound for bound in bounds if bound >= target), len(text)) for target in targets} - {begin})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_LONG", long)
        patch.setattr(records, "_BLOCK", block)
        assert starts(text, step, begin) == [bound for bound in wanted if bound > begin]


def test_newlines_in_quotes_count_without_multi_line():
    text = b'a,"b\nc"\nd\n'
    assert ends(text) == [(5, False), (8, False), (10, False)]
    assert ends(text, QUOTED) == [(8, False), (10, False)]
    assert ends(text, TabularFormat("jsonl", multi_line=True)) == ends(text)


def test_a_stray_quote_does_not_turn_the_file_inside_out():
    text = b'3.5" pipe,1\n"two\nlines",2\n' * 1000
    assert len(ends(text, QUOTED)) == 2000
    assert starts(text, 10_000)[0] == 10_010  # the first end of a record behind 10,000


def test_a_byte_order_mark_does_not_hide_a_quote():
    text = b'\xef\xbb\xbf"a\nb",c\nd,e\n'
    assert header_line(io.BytesIO(text), QUOTED) == text[:11]
    assert starts(text, 1) == [11, 15]


def test_blank_lines_are_distinguished_from_records():
    assert [blank for _, blank in ends(b"\n \t\r\na\n,\n")] == [True, True, False, False]
    tabs = TabularFormat("csv", separator="\t")
    assert [blank for _, blank in ends(b"\t\n \n", tabs)] == [False, True]
    assert [blank for _, blank in ends(b'"\n\n"\n', QUOTED)] == [False]


def test_an_unclosed_quote_takes_the_rest():
    assert ends(b'a\n"b\nc\n', QUOTED) == [(2, False), (7, False)]


def test_the_header_is_all_up_to_the_first_record():
    assert header_line(io.BytesIO(b"a,b\r\n1,2\n"), PLAIN) == b"a,b\r\n"
    assert header_line(io.BytesIO(b"\xef\xbb\xbf\n \na,b\n1,2\n"), PLAIN) == b"\xef\xbb\xbf\n \na,b\n"
    assert header_line(io.BytesIO(b'"a\n1",b\n1,2\n'), QUOTED) == b'"a\n1",b\n'
    assert header_line(io.BytesIO(b"a,b"), PLAIN) == b"a,b"
    assert header_line(io.BytesIO(b"\n"), PLAIN) == b""
