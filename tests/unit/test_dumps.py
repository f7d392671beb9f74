"""What is read back from the stderr of a process that crashed, or whose stacks were dumped before it was killed."""

import os
import subprocess
import sys

import pytest

from longshore_host import dumps, script_end

FLOATING_POINT = "Floating-point" if sys.version_info >= (3, 13) else "Floating point"  # as faulthandler spells it
CRASHES = {
    "of a segmentation fault": ("ctypes.string_at(0)", "Segmentation fault in score.py, line 6, in run"),
    "of an abort": ("os.abort()", "Aborted in score.py, line 6, in run"),
    "of a division by zero in C": ("signal.raise_signal(signal.SIGFPE)", f"{FLOATING_POINT} exception in score.py, "),
    "of a bus error": ("signal.raise_signal(signal.SIGBUS)", "Bus error in score.py, line 6, in run"),
    "of an illegal instruction": (
        "signal.raise_signal(signal.SIGILL)",
        "Illegal instruction in score.py, line 6, in run",
    ),
}


def stderr_of(folder, body, *, before=""):
    """Run a script with dumps enabled, and return its stderr."""
    (folder / "score.py").write_text(
        f"import ctypes, os, signal, sys, threading\nfrom longshore_host import dumps\ndumps.enable()\n{before}\n"
        f"def run():\n    {body}\nrun()\n"
    )
    ended = subprocess.run([sys.executable, folder / "score.py"], stderr=subprocess.PIPE, text=True, check=False)
    return ended.stderr


@pytest.mark.parametrize(("body", "line"), CRASHES.values(), ids=CRASHES.keys())
def test_a_crash_names_the_line_of_the_script(tmp_path, body, line):
    last, stacks = dumps.last_error(stderr_of(tmp_path, body), str(tmp_path))

    assert last.startswith(line)
    assert stacks.startswith("Current thread 0x")
    assert 'score.py", line 6 in run' in stacks


def test_the_main_thread_is_first_among_the_stacks_of_a_dump(tmp_path):
    thread = "threading.Thread(target=threading.Event().wait, daemon=True).start()"

    last, stacks = dumps.last_error(
        stderr_of(tmp_path, "signal.raise_signal(dumps.SIGNAL)", before=thread), str(tmp_path)
    )

    assert last == ""
    assert stacks.splitlines()[1].endswith('score.py", line 6 in run')
    assert "threading.py" in stacks  # the other thread's


def test_only_the_last_dump_counts(tmp_path):
    text = stderr_of(tmp_path, "[signal.raise_signal(dumps.SIGNAL), print(file=sys.stderr), ctypes.string_at(0)]")

    last, stacks = dumps.last_error(text, str(tmp_path))

    assert last == "Segmentation fault in score.py, line 6, in run"
    assert stacks.count("Current thread") == 1


def test_an_exception_before_a_dump_is_named(tmp_path):
    before = "try: {}[1]\nexcept KeyError: import traceback; traceback.print_exc()"

    last, stacks = dumps.last_error(
        stderr_of(tmp_path, "signal.raise_signal(dumps.SIGNAL)", before=before), str(tmp_path)
    )

    assert last == "KeyError: 1"
    assert "score.py" in stacks


@pytest.mark.parametrize("text", ["", "a warning\n", "Thread 1 (most recent call first):\n"])
def test_a_text_without_a_dump_has_no_last_words(text):
    assert dumps.last_error(text, "/source") == ("", "")


def test_our_own_frames_are_left_out_and_the_rest_is_bounded():
    ours = os.path.dirname(os.path.abspath(dumps.__file__))
    frames = [f'  File "{ours}/child.py", line 1 in serve'] + [f'  File "/s/deep.py", line {n} in f' for n in range(90)]
    text = "\n".join(["Current thread 0x00007f00 (most recent call first):", *frames, "x" * 9000])

    _, stacks = dumps.last_error(text, "/s")

    assert ours not in stacks
    assert len(stacks.splitlines()) == dumps.LINES
    assert max(map(len, stacks.splitlines())) <= script_end.CHARACTERS


def test_a_process_that_has_ended_is_asked_without_success(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    dumps.request(ended.pid, str(tmp_path / "stderr.txt"), "run() took longer")

    assert (tmp_path / "stderr.txt").read_text().startswith("longshore: run() took longer; the process is killed.")
