"""The exceptions of the shims under their Azure ML names."""

from longshore_shims.errors import (
    AzureMLException,
    ModelNotFoundException,
    RunEnvironmentException,
    UserErrorException,
)

__all__ = ["AzureMLException", "ModelNotFoundException", "RunEnvironmentException", "UserErrorException"]
