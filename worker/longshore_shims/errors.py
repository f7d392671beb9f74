"""Exceptions of the shims, named as in `azureml.exceptions`.

    AzureMLException
     `- UserErrorException
         |- ModelNotFoundException
         |- InputNotFoundException     Longshore's own: the step has no such input
         |- RunEnvironmentException    the process is not part of a run
         `- NotInsideAStep             Longshore's own: needs the real packages and a workspace

Scripts that catch Azure ML's exceptions catch these.
"""

from __future__ import annotations


class AzureMLException(Exception):
    """Base class of all errors. Scripts read its text as `message`."""

    def __init__(self, exception_message: str = "") -> None:
        super().__init__(exception_message)
        self.message = exception_message

    def __str__(self) -> str:
        return self.message


class UserErrorException(AzureMLException):
    """A request that cannot be fulfilled."""


class ModelNotFoundException(UserErrorException):
    """The step has no such model; the message lists its models."""


class InputNotFoundException(UserErrorException, KeyError):
    """The step has no such input; the message lists its inputs. A KeyError, because `input_datasets` is a mapping."""


class RunEnvironmentException(UserErrorException):
    """This process is not part of a run."""


class NotInsideAStep(UserErrorException, AttributeError):
    """Not available in Longshore; the message names an alternative. An AttributeError, so that hasattr() is False."""
