"""Faults for every interpreter of a run: writes and reads that fail, folders that list slowly, a clock that jumps.

Loaded by Python when this folder is on PYTHONPATH. CHAOS_CONTROL names a JSON file that says what is broken now:

    {"write": {"errno": 28, "share": 0.5}, "read": {"errno": 5, "share": 1}, "list": seconds, "clock": seconds}

Writes fail below CHAOS_RUN, reads and listings below CHAOS_DATA.
"""

import builtins
import errno
import json
import os
import random
import time

CONTROL, RUN, DATA = (os.environ.get("CHAOS_" + name) for name in ("CONTROL", "RUN", "DATA"))
LOOK = 0.02  # seconds between two looks at the control file

real_open, real_link, real_replace, real_scandir = builtins.open, os.link, os.replace, os.scandir
real_time, luck = time.time, random.Random(os.getpid())
state = {"looked": -1.0, "faults": {}}


def faults():
    now = time.monotonic()
    if now - state["looked"] > LOOK:
        state["looked"] = now
        try:
            with real_open(CONTROL) as file:
                state["faults"] = json.load(file)
        except (OSError, ValueError):
            pass  # it is being replaced: what was broken before still is
    return state["faults"]


def fail(kind, path, below):
    fault = faults().get(kind)
    if fault and str(path).startswith(below) and luck.random() < fault["share"]:
        raise OSError(fault["errno"], os.strerror(fault["errno"]), path)


def faulty_open(file, mode="r", *arguments, **named):
    if isinstance(file, (str, os.PathLike)):
        if set(mode) & set("wxa+"):
            fail("write", os.fspath(file), RUN)
        else:
            fail("read", os.fspath(file), DATA)
    return real_open(file, mode, *arguments, **named)


def faulty_link(source, target, **named):
    fail("write", target, RUN)
    return real_link(source, target, **named)


def faulty_replace(source, target, **named):
    fail("write", target, RUN)
    return real_replace(source, target, **named)


def slow_scandir(path="."):
    if str(path).startswith(DATA):
        time.sleep(faults().get("list", 0.0))
    return real_scandir(path)


if CONTROL and RUN and DATA:
    assert errno.ENOSPC, "errno numbers are this machine's"
    builtins.open, os.link, os.replace, os.scandir = faulty_open, faulty_link, faulty_replace, slow_scandir
    time.time = lambda: real_time() + faults().get("clock", 0.0)
