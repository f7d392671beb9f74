"""The work queue: nothing is lost, nothing is done twice at once."""

import threading
from contextlib import contextmanager

import pytest

from longshore_operator.reconcile.work_queue import WorkQueue

PATIENCE = 60.0


@contextmanager
def running(work, *, threads=4):
    queue = WorkQueue(work)
    queue.start(threads)
    try:
        yield queue
    finally:
        queue.stop()


def test_each_key_is_worked_on():
    seen, all_seen = set(), threading.Event()

    def work(key):
        seen.add(key)
        if len(seen) == 50:
            all_seen.set()

    with running(work) as queue:
        for key in range(50):
            queue.add(key)
        assert all_seen.wait(PATIENCE)


def test_the_lateness_of_each_key_is_noted():
    now, late, ended = [0.0], [], threading.Event()
    queue = WorkQueue(lambda key: ended.set() if key == "last" else None, taken=late.append, clock=lambda: now[0])
    queue.add("first")
    now[0] = 3.0
    queue.add("second", delay=1.0)
    now[0] = 4.5
    queue.add("last")
    queue.start(1)
    assert ended.wait(PATIENCE)
    queue.stop()
    assert late == [4.5, 0.5, 0.0]


def test_a_key_that_is_added_while_it_waits_is_worked_on_once():
    calls = []
    queue = WorkQueue(calls.append)
    for _ in range(10):
        queue.add("a")
    assert len(queue) == 1
    queue.start(2)
    ended = threading.Event()
    queue.add("last")
    threading.Thread(target=lambda: (queue.stop(), ended.set())).start()
    assert ended.wait(PATIENCE)
    assert calls.count("a") <= 1


def test_a_key_that_is_added_while_it_is_worked_on_is_worked_on_again_and_never_beside_itself():
    begun, go_on, again = threading.Event(), threading.Event(), threading.Event()
    inside, most = [], []

    def work(key):
        inside.append(key)
        most.append(len(inside))
        if begun.is_set():
            again.set()
        begun.set()
        assert go_on.wait(PATIENCE)
        inside.pop()

    with running(work) as queue:
        queue.add("a")
        assert begun.wait(PATIENCE)
        queue.add("a")
        queue.add("a")
        go_on.set()
        assert again.wait(PATIENCE)
    assert max(most) == 1
    assert len(most) == 2


def test_a_key_that_wants_to_be_looked_at_again_is():
    left, done = [3], threading.Event()

    def work(_):
        left[0] -= 1
        if left[0]:
            return 0.0
        done.set()
        return None

    with running(work) as queue:
        queue.add("a")
        assert done.wait(PATIENCE)
    assert left == [0]


def test_a_key_whose_work_fails_is_tried_again_and_holds_up_no_other():
    done, others = threading.Event(), threading.Event()
    tries = []

    def work(key):
        if key == "other":
            others.set()
            return
        tries.append(key)
        if len(tries) < 3:
            raise OSError("the API is away")
        done.set()

    with running(work, threads=1) as queue:
        queue.add("a")
        queue.add("other")
        assert others.wait(PATIENCE)
        assert done.wait(PATIENCE)


def test_the_sooner_of_two_times_counts():
    done = threading.Event()
    with running(lambda _: done.set()) as queue:
        queue.add("a", delay=3600.0)
        queue.add("a")
        queue.add("a", delay=3600.0)
        assert done.wait(PATIENCE)


def test_pauses_grow_and_are_bounded():
    queue = WorkQueue(lambda _: None)
    pauses = [queue._pause("a") for _ in range(20)]
    assert pauses[:3] == pytest.approx([0.2, 0.4, 0.8], rel=0.1)
    assert pauses[-3:] == pytest.approx([60.0] * 3, rel=0.1)


@pytest.mark.parametrize(
    ("error", "level", "has_traceback"),
    [
        (TimeoutError("the API is away"), "WARNING", False),
        (ConnectionResetError("gone"), "WARNING", False),
        (KeyError("status"), "ERROR", True),
        (AssertionError(), "ERROR", True),
        (RecursionError("too deep"), "ERROR", True),
    ],
)
def test_what_is_expected_is_logged_in_a_line_and_a_bug_with_its_traceback(caplog, error, level, has_traceback):
    done = threading.Event()

    def work(_):
        if caplog.records:
            done.set()
            return
        raise error

    queue = WorkQueue(work, expected=(OSError,))
    queue.start(1)
    queue.add("a")
    assert done.wait(PATIENCE)
    queue.stop()
    (record,) = caplog.records
    assert (record.levelname, record.exc_info is not None) == (level, has_traceback)
