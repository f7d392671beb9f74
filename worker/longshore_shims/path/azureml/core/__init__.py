"""The parts of azureml.core for scripts inside a step; other names raise an error with an alternative when used."""

from longshore_shims.absent import absent_names
from longshore_shims.dataset_factory import Dataset
from longshore_shims.datastore import Datastore
from longshore_shims.model import Model
from longshore_shims.run import Run
from longshore_shims.workspace import Workspace

VERSION = __version__ = "0+longshore"

__all__ = ["Dataset", "Datastore", "Model", "Run", "Workspace"]
__getattr__ = absent_names(
    __name__, "ComputeTarget", "Environment", "Experiment", "Image", "Keyvault", "RunConfiguration",
    "ScriptRunConfig", "Webservice",
)  # fmt: skip
