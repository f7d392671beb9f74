"""Foreign text made safe to show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_protocol.text import printable

# Surrogates included: what a file name that is no UTF-8 becomes.
TEXTS = st.text(st.characters() | st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), max_size=60)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größer als ∞, 日本語, 👩‍🔬", "größer als ∞, 日本語, 👩‍🔬"),
        ("\x1b]0;title\x07\x9b31m", r"\x1b]0;title\x07\x9b31m"),
        ("caf\udce9.png", r"caf\xe9.png"),
        ("half \ud83d of a pair", r"half \ud83d of a pair"),
        ("user\u202egnp.exe\u2066", r"user\u202egnp.exe\u2066"),
        ("two\r\nlines\tand\u2028more", "two  lines and more"),
        ("nul\0 bom\ufeff", r"nul\x00 bom\ufeff"),
    ],
)
def test_what_would_be_misunderstood_becomes_its_escape(text, shown):
    assert printable(text, 100) == shown


def test_lines_and_tabs_of_a_traceback_stay():
    assert printable("a\n\tb\r\x1b", 100, lines=True) == "a\n\tb \\x1b"


@given(text=TEXTS, limit=st.integers(1, 40), lines=st.booleans())
def test_a_shown_text_is_bounded_encodes_everywhere_and_stays_as_it_is(text, limit, lines):
    shown = printable(text, limit, lines=lines)
    assert len(shown) <= limit
    assert shown.encode().decode() == shown
    assert printable(shown, limit, lines=lines) == shown
    assert lines or len(shown.splitlines()) <= 1
