"""What a script prints, repeated for whoever reads the logs of its container."""

import os

import pytest

from longshore_host.echo import Echo


@pytest.fixture
def echo(tmp_path):
    """A log that is followed from its fifth byte, and what was repeated of it."""
    log, out = tmp_path / "stdout.txt", tmp_path / "out"
    log.write_text("old: ")
    number = os.open(out, os.O_CREAT | os.O_WRONLY)
    found = Echo()
    found.follow(str(log), start=5, to=number)
    yield found, log, out
    os.close(number)


def test_what_is_added_is_repeated_once(echo):
    found, log, out = echo
    for text in ("one ", "two "):
        with log.open("a") as file:
            file.write(text)
        found.copy()
        found.copy()
    assert out.read_text() == "one two "


def test_a_log_that_was_cut_down_is_continued_behind_what_is_left(echo):
    found, log, out = echo
    log.write_text("old: one two three ")
    found.copy()
    log.write_text("three ")
    found.copy()
    with log.open("a") as file:
        file.write("four")
    found.copy()
    assert out.read_text() == "one two three four"


def test_a_log_or_a_reader_that_does_not_exist_any_more_is_no_error(echo, tmp_path):
    found, log, _ = echo
    log.unlink()
    found.copy()
    reading, writing = os.pipe()
    os.close(reading)
    broken = tmp_path / "broken"
    broken.write_text("x")
    found.follow(str(broken), start=0, to=writing)
    found.copy()
    os.close(writing)


def test_a_full_pipe_delays_nothing_and_is_filled_again_when_it_is_read(tmp_path):
    log, found = tmp_path / "stdout.txt", Echo()
    written = os.urandom(300_000)
    log.write_bytes(written)
    reading, writing = os.pipe()
    found.follow(str(log), start=0, to=writing)
    copied = b""
    while len(copied) < len(written):  # a pipe holds 64 KiB
        found.copy()
        copied += os.read(reading, 65536)
    assert copied == written
    os.close(reading)
    os.close(writing)
