"""Registration of Models and Datasets: a call is recorded, and takes effect once the step has succeeded."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, List, Mapping, Optional

from longshore_run import context, registrations
from longshore_run.registrations import MODEL, Registration
from longshore_shims.errors import UserErrorException
from longshore_shims.named import ask, is_answered


def folder(call: str) -> Optional[str]:
    """Return the folder that calls are recorded in, or None outside of a step.

    Raises UserErrorException in init() and run() of a ParallelRunStep.
    """
    found = os.environ.get(registrations.VARIABLE)
    if found is None and context.current() is not None:
        text = (
            "{} is not available in init() and run(), because a mini-batch may run again: call it in shutdown(), "
            "or in a script step after this one."
        )
        raise UserErrorException(text.format(call))
    return found


def register_model(
    call: str,
    path: str,
    *,
    name: str,
    known: Iterable[int],
    tags: Optional[Mapping[str, Any]],
    properties: Optional[Mapping[str, Any]],
    description: Optional[str],
) -> int:
    """Record the registration of a model with a copy of its files; return the version that it will probably have.

    Args:
        call: The Azure ML method, for messages.
        path: Its file or folder.
        name: The name to register under.
        known: The existing versions of that name, as far as the step knows them.
        tags: Texts by name.
        properties: Texts by name.
        description: Free text.

    Raises:
        UserErrorException: The path does not exist, the name is invalid, or the texts are too long.
    """
    where = folder(call)
    if not os.path.exists(path):
        raise UserErrorException('{} cannot find "{}"; it must be a file or folder of this step.'.format(call, path))
    try:
        kept = path if where is None else registrations.keep(where, path)
    except OSError as error:
        raise UserErrorException('"{}" cannot be copied for registration: {}.'.format(path, error)) from error
    given = Registration(
        MODEL, name, (kept,), description=description or "", tags=texts(tags), properties=texts(properties)
    )
    return record(where, given, known)


def record(where: Optional[str], given: Registration, known: Iterable[int]) -> int:
    """Record a registration; return the version that it will probably have. Raises UserErrorException.

    Outside of a step (`where` is None), only print it.
    """
    if where is None:
        print("registered: {}".format(given.name))  # noqa: T201  (the only effect outside of a step)
        return max(known, default=0) + 1
    try:
        earlier = [each for each in registrations.calls(where) if (each.kind, each.name) == (given.kind, given.name)]
        registrations.record(where, given)
    except (OSError, ValueError) as error:
        raise UserErrorException(str(error)) from error
    return max(known, default=0) + len(earlier) + 1


def known_versions(operation: str, name: str) -> List[int]:
    """Return the versions of a name that existed when the run began, as far as the agent of the step reports them."""
    try:
        found = ask(operation, name=name) if is_answered() else []
    except UserErrorException:  # there is none
        return []
    return [each["version"] for each in (found if isinstance(found, list) else [found])]


def texts(given: Optional[Mapping[str, Any]]) -> Dict[str, str]:
    """Return tags or properties with their keys and values as texts."""
    return {str(name): str(value) for name, value in (given or {}).items()}
