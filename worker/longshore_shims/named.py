"""Requests to the step's agent for data by name, with the exceptions of Azure ML."""

from __future__ import annotations

from typing import Any, Dict, Type

from longshore_run import context
from longshore_run.requests import RequestRefused, is_missing, request
from longshore_shims.errors import UserErrorException


def is_answered() -> bool:
    """Return whether this process is part of a step whose agent answers requests."""
    step = context.current()
    return step is not None and bool(step.socket)


def ask(operation: str, missing: Type[UserErrorException] = UserErrorException, **parameters: Any) -> Any:
    """Send a request; return the answer.

    Raises:
        UserErrorException: The request is refused; `missing`, a subclass, if the data does not exist.
    """
    try:
        return request(operation, **parameters)
    except RequestRefused as error:
        kind = missing if is_missing(error) else UserErrorException
        raise kind(str(error)) from None


class Known(Dict[str, Any]):
    """A mapping of what the script may use by name; a missing name raises an error that states why."""

    def __init__(self, known: Dict[str, Any], find: Any) -> None:
        super().__init__(known)
        self._find = find  # raises the error, or returns the value of another spelling of a name

    def __missing__(self, name: str) -> Any:
        return self._find(name)
