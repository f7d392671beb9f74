"""The policy for all retried calls, and the classification of transient errors of stores.

tenacity makes the attempts: with exponential backoff and jitter, without a pause after the last one, whose error is
raised. The stores' libraries retry some errors themselves. The errors that they still raise are classified here by the
HTTP status that they contain. Only idempotent calls are retried.
"""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.stop import StopBaseT, stop_base
from tenacity.wait import WaitBaseT

from longshore_protocol.backoff import pause as backoff_pause
from longshore_storage.errors import DatabaseError

T = TypeVar("T")

TRIES = 6
_FIRST, _LONGEST = 0.25, 8.0  # seconds: each pause is about double the one before
_LONGEST_ASKED = 30.0  # the longest accepted Retry-After, in seconds
_LATER = (408, 425, 429)  # transient statuses below 500
_NEVER = (501, 505)  # permanent statuses from 500 on
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # errors of a local disk
_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError,
          ValueError, TypeError, LookupError)  # fmt: skip
# Parts of the names of exceptions that stores' libraries raise without a complete response.
_OF_NETWORK = ("Timeout", "Connection", "Disconnected", "ServiceRequest", "ServiceResponse", "Payload",
               "IncompleteRead", "CutOff")  # fmt: skip
_FALSE = ("JSONDecodeError", "UnicodeDecodeError")  # ValueErrors that a truncated response causes


class stop_after_patience(stop_base):  # noqa: N801  (named as tenacity names its own)
    """Stop once attempts and the pauses between them have taken `seconds`.

    An attempt and the pause before it count for at most `longest` seconds: what takes longer was suspended.
    """

    def __init__(self, seconds: float, *, longest: float) -> None:
        self._left, self._longest = seconds, longest
        self._counted: float | None = None  # monotonic

    def __call__(self, retry_state: RetryCallState) -> bool:
        """Count the attempt that has just failed."""
        assert retry_state.outcome_timestamp is not None, "an attempt has ended"
        since = retry_state.start_time if self._counted is None else self._counted
        self._counted = retry_state.outcome_timestamp
        self._left -= min(self._counted - since, self._longest)
        return self._left <= 0


def backoff(first: float, longest: float) -> WaitBaseT:
    """Return the `wait` of a policy whose pauses grow from `first` to `longest` seconds."""
    return lambda state: backoff_pause(state.attempt_number, first=first, longest=longest)


def policy(
    is_transient: Callable[[BaseException], bool], *, stop: StopBaseT, wait: WaitBaseT | None = None
) -> dict[str, Any]:
    """Return options for tenacity's Retrying and AsyncRetrying. By default, pauses are those that a store asks for.

    No cancellation is retried, whatever `is_transient` makes of it.
    """
    retry = retry_if_exception(lambda error: isinstance(error, Exception) and is_transient(error))
    return {"retry": retry, "stop": stop, "wait": wait or _store_pause, "reraise": True}


def with_retries(call: Callable[[], T]) -> T:
    """Call a function, retrying transient errors; return its result or raise the error of the last attempt."""
    return Retrying(**policy(is_retryable, stop=stop_after_attempt(TRIES)))(call)


def error_of(state: RetryCallState) -> BaseException:
    """Return the error of the attempt that has just failed."""
    error = None if state.outcome is None else state.outcome.exception()
    assert error is not None, "only failures are retried"
    return error


def _store_pause(state: RetryCallState) -> float:
    return pause(state.attempt_number, error_of(state))


def is_full(error: BaseException) -> bool:
    """Return whether a local disk is full or read-only."""
    root = root_error(error)
    return isinstance(root, OSError) and root.errno in FULL


def is_retryable(error: BaseException) -> bool:
    """Return whether a retry may succeed."""
    if isinstance(error, DatabaseError):
        return not error.is_final
    status = status_of(error)
    if status is not None:
        return status in _LATER or (status >= 500 and status not in _NEVER)
    root = root_error(error)
    if is_full(error):
        return False
    name = type(root).__name__
    is_refusal = "Credential" in name or str(root).startswith("Forbidden:")  # a 403 of gcsfs
    return name in _FALSE or not (isinstance(root, _FINAL) or is_refusal)


def is_temporary_failure(error: BaseException) -> bool:
    """Return whether `error` or one of its causes is clearly a temporary failure of a store or the network.

    Unlike `is_retryable`, it returns False in doubt.
    """
    if status_of(error) is not None:
        return is_retryable(error)
    return any(map(_is_network_failure, chain(error)))


def _is_network_failure(error: BaseException) -> bool:
    if isinstance(error, DatabaseError):
        return not error.is_final
    name = type(error).__name__
    return isinstance(error, TimeoutError | ConnectionError) or any(mark in name for mark in _OF_NETWORK)


def pause(attempt: int, error: BaseException) -> float:
    """Return the seconds to wait after an attempt of a store's call, counted from 1, that failed with `error`."""
    asked = _retry_after(error)
    if asked is not None:
        return min(asked, _LONGEST_ASKED) + random.uniform(0.0, _FIRST)
    return backoff_pause(attempt, first=_FIRST, longest=_LONGEST)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that caused an error, or None."""
    for each in chain(error):
        answer = _answer(each).get("HTTPStatusCode")  # botocore's
        for found in (answer, getattr(each, "status", None), getattr(each, "status_code", None), _code(each)):
            if isinstance(found, int) and 300 <= found < 600:
                return found
    return None


def root_error(error: BaseException) -> BaseException:
    """Return the cause of a FileNotFoundError, if any: fsspec raises it for every failure to get a file's size."""
    return error.__cause__ or error if isinstance(error, FileNotFoundError) else error


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its chain of causes."""
    found: BaseException | None = error
    for _ in range(5):
        if found is None:
            return
        yield found
        found = found.__cause__


def _code(error: BaseException) -> int | None:
    code = vars(error).get("code")  # gcsfs's, as Google's JSON has it
    return int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdigit()) else None


def _answer(error: BaseException) -> dict[str, Any]:
    response = getattr(error, "response", None)
    return response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}


def _retry_after(error: BaseException) -> float | None:
    """Return the seconds in a response's Retry-After, or None."""
    for each in chain(error):
        response = getattr(each, "response", None)  # azure's
        for headers in (
            getattr(each, "headers", None),
            getattr(response, "headers", None),
            _answer(each).get("HTTPHeaders"),
        ):
            asked = next(
                (value for key, value in dict(headers or {}).items() if str(key).lower() == "retry-after"), None
            )
            if asked is not None:
                with suppress(ValueError):
                    return max(0.0, float(asked))
                with suppress(ValueError):
                    return max(0.0, parsedate_to_datetime(str(asked)).timestamp() - time.time())
    return None
