"""What the host does with the processes below it, each case in a process of its own."""

import subprocess
import sys

import pytest

BEGIN = """
import os, signal, subprocess, sys
from longshore_host.orphans import kill_and_reap, reaped

def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

def started(code):
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    child.returncode = 0  # reaped here, never by Popen
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    return child.pid
"""
CASES = {
    "an exit code": "pid = started('raise SystemExit(3)'); assert list(reaped()) == [(pid, 3)]",
    "a signal": "pid = started('import os; os.abort()'); assert list(reaped()) == [(pid, -signal.SIGABRT)]",
    "none has ended": "child = subprocess.Popen(['sleep', '600']); assert list(reaped()) == []; child.kill()",
    "there is none": "assert list(reaped()) == []",
    "several": "pids = [started(''), started('')]; assert sorted(reaped()) == sorted((pid, 0) for pid in pids)",
    "an id is kept until the next is asked for": """
pid = started('')
for ended, _ in reaped():
    assert ended == pid and exists(pid)
    os.killpg(pid, signal.SIGKILL)  # its group is there
assert not exists(pid)
""",
    "one that the caller has reaped": """
pids = {started(''), started('')}
for pid, _ in reaped():
    kill_and_reap(lambda: [each for each in pids if exists(each)])
assert not any(exists(each) for each in pids)
""",
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_children_that_have_ended_are_reaped_when_the_caller_has_seen_to_them(case):
    subprocess.run([sys.executable, "-c", BEGIN + case], check=True, timeout=60)
