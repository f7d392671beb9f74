"""Returns rows whose number and length follow from what the files hold; notes each call of run() in a shared file.

A call appends two lines, each in one write: "begin PID FIRST-ITEM" and "end PID FIRST-ITEM". None ends while there is
the file --hold.
"""

import argparse
import os
import time
import zlib

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--calls", required=True)
parser.add_argument("--milliseconds", type=float, default=10.0)
parser.add_argument("--hold", default="")
ARGUMENTS = parser.parse_known_args()[0]


def init():
    global calls
    calls = os.open(ARGUMENTS.calls, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def run(mini_batch):
    names = [os.path.basename(path) for path in mini_batch]
    note("begin", names[0])
    result = []
    for path, name in zip(mini_batch, names):
        with open(path, "rb") as file:
            number = zlib.crc32(file.read())
        # No row for some items, several for others; now and then a row of some thousand bytes.
        for row in range(number % 3 + (number % 7 == 0)):
            length = number // 7 % 40 + (5000 if number % 97 == row else 0)
            result.append("{} {} {}".format(name, row, "åb" * length))
    time.sleep(ARGUMENTS.milliseconds / 1000 * (0.2 + 1.6 * (number % 101) / 100))
    while os.path.exists(ARGUMENTS.hold):
        time.sleep(0.01)
    note("end", names[0])
    return result


def note(what, name):
    os.write(calls, "{} {} {}\n".format(what, os.getpid(), name).encode())
