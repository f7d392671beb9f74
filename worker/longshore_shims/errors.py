"""What the stand-ins raise, by the names of `azureml.exceptions`.

    AzureMLException
     `- UserErrorException
         |- ModelNotFoundException
         |- InputNotFoundException     ours: the step has no such input
         |- RunEnvironmentException    not part of a run, and that was not allowed
         `- NotInsideAStep             ours: what only the real packages, with a workspace to talk to, can do

Scripts catch them as they did.
"""

from __future__ import annotations


class AzureMLException(Exception):
    """Any error of these packages. Scripts read its text as `message`."""

    def __init__(self, exception_message: str = "") -> None:
        super().__init__(exception_message)
        self.message = exception_message

    def __str__(self) -> str:
        return self.message


class UserErrorException(AzureMLException):
    """What was asked for cannot be had."""


class ModelNotFoundException(UserErrorException):
    """There is no such model; the message lists those that there are."""


class InputNotFoundException(UserErrorException, KeyError):
    """The step has no such input; the message lists those that it has. A KeyError: `input_datasets` is a mapping."""


class RunEnvironmentException(UserErrorException):
    """This process is not part of a run."""


class NotInsideAStep(UserErrorException, AttributeError):
    """Longshore has no such thing; the message says what to do instead. hasattr() takes it for what it is: absent."""
