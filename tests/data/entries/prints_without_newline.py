"""Prints to both streams without ever ending a line, and writes straight to the descriptors, bytes that are no text."""

import os
import sys


def run(mini_batch):
    sys.stdout.write("." * 1_000)
    sys.stderr.write("!" * 1_000)
    os.write(1, b"\xff\xfe")
    os.write(2, b"\xff\xfe")
    return [os.path.basename(path) for path in mini_batch]
