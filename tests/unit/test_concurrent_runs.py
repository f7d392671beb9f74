"""The time limit of a mini-batch in a process that runs several at once."""

from types import SimpleNamespace

import pytest

from longshore_host.concurrent_runs import Coroutines


class Loop:
    """An event loop's clock and timers."""

    def __init__(self):
        self.now = 0.0
        self._timers = []

    def time(self):
        return self.now

    def call_later(self, seconds, call):
        self._timers.append((self.now + seconds, call))

    def pass_(self, seconds):
        """Let time pass; a timer is late when it comes within."""
        self.now += seconds
        due = [timer for timer in self._timers if timer[0] <= self.now]
        self._timers = [timer for timer in self._timers if timer[0] > self.now]
        for _, call in due:
            call()


@pytest.fixture
def limited():
    """Give a function that starts a limit; it returns the loop and how often the task was cancelled."""

    def start(seconds):
        loop, cancelled = Loop(), []
        child = SimpleNamespace(script=SimpleNamespace(loop=loop))
        flight = SimpleNamespace(overdue=False, timer=None)
        Coroutines(child)._limit(flight, SimpleNamespace(cancel=lambda: cancelled.append(loop.now)), seconds)
        return loop, cancelled

    return start


@pytest.mark.parametrize("seconds", [0.5, 5.0, 12.0, 60.0])
def test_a_run_is_cancelled_when_its_time_is_up(limited, seconds):
    loop, cancelled = limited(seconds)
    while not cancelled:
        loop.pass_(0.5)
    assert cancelled == [seconds]


def test_the_time_in_which_the_process_was_stopped_is_not_its_own(limited):
    loop, cancelled = limited(60.0)
    for _ in range(2):
        loop.pass_(3600.0)  # counts as 15 s at most
    assert cancelled == []
    for _ in range(60):
        loop.pass_(0.5)
    assert len(cancelled) == 1


def test_what_the_script_itself_holds_up_is(limited):
    loop, cancelled = limited(30.0)
    for _ in range(2):
        loop.pass_(14.9)
    assert cancelled == []
    loop.pass_(0.5)
    assert len(cancelled) == 1
