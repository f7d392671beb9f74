"""Names of azureml.core that can be imported, and say what to do instead when they are used.

Scripts import more than they use inside a step: one that also submits itself must not fail at its first lines.
"""

from __future__ import annotations

from typing import Any, Callable, NoReturn

from longshore_shims.errors import NotInsideAStep

_SUBMITTED = "a step cannot submit other work; write a Pipeline, or a ParallelRunStep, and run that"
_SURROUNDINGS = "where a step runs is said in its document: computeTarget and environment"
_CREDENTIALS = "a step has no workspace to sign in to; what else it needs comes in its environmentVariables"
_DATA = "a step's data are its inputs and outputs; ask for them by Dataset.get_by_name or run.input_datasets"
_DEPLOYED = "Longshore deploys no services"
_KEPT = "what is to be kept is written below the output folder, or to ./outputs of a script step"
_NAMED = "what is written below an output is named, for later steps, by the path of a Model or a Dataset document"

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
    "Datastore": _DATA,
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
    "fail": "a step fails by an exception of its script",
    "register": _NAMED,
    "register_model": _NAMED,
    "upload_file": _KEPT,
    "upload_files": _KEPT,
    "upload_folder": _KEPT,
    "log_image": _KEPT,
    "deploy": _DEPLOYED,
    "compute_targets": _SURROUNDINGS,
    "environments": _SURROUNDINGS,
    "datastores": _DATA,
    "get_default_datastore": _DATA,
    "get_default_keyvault": _CREDENTIALS,
    "File": _DATA,
    "Tabular": _DATA,
    "get_by_id": _DATA,
    "MiniBatchRows": "the mini-batch of a table is rows, which to_pandas_dataframe() returns",
}
_ELSE = "it needs Azure ML's own packages, and a workspace to talk to"


def refuse(name: str) -> NoReturn:
    """Raise NotInsideAStep for a qualified name."""
    why = next((ALTERNATIVES[part] for part in reversed(name.split(".")) if part in ALTERNATIVES), _ELSE)
    raise NotInsideAStep("{} is not there inside a step of Longshore: {}.".format(name, why))


class Absent:
    """Stands for a class or a value that there is not: any use of it raises NotInsideAStep."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        refuse(self._name)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # Python itself asks for these, of any object
            raise AttributeError(name)
        refuse("{}.{}".format(self._name, name))

    def __repr__(self) -> str:
        return "<{}, which is not there inside a step>".format(self._name)


class _RefusingType(type):
    """The same for what the class does not have."""

    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        refuse("{}.{}".format(cls.__name__, name))


class Refusing(metaclass=_RefusingType):
    """A class that raises NotInsideAStep for what its objects do not have."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        refuse("{}.{}".format(type(self).__name__, name))


def absent_names(module: str, *names: str) -> Callable[[str], Absent]:
    """Return the `__getattr__` of a module in which these names are absent, and others not even known."""

    def find(name: str) -> Absent:
        if name not in names:
            raise AttributeError("module {!r} of Longshore has no attribute {!r}".format(module, name))
        return Absent("{}.{}".format(module, name))

    return find
