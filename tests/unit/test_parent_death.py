"""Processes end with their parent, on Linux and on a platform without prctl()."""

import io
import os
import signal
import subprocess
import sys
import time

import pytest
from platforms import bare_python_path

from longshore_host import guard

PARENT = """
import os, signal, subprocess, sys, time
from longshore_host import parent_death

def start(code):
    link = parent_death.link()
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys\\nfrom longshore_host import parent_death\\n" + code, link.argument],
        start_new_session=True, pass_fds=link.descriptors, stdout=subprocess.PIPE,
    )
    child.stdout.readline()
    return child

def guards():
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,command="], stdout=subprocess.PIPE, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [int(row[0]) for row in rows if int(row[1]) == os.getpid() and "longshore_host.guard" in row[2]]
"""
LINKED = "parent_death.end_with_parent(sys.argv[1])\nprint('linked', flush=True)\n"
BY_SIGTERM = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: (open({path!r}, "w").close(), os._exit(0)))
parent_death.end_with_parent(sys.argv[1], by=signal.SIGTERM)
print("linked", flush=True)
time.sleep(3600)
"""
CHILDREN = {
    "sleeps": "import time; time.sleep(3600)",
    "hangs in C": "import ctypes; ctypes.PyDLL(None).sleep(3600)",  # and holds the interpreter's lock
    "ignores signals": "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; time.sleep(3600)",
    "is stopped": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "replaced its program": "import os; os.execvp('sleep', ['sleep', '3600'])",
}


@pytest.fixture(params=["linux", "bare"])
def environment(request):
    """The environment of a process on a platform."""
    return {**os.environ, "PYTHONPATH": bare_python_path()} if request.param == "bare" else dict(os.environ)


def parent(code, environment):
    """Start a parent process, and return it with the process id that it prints."""
    started = subprocess.Popen(
        [sys.executable, "-c", PARENT + code], env=environment, stdout=subprocess.PIPE, text=True
    )
    return started, int(started.stdout.readline())


def kill(process):
    process.kill()
    process.wait()
    process.stdout.close()


def wait_for_end(pid):
    give_up = time.monotonic() + 60
    while is_alive(pid):
        assert time.monotonic() < give_up, f"process {pid} did not end"
        time.sleep(0.01)


def is_alive(pid):
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip()[:1] not in ("", "Z")


@pytest.mark.parametrize("child", CHILDREN.values(), ids=CHILDREN)
def test_a_child_ends_with_its_parent_whatever_it_does(environment, child):
    started, pid = parent(
        f"child = start({LINKED + child!r}); print(child.pid, flush=True); time.sleep(3600)", environment
    )
    assert is_alive(pid)
    kill(started)
    wait_for_end(pid)


def test_a_child_may_end_by_itself_once_its_parent_is_dead(environment, tmp_path):
    child = BY_SIGTERM.format(path=str(tmp_path / "ended"))
    started, pid = parent(f"child = start({child!r}); print(child.pid, flush=True); time.sleep(3600)", environment)
    kill(started)
    wait_for_end(pid)
    assert (tmp_path / "ended").exists()


def test_a_child_whose_parent_is_dead_already_exits(environment):
    code = "import os, time\nwhile os.getppid() == {}: time.sleep(0.01)\n" + LINKED + "time.sleep(3600)"
    started, pid = parent(
        f"child = {code!r}.format(os.getpid())\n"
        "link = parent_death.link()\n"
        "child = 'import sys\\nfrom longshore_host import parent_death\\n' + child\n"
        "command = [sys.executable, '-c', child, link.argument]\n"
        "print(subprocess.Popen(command, start_new_session=True, pass_fds=link.descriptors).pid, flush=True)\n"
        "time.sleep(3600)",
        environment,
    )
    kill(started)
    wait_for_end(pid)


def test_a_guard_that_was_killed_is_replaced_for_the_next_child():
    bare = {**os.environ, "PYTHONPATH": bare_python_path()}
    started, pid = parent(
        "parent_death.link()\n"
        "(first,) = guards()\n"
        "os.kill(first, signal.SIGKILL)\n"
        "os.waitpid(first, 0)\n"
        f"print(start({LINKED + CHILDREN['sleeps']!r}).pid, flush=True); time.sleep(3600)",
        bare,
    )
    kill(started)
    wait_for_end(pid)


def test_the_guard_ends_with_the_process_that_started_it():
    bare = {**os.environ, "PYTHONPATH": bare_python_path()}
    started, pid = parent("parent_death.link(); print(*guards(), flush=True)", bare)
    assert started.wait(60) == 0
    started.stdout.close()
    wait_for_end(pid)


REQUESTS = {
    "none": (b"", {}),
    "one": (b"7 9\n", {7: 9}),
    "two": (b"7 9\n8 15\n", {7: 9, 8: 15}),
    "one cancelled": (b"7 9\n8 15\n7 0\n", {8: 15}),
    "an id that is used again": (b"7 9\n7 0\n7 15\n", {7: 15}),
    "one cancelled that was never asked for": (b"0 0\n7 0\n", {}),
}


@pytest.mark.parametrize(("lines", "signals"), REQUESTS.values(), ids=REQUESTS)
def test_a_guard_signals_the_groups_that_are_left(lines, signals):
    assert guard.watched(io.BytesIO(lines)) == signals


def test_a_request_is_one_line():
    assert guard.watched(io.BytesIO(guard.request(7, signal.SIGTERM) + guard.request(8, signal.SIGKILL))) == {
        7: 15,
        8: 9,
    }
