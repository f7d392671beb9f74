"""Leaves processes behind that outlive run(): in its own group, in another session, and orphaned twice over.

All keep the streams and descriptors they inherited. Each is known by a file, named by its process id, in the folder
that the variable PID_FOLDER names.
"""

import os
import subprocess
import sys
import time

STAY = [sys.executable, "-c", "import time; time.sleep(3600)"]


def note(pid):
    os.close(os.open(os.path.join(os.environ["PID_FOLDER"], str(pid)), os.O_CREAT))


def orphan():
    """Fork twice, with a session of its own between, as daemons do."""
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    os.setsid()
    second = os.fork()
    if second:
        note(second)
        os._exit(0)
    time.sleep(3600)
    os._exit(0)


def run(mini_batch):
    note(subprocess.Popen(STAY, close_fds=False).pid)
    note(subprocess.Popen(STAY, close_fds=False, start_new_session=True).pid)
    orphan()
    return [os.path.basename(path) for path in mini_batch]
