"""One sentence says how a script ended; a traceback says it in its own words."""

import signal
import subprocess
import sys

import pytest

from longshore_host.script_end import last_line, sentence, tail, traceback_line

PLAIN = 'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    f()\n'


def result_message(tmp_path, code):
    """What Python itself writes to stderr of a script."""
    script = tmp_path / "script.py"
    script.write_text(code)
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("raise ValueError('no\\nmore')", "ValueError: no"),
        ("raise KeyError", "KeyError"),
        ("try:\n    1/0\nexcept Exception as e:\n    raise RuntimeError('later') from e", "RuntimeError: later"),
        ("def f(:\n    pass", "SyntaxError: invalid syntax"),
        (
            "try:\n    1/0\nexcept Exception as e:\n    raise ExceptionGroup('both', [e, TypeError('x')])",
            "ExceptionGroup: both (2 sub-exceptions)",
        ),
        ("import atexit, sys\natexit.register(lambda: sys.stderr.write('bye\\n'))\nraise ValueError('no')",
         "ValueError: no"),
    ],
)  # fmt: skip
def test_a_traceback_is_reported_by_the_line_that_names_the_exception(tmp_path, code, line):
    assert traceback_line(result_message(tmp_path, code)) == line


def test_the_last_of_several_tracebacks_counts():
    assert traceback_line(PLAIN + "OSError: tried again\n" + PLAIN + "OSError: gave up\n") == "OSError: gave up"


@pytest.mark.parametrize("text", ["", "usage: a.py\n", PLAIN, "an Error: of the user's own\n"])
def test_where_there_is_no_traceback_there_is_no_line(text):
    assert traceback_line(text) is None


def test_a_line_of_megabytes_is_cut():
    assert len(traceback_line(PLAIN + "ValueError: " + "x" * 10**6)) == 500
    assert len(last_line("x" * 10**6)) == 500


@pytest.mark.parametrize(
    ("state", "code", "options", "message"),
    [
        ("succeeded", 0, {}, "The script a.py ended with exit code 0."),
        ("failed", 1, {"stderr": PLAIN + "KeyError: 'x'\n"}, "KeyError: 'x'"),
        ("failed", 3, {}, "The script a.py ended with exit code 3."),
        ("failed", 2, {"stderr": "usage: a.py\na.py: error: no\n\n"},
         "The script a.py ended with exit code 2. Its last line on stderr: a.py: error: no"),
        ("failed", -signal.SIGSEGV, {}, "The script a.py was killed by SIGSEGV."),
        ("failed", -40, {}, "The script a.py was killed by signal 40."),
        ("failed", -signal.SIGKILL, {"killed_for_memory": True}, "The script a.py was killed because memory ran out."),
        ("timed_out", -15, {"timeout": 1.5}, "The script a.py took longer than its limit of 1.5 s."),
        ("cancelled", 0, {"stderr": PLAIN + "KeyboardInterrupt\n"}, "The script a.py was cancelled."),
    ],
)  # fmt: skip
def test_every_end_has_its_sentence(state, code, options, message):
    assert sentence("a.py", state, code, **{"stderr": "", **options}) == message


def test_only_what_this_execution_wrote_is_read(tmp_path):
    path = tmp_path / "stderr.txt"
    path.write_bytes(b"earlier\n\xff now\n")
    assert tail(str(path), start=8) == "\N{REPLACEMENT CHARACTER} now\n"
    assert tail(str(path), start=10**6) == "earlier\n\N{REPLACEMENT CHARACTER} now\n"  # the log was cut down meanwhile
    assert tail(str(tmp_path / "absent"), start=0) == ""
