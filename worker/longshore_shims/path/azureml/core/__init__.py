"""What scripts use of azureml.core inside a step; the rest can be imported, and says what to do when it is used."""

from longshore_shims.absent import absent_names
from longshore_shims.model import Model

VERSION = __version__ = "0+longshore"

__all__ = ["Model"]
__getattr__ = absent_names(
    __name__, "ComputeTarget", "Datastore", "Environment", "Experiment", "Image", "Keyvault", "RunConfiguration",
    "ScriptRunConfig", "Webservice",
)  # fmt: skip
