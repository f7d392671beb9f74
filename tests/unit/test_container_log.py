"""What of a script's failures, warnings and output reaches the log of its container, and in which form."""

import json
import logging
import os
import re
import subprocess
import sys
import warnings
from contextlib import contextmanager

import pytest

from longshore_host import records
from longshore_host.container_log import ContainerLog
from longshore_host.records import Records

MOMENT = 1_767_323_045.678
TIME = "2026-01-02T03:04:05.678Z"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Log:
    """A container's log, with the records of process 3."""

    def __init__(self, what="failures"):
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        self.log = ContainerLog(what, to=self._writing, clock=lambda: MOMENT)
        self.clock = Clock()
        (passed,) = self.log.to_pass() or (None,)
        self.records = Records(passed, 3, clock=self.clock)

    def send(self, raw):
        (passed,) = self.log.to_pass()
        os.write(passed, raw)

    def read(self):
        try:
            return os.read(self._reading, 2**20).decode()
        except BlockingIOError:
            return ""

    def lines(self):
        self.log.take()
        return self.read().splitlines()

    def close(self):
        self.log.close()
        os.close(self._reading)
        os.close(self._writing)


@pytest.fixture
def log():
    found = Log()
    yield found
    found.close()


def test_a_record_is_one_line_with_time_level_process_and_mini_batch(log):
    log.records.mini_batch = 17
    log.records.add("WARNING", "a blurred image")
    log.records.add("ERROR", "attempt 1: UserError: no digit", mini_batch=4)
    log.records.mini_batch = None
    log.records.add("ERROR", "UserError: init() failed")
    assert log.lines() == [
        f"{TIME} WARNING process003 mini-batch=17 a blurred image",
        f"{TIME} ERROR process003 mini-batch=4 attempt 1: UserError: no digit",
        f"{TIME} ERROR process003 UserError: init() failed",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\r\nand more", "two lines  and more"),
        ("red \x1b[31mtext\x1b[0m", "red \\x1b[31mtext\\x1b[0m"),
        ("right\u202eleft", "right\\u202eleft"),
        ("a \udcff name", "a \\xff name"),
        ("https://me:pass@host/?sig=abc&x=1", "https://me:***@host/?sig=***&x=1"),
        ("nul\0 and bell\a", "nul\\x00 and bell\\x07"),
        ("\U0001f600 and é", "\U0001f600 and é"),
    ],
)
def test_texts_are_shown_without_control_characters_and_secrets(log, text, shown):
    log.records.add("WARNING", text)
    assert log.lines() == [f"{TIME} WARNING process003 {shown}"]


@pytest.mark.parametrize("character", ["x", '"', "\\", "\x1b", "é", "\U0001f600"])
def test_long_lines_are_cut_to_what_a_pipe_takes_at_once(log, character):
    log.records.add("WARNING", character * 100_000)
    (line,) = log.lines()
    assert line.endswith("…")
    assert 500 < len(line.encode()) < 4096


def test_records_above_the_rate_are_left_out_and_counted(log):
    for number in range(1000):
        log.records.add("WARNING", f"number {number}")
    lines = log.lines()
    assert len(lines) == 200
    assert lines[-1].endswith("number 199")
    log.clock.now += 1
    for number in range(1000):
        log.records.add("WARNING", f"again {number}")
    lines = log.lines()
    assert len(lines) == 21
    assert lines[0].endswith(
        "process003 800 records were left out, because too many came at once; all are in logs/user"
    )
    log.records.end()
    assert "980 records were left out" in log.lines()[0]


def test_neither_side_waits_for_a_full_pipe(log):
    for _ in range(30):
        log.clock.now += 60
        for number in range(200):
            log.records.add("WARNING", f"{number} " + "x" * 900)
        log.log.take()
    shown = log.read().splitlines()
    assert 50 < len(shown) < 100, "a pipe holds 64 KiB"
    assert all(each.startswith(f"{TIME} WARNING ") for each in shown)
    log.clock.now += 60
    log.records.add("WARNING", "after all that")
    lines = log.lines()
    assert re.fullmatch(rf"{TIME} WARNING \d+ lines were left out, because this log was not read", lines[0])


@pytest.mark.parametrize(
    "raw",
    [
        b"no JSON\n",
        b"[1, 2]\n",
        b'{"process": 3}\n',
        b'["3", "ERROR", null, 0, "text"]\n',
        b'[3, 7, null, 0, "text"]\n',
        b'[3, "ERROR", "17", 0, "text"]\n',
        b'[3, "ERROR", null, "all", "text"]\n',
        b'[3, "ERROR", null, 0, ["text"]]\n',
        b"\xff\xfe\n",
        b"x" * 60_000 + b"\n",
    ],
)
def test_what_a_script_writes_into_the_pipe_is_no_record_unless_it_looks_like_one(log, raw):
    log.send(raw)
    log.send(b'[3, "E\\u001bR", null, 0, "a\\nb"]\n')
    assert log.lines() == [f"{TIME} E\\x1bR process003 a b"]


def test_a_line_without_an_end_is_not_kept_in_memory(log):
    for _ in range(5):
        log.send(b"x" * 60_000)
        log.log.take()
    log.send(b"\n" + json.dumps([3, "ERROR", None, 0, "text"]).encode() + b"\n")
    assert log.lines() == [f"{TIME} ERROR process003 text"]


def test_the_end_of_a_process_follows_its_records(log):
    log.records.add("ERROR", "UserError: init() failed")
    log.log.ended(3, "the process ended with exit code 1")
    assert [each.partition("process003 ")[2] for each in log.read().splitlines()] == [
        "UserError: init() failed",
        "the process ended with exit code 1",
    ]


def test_none_means_no_pipe_and_no_line():
    log = Log("none")
    assert (log.log.to_select(), log.log.to_pass()) == ([], ())
    log.records.add("ERROR", "text")
    log.records.end()
    log.log.ended(3, "text")
    assert log.lines() == []
    log.close()


def test_a_log_that_is_closed_and_a_host_that_is_dead_are_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    Records(writing, 3).add("ERROR", "text")
    gone = ContainerLog("failures", to=writing)
    gone.ended(3, "text")
    gone.close()
    os.close(writing)


# --- in the process of a script -------------------------------------------------------------------------------------


@contextmanager
def watched(log):
    root, show = logging.getLogger(), warnings.showwarning
    records.watch_warnings(log.records)
    try:
        yield
    finally:
        warnings.showwarning = show
        root.handlers = [each for each in root.handlers if not isinstance(each, records._Handler)]


def test_warnings_of_loggers_are_records_and_less_is_not(log):
    with watched(log):
        logger = logging.getLogger("vision")
        logger.info("nothing")
        logger.warning("image %d is blurred", 7)
        logger.error("cannot score", exc_info=ValueError("no digit"))
    shown = [each.partition("Z ")[2] for each in log.lines()]
    assert shown == [
        "WARNING process003 vision: image 7 is blurred",
        "ERROR process003 vision: cannot score (ValueError: no digit)",
    ]


def run(log, script):
    (passed,) = log.log.to_pass()
    begin = "import sys\nfrom longshore_host import records\nsent = records.open_records(sys.argv[1], 3)\n"
    return subprocess.run(
        [sys.executable, "-c", begin + script, str(passed)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        pass_fds=[passed],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def test_warnings_of_python_are_records_and_printed_as_before(log):
    ended = run(log, "import warnings\nrecords.watch_warnings(sent)\nwarnings.warn('old API')")
    assert "UserWarning: old API" in ended.stderr
    (line,) = log.lines()
    assert line == f"{line[:24]} WARNING process003 UserWarning: old API (<string>:6)"


def test_all_that_python_code_prints_is_copied_by_lines(log):
    ended = run(
        log,
        """
sent.mini_batch = 5
records.copy_output(sent)
print("one", "two")
print("a", end=""); print("b"); print()
sys.stdout.write("x\\ny\\nz")
sys.stdout.write("\\n")
print("oops", file=sys.stderr)
sys.__stdout__.writelines(["p\\n", "q\\n"])
print("l" * 5000)
sys.stdout.buffer.write(b"raw\\n")
sys.stdout.flush()
print("no end", end="")
""",
    )
    assert ended.stdout == f"one two\nab\n\nx\ny\nz\np\nq\n{'l' * 5000}\nraw\nno end"
    assert ended.stderr == "oops\n"
    shown = [each.partition("Z ")[2] for each in log.lines()]
    stdout = [f"STDOUT process003 mini-batch=5 {each}" for each in ("one two", "ab", "x", "y", "z", "p", "q")]
    assert shown[:-1] == [*stdout[:5], "STDERR process003 mini-batch=5 oops", *stdout[5:]]
    assert shown[-1].startswith("STDOUT process003 mini-batch=5 lll")
    assert shown[-1].endswith("…")


def test_programs_that_a_script_starts_do_not_inherit_the_pipe(log):
    ended = run(
        log,
        """
import subprocess
check = "import os; os.fstat({})".format(sys.argv[1])
sys.exit(subprocess.run([sys.executable, "-c", check], close_fds=False).returncode)
""",
    )
    assert "Bad file descriptor" in ended.stderr


@pytest.mark.parametrize(
    ("trace", "found"),
    [
        ('Traceback:\n  File "/s/score.py", line 9, in run\n    x()\nE: m', " in score.py, line 9, in run"),
        ('  File "a.py", line 1, in f\n  File "b.py", line 2, in <module>\nE: m', " in b.py, line 2, in <module>"),
        ('  File "a.py", line 1\n    x x\nSyntaxError: m', ""),
        ("", ""),
        ("E: no frames", ""),
    ],
)
def test_the_position_of_an_error_is_that_of_its_last_frame(trace, found):
    assert records.position(trace) == found
