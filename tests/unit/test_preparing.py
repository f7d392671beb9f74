"""The display of a preparation: its activities with the elapsed time, and nothing if nothing is built."""

import io
import re

import pytest

from longshore_cli.preparing import Preparation

NOTE = "azureml-core is omitted: its modules are replaced by Longshore's own"


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines(stream: io.StringIO) -> list[str]:
    return [re.sub(r"^\d\d:\d\d:\d\d digits: ", "", line) for line in stream.getvalue().splitlines()]


def test_lines_have_the_activity_and_the_elapsed_time():
    stream, clock = io.StringIO(), Clock()
    with Preparation(stream, "digits", quiet=False, notes=[NOTE], clock=clock) as shown:
        shown.report("resolving 2 requirements")
        clock.now += 2
        shown.report("installing 8 packages: numpy")
        shown.report("installing 8 packages: numpy")
        for _ in range(25):  # a question every second
            clock.now += 1
            assert not shown.is_cancelled()
    assert lines(stream) == [
        NOTE,
        "preparing environment: resolving 2 requirements",
        "preparing environment: installing 8 packages: numpy (2 s)",
        "preparing environment: installing 8 packages: numpy (12 s)",
        "preparing environment: installing 8 packages: numpy (22 s)",
        "environment ready after 27.0 s",
    ]


def test_many_names_are_cut():
    stream = io.StringIO()
    with Preparation(stream, "digits", quiet=False, clock=Clock()) as shown:
        shown.report("installing 90 packages: " + ", ".join(f"package-{number}" for number in range(90)))
    assert len(lines(stream)[0]) < 130
    assert lines(stream)[0].endswith("...")


def test_nothing_is_shown_where_nothing_is_built_or_where_all_is_quiet():
    stream = io.StringIO()
    with Preparation(stream, "digits", quiet=False, notes=[NOTE], clock=Clock()) as shown:
        assert not shown.is_cancelled()
    with Preparation(stream, "digits", quiet=True, notes=[NOTE], clock=Clock()) as shown:
        shown.report("resolving 2 requirements")
        assert not shown.is_cancelled()
    assert stream.getvalue() == ""


def test_a_failure_is_not_called_ready():
    stream = io.StringIO()

    def prepare() -> None:
        with Preparation(stream, "digits", quiet=False, clock=Clock()) as shown:
            shown.report("resolving 2 requirements")
            raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        prepare()
    assert lines(stream) == ["preparing environment: resolving 2 requirements"]


def test_a_terminal_shows_one_line_that_is_replaced():
    stream = Terminal()
    with Preparation(stream, "digits", quiet=False, clock=Clock()) as shown:
        shown.report("resolving [red]2[/red] requirements")
        shown.report("installing 8 packages")
    text = stream.getvalue()
    assert "digits: preparing environment: installing 8 packages" in text
    assert text.rstrip().endswith("digits: environment ready after 0.0 s")
