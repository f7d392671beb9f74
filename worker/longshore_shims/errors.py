"""What the stand-ins raise, by the names of `azureml.exceptions`.

AzureMLException
`- UserErrorException
|- ModelNotFoundException
|- RunEnvironmentException    not part of a run, and that was not allowed
`- NotInsideAStep             ours: what only the real packages, with a workspace to talk to, can do
"""

from __future__ import annotations


class AzureMLException(Exception):
    """Any error of these packages. Scripts read its text as `message`."""

    def __init__(self, exception_message: str = "") -> None:
        super().__init__(exception_message)
        self.message = exception_message


class UserErrorException(AzureMLException):
    """What was asked for cannot be had."""


class ModelNotFoundException(UserErrorException):
    """There is no such model; the message lists those that there are."""


class RunEnvironmentException(UserErrorException):
    """This process is not part of a run."""


class NotInsideAStep(UserErrorException, AttributeError):
    """Longshore has no such thing; the message says what to do instead. hasattr() takes it for what it is: absent."""
