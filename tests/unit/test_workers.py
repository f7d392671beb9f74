"""How a local run keeps its workers' processes."""

import os
import signal
import subprocess

from longshore_cli.workers import send


def test_a_signal_to_a_process_that_has_just_ended_leaves_its_exit_code_to_the_event_loop():
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    send(process, signal.SIGCONT)
    assert process.returncode is None
    assert process.wait() == 0
