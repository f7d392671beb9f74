"""Names of azureml.core that can be imported but raise an error with an alternative when they are used.

Scripts import more than they use inside a step. A script that also submits itself must not fail at its imports.
"""

from __future__ import annotations

from typing import Any, Callable, NoReturn

from longshore_shims.errors import NotInsideAStep

_SUBMITTED = "a step cannot submit other work; write a Pipeline or a ParallelRunStep and run it"
_SURROUNDINGS = "set computeTarget and environment in the step's document"
_CREDENTIALS = "a step has no workspace to sign in to; pass other credentials in its environmentVariables"
_DATA = "use Dataset.get_by_name or run.input_datasets for the step's inputs"
_DEPLOYED = "Longshore does not deploy services"
_KEPT = "write files to the output folder, or to ./outputs of a script step"
_NAMED = "write to an output, and refer to it in later steps by the path of a Model or a Dataset document"

ALTERNATIVES = {
    "ComputeTarget": _SURROUNDINGS,
    "AmlCompute": _SURROUNDINGS,
    "Environment": _SURROUNDINGS,
    "RunConfiguration": _SURROUNDINGS,
    "DockerSection": _SURROUNDINGS,
    "DEFAULT_CPU_IMAGE": _SURROUNDINGS,
    "DEFAULT_GPU_IMAGE": _SURROUNDINGS,
    "CondaDependencies": _SURROUNDINGS,
    "Experiment": _SUBMITTED,
    "ScriptRunConfig": _SUBMITTED,
    "Keyvault": _CREDENTIALS,
    "AzureCliAuthentication": _CREDENTIALS,
    "InteractiveLoginAuthentication": _CREDENTIALS,
    "MsiAuthentication": _CREDENTIALS,
    "ServicePrincipalAuthentication": _CREDENTIALS,
    "Image": _DEPLOYED,
    "Webservice": _DEPLOYED,
    # of Run, Model, Dataset and Workspace
    "submit": _SUBMITTED,
    "experiment": "an offline run has none",
    "fail": "raise an exception to fail a step",
    "register": _NAMED,
    "upload_file": _KEPT,
    "upload_files": _KEPT,
    "upload_folder": _KEPT,
    "log_image": _KEPT,
    "deploy": _DEPLOYED,
    "compute_targets": _SURROUNDINGS,
    "environments": _SURROUNDINGS,
    "get_default_keyvault": _CREDENTIALS,
    "get_by_id": _DATA,
    "MiniBatchRows": "call to_pandas_dataframe() for the rows of a table's mini-batch",
}
_ELSE = "it needs Azure ML's own packages and a workspace"


def refuse(name: str) -> NoReturn:
    """Raise NotInsideAStep for a qualified name, with the alternative."""
    why = next((ALTERNATIVES[part] for part in reversed(name.split(".")) if part in ALTERNATIVES), _ELSE)
    raise NotInsideAStep("{} is not available inside a Longshore step: {}.".format(name, why))


class Absent:
    """A placeholder for a class or value that does not exist inside a step: any use raises NotInsideAStep."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        refuse(self._name)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # Python looks these up on any object
            raise AttributeError(name)
        refuse("{}.{}".format(self._name, name))

    def __repr__(self) -> str:
        return "<{}, not available inside a step>".format(self._name)


class _RefusingType(type):
    """A metaclass that raises NotInsideAStep for missing class attributes."""

    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        refuse("{}.{}".format(cls.__name__, name))


class Refusing(metaclass=_RefusingType):
    """A base class that raises NotInsideAStep for missing attributes."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        refuse("{}.{}".format(type(self).__name__, name))


def absent_names(module: str, *names: str) -> Callable[[str], Absent]:
    """Return a module's `__getattr__` that returns a placeholder for each of these names."""

    def find(name: str) -> Absent:
        if name not in names:
            raise AttributeError("module {!r} of Longshore has no attribute {!r}".format(module, name))
        return Absent("{}.{}".format(module, name))

    return find
