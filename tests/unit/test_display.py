"""What `longshore run` prints at the end, on a terminal and elsewhere."""

import io
from datetime import UTC, datetime

import pytest

from longshore_cli.display import summary
from longshore_cli.terminal import show
from longshore_planner.status import step_status
from longshore_protocol.snapshot import FirstError, Snapshot

NAMED = FirstError("UserError", "ValueError: no", "worker-0", 7, "Traceback", items=("/in/a.png", "/in/b.png"))


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("warns", "kind", "no_color", "is_yellow"),
    [
        (True, Terminal, "", True),
        (True, Terminal, "1", False),
        (True, io.StringIO, "", False),
        (False, Terminal, "", False),
    ],
)
def test_a_success_with_failures_is_yellow_where_the_terminal_may_have_colors(
    monkeypatch, warns, kind, no_color, is_yellow
):
    monkeypatch.setenv("NO_COLOR", no_color)
    stream = kind()
    show("verdict\n  counts", stream=stream, warns=warns)
    assert stream.getvalue() == ("\x1b[33mverdict\x1b[0m\n  counts\n" if is_yellow else "verdict\n  counts\n")


def test_the_first_error_names_the_items_of_its_mini_batch():
    snapshot = Snapshot("Succeeded", "r", "/run", "/out", 1, reason="SucceededWithFailures", first_error=NAMED)
    status = step_status(snapshot, previous=None, now=datetime.now(UTC))
    lines = summary(status, name="score", run_dir="/run").splitlines()
    assert lines[0] == "score: SucceededWithFailures."
    assert "    its items: /in/a.png, /in/b.png" in lines
    assert status.to_dict()["firstError"]["items"] == ["/in/a.png", "/in/b.png"]
