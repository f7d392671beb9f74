"""The animated picture of the README: its script runs, and what is committed shows what it records."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from docsite.recording import COMMANDS, Screen, animation, prepared, record, shortened
from manifests import ROOT

COMMITTED = ROOT / "docs" / "recordings" / "digits.svg"


@pytest.fixture(scope="module", name="recorded")
def a_new_recording(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("recording")
    prepared(ROOT, folder)
    return animation(shortened(list(record(folder))))


def at_the_end(svg: str) -> list[str]:
    """Return the lines that stay: those of readers who want no motion."""
    groups = [each for each in ET.fromstring(svg).iter() if "end" in each.get("class", "").split()]
    return ["".join(each.itertext()) for each in groups]


def test_the_committed_recording_ends_as_a_new_one_does(recorded: str):
    shown = at_the_end(recorded)
    assert [line for line in shown if line.startswith("$ ")] == [f"$ {each}" for each in COMMANDS]
    assert "digit-identification: Succeeded. 260 of 260 mini-batches succeeded." in shown
    assert at_the_end(COMMITTED.read_text()) == shown


def test_a_recording_moves_is_small_and_loads_nothing(recorded: str):
    for svg in (recorded, COMMITTED.read_text()):
        assert svg.count("@keyframes") >= len(COMMANDS)
        assert len(svg) < 200_000
        assert re.findall(r"https?://[^'\"]+", svg) == ["http://www.w3.org/2000/svg"]
        assert not re.search(r"<script|@import|url\(", svg)


@pytest.mark.parametrize(
    ("printed", "lines"),
    [
        ("one\r\ntwo", ["one", "two"]),
        ("10 %\r\x1b[2K20 %", ["20 %"]),
        ("a\r\nb\r\nc\x1b[1A\x1b[2Kd", ["a", "d", "c"]),
        ("\x1b[?25lbar\r\n\x1b[1A\x1b[2K\x1b[?25h", ["", ""]),
        ("\x1b[32m$\x1b[0m ls", ["\x1b[32m$\x1b[0m ls"]),
    ],
)
def test_a_screen_shows_what_a_terminal_does(printed: str, lines: list[str]):
    screen = Screen()
    screen.feed(printed)
    assert screen.lines == lines


def test_a_pause_is_shortened_in_which_only_a_clock_moves():
    waiting = [(0.5 * n, (f"{chr(0x2801 + n)} 0/5 0:00:0{n}",)) for n in range(9)]
    frames = [*waiting, (4.5, ("1/5 0:00:05",)), (5.0, ("2/5 0:00:05",)), (60.0, ("3/5 0:01:00",))]
    kept = shortened(frames)
    assert [lines[0][:3] for _, lines in kept][-3:] == ["1/5", "2/5", "3/5"]
    before, first, second, third = (moment for moment, _ in kept[-4:])
    assert 0 < first - before < 1.3
    assert second - first == pytest.approx(0.5)
    assert 1 < third - second < 1.3


def test_a_command_that_fails_ends_the_recording(tmp_path: Path):
    with pytest.raises(Exception, match=r"longshore run digits"):
        list(record(tmp_path))
