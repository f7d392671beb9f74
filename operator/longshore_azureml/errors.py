"""Exceptions of `azureml.exceptions`. Those that scripts in steps catch, too, are the same classes there."""

from __future__ import annotations

from longshore_shims.errors import (
    AzureMLException,
    ModelNotFoundException,
    RunEnvironmentException,
    UserErrorException,
)

__all__ = [
    "ActivityFailedException",
    "AuthenticationException",
    "AzureMLException",
    "ComputeTargetException",
    "DatasetValidationError",
    "ErrorResponseException",
    "ExperimentExecutionException",
    "ModelNotFoundException",
    "NotSupportedException",
    "ProjectSystemException",
    "RunConfigurationException",
    "RunEnvironmentException",
    "SnapshotException",
    "UserErrorException",
    "WebserviceException",
    "WorkspaceException",
]


class NotSupportedException(UserErrorException, AttributeError):
    """A name without a counterpart in Longshore; the message names an alternative. hasattr() is False for it."""


class ComputeTargetException(AzureMLException):
    """A compute target does not exist or cannot be used."""


class ExperimentExecutionException(AzureMLException):
    """A run cannot be submitted."""


class ActivityFailedException(ExperimentExecutionException):
    """A run failed; `wait_for_completion` raises it."""


class ErrorResponseException(UserErrorException):
    """A named object, such as a PipelineEndpoint, does not exist."""


class ProjectSystemException(AzureMLException):
    """A workspace or its configuration cannot be found."""


class RunConfigurationException(AzureMLException):
    """A run configuration is not valid."""


class AuthenticationException(AzureMLException):
    """Credentials are not valid."""


class DatasetValidationError(UserErrorException):
    """A dataset does not exist or has no files."""


class SnapshotException(AzureMLException):
    """A source folder cannot be copied."""


class WebserviceException(AzureMLException):
    """A web service cannot be used; Longshore deploys none."""


class WorkspaceException(AzureMLException):
    """A workspace cannot be used."""
