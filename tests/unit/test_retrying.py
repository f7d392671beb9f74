"""Retries: which errors end them, how long they go on, and when they pause."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from tenacity import AsyncRetrying, Retrying, stop_after_attempt

from longshore_storage.retrying import TRIES, backoff, policy, stop_after_patience, with_retries


class Failing:
    """A call that raises the same error each time, and counts."""

    def __init__(self, error):
        self.error, self.calls = error, 0

    def __call__(self):
        self.calls += 1
        raise self.error

    async def soon(self):
        self()


@pytest.fixture
def pauses(monkeypatch):
    made = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


def options():
    return policy(lambda _: True, stop=stop_after_attempt(3), wait=backoff(0.001, 0.001))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("retry", [with_retries, Retrying(**options())], ids=["stores", "any"])
def test_what_ends_the_process_is_not_retried(pauses, error, retry):
    call = Failing(error())
    with pytest.raises(error):
        retry(call)
    assert (call.calls, pauses) == (1, [])


def test_a_cancellation_is_not_retried():
    call = Failing(asyncio.CancelledError())

    async def run():
        with pytest.raises(asyncio.CancelledError):
            await AsyncRetrying(**options())(call.soon)

    asyncio.run(run())
    assert call.calls == 1


@pytest.mark.parametrize(
    ("error", "calls"),
    [(TimeoutError(), TRIES), (ConnectionResetError(), TRIES), (OSError(), TRIES), (ValueError(), 1)],
)
def test_the_last_error_is_raised_without_a_pause_after_it(pauses, error, calls):
    call = Failing(error)
    with pytest.raises(type(error)) as raised:
        with_retries(call)
    assert raised.value is error
    assert (call.calls, len(pauses)) == (calls, calls - 1)


@pytest.mark.parametrize(
    ("takes", "attempts"), [(10.0, 30), (79.0, 4), (80.0, 4), (3600.0, 4), (1e6, 4), (400.0, 4)], ids=str
)
def test_patience_counts_a_suspended_process_for_the_longest_attempt_only(takes, attempts):
    stop = stop_after_patience(300.0, longest=80.0)
    moments = [takes * number for number in range(1, 100)]
    stopped = [stop(SimpleNamespace(start_time=0.0, outcome_timestamp=moment)) for moment in moments]
    assert stopped.index(True) + 1 == attempts
