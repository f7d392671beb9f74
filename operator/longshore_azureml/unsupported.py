"""Names without a counterpart in Longshore: they can be imported, and raise with an alternative when used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from longshore_azureml.errors import NotSupportedException
from longshore_azureml.keywords import nearest

_ONE_NODE = "use PythonScriptStep, which runs on one node"
_OUTSIDE = "run it outside of Longshore and pass its output as a path in a Datastore"
_SETS = "use a ParallelRunStep over a table of parameter sets, or one PythonScriptStep per set"
_AUTO = "train in a PythonScriptStep; for many models, use a ParallelRunStep with partition_keys"
_CRON = "apply a CronJob that creates a PipelineRun: kubectl create cronjob NAME --schedule=..."
_DEPLOYED = "Longshore does not deploy services; score with a ParallelRunStep"
_NARROWER = "use a Dataset with narrower paths, partition keys, or a PythonScriptStep"
_SQL = "use a TabularDataset of format sql, which a ParallelRunStep reads"

ALTERNATIVES = {
    "HyperDriveStep": _SETS,
    "HyperDriveStepRun": _SETS,
    "HyperDriveConfig": _SETS,
    "BanditPolicy": _SETS,
    "GridParameterSampling": _SETS,
    "PrimaryMetricGoal": _SETS,
    "RandomParameterSampling": _SETS,
    "choice": _SETS,
    "uniform": _SETS,
    "AutoMLStep": _AUTO,
    "AutoMLConfig": _AUTO,
    "AutoMLPipelineBuilder": _AUTO,
    "TrainingOutput": _AUTO,
    "EstimatorStep": _ONE_NODE,
    "Estimator": _ONE_NODE,
    "PyTorch": _ONE_NODE,
    "TensorFlow": _ONE_NODE,
    "SKLearn": _ONE_NODE,
    "MpiStep": _ONE_NODE,
    "MpiConfiguration": _ONE_NODE,
    "TensorflowConfiguration": _ONE_NODE,
    "PyTorchConfiguration": _ONE_NODE,
    "ParameterServer": _ONE_NODE,
    "Mpi": _ONE_NODE,
    "Gloo": _ONE_NODE,
    "Nccl": _ONE_NODE,
    "DatabricksStep": _OUTSIDE,
    "SynapseSparkStep": _OUTSIDE,
    "AdlaStep": _OUTSIDE,
    "KustoStep": _OUTSIDE,
    "AzureBatchStep": _OUTSIDE,
    "ModuleStep": _OUTSIDE,
    "NotebookRunnerStep": _OUTSIDE,
    "RScriptStep": "call Rscript from a PythonScriptStep",
    "RSection": "call Rscript from a PythonScriptStep",
    "Module": "use the step itself, in a Python function or a Pipeline document",
    "PipelineDraft": "use pipeline.publish(), or keep the Pipeline document in git",
    "Schedule": _CRON,
    "ScheduleRecurrence": _CRON,
    "TimeZone": _CRON,
    "Webservice": _DEPLOYED,
    "AciWebservice": _DEPLOYED,
    "AksWebservice": _DEPLOYED,
    "LocalWebservice": _DEPLOYED,
    "InferenceConfig": _DEPLOYED,
    "Image": _DEPLOYED,
    "ContainerImage": _DEPLOYED,
    "AksCompute": _DEPLOYED,
    "AksEndpoint": _DEPLOYED,
    "deploy": _DEPLOYED,
    "package": _DEPLOYED,
    "profile": _DEPLOYED,
    "ComputeInstance": "work on this machine: a local workspace needs no compute instance",
    "DatabricksCompute": _OUTSIDE,
    "AdlaCompute": _OUTSIDE,
    "BatchCompute": _OUTSIDE,
    "HDInsightCompute": _OUTSIDE,
    "SynapseCompute": _OUTSIDE,
    "RemoteCompute": "use a ComputeCluster of the Kubernetes cluster, or the local workspace",
    "KubernetesCompute": "use AmlCompute: it is a ComputeCluster of the Kubernetes cluster",
    "DataFactoryCompute": "leave it out: DataTransferStep needs no compute target",
    "attach": _OUTSIDE,
    "attach_configuration": _OUTSIDE,
    "SqlDataReference": _SQL,
    "from_sql_query": _SQL,
    "register_azure_sql_database": _SQL,
    "register_azure_postgre_sql": _SQL,
    "register_azure_my_sql": _SQL,
    "register_azure_data_lake": "register the data by register_azure_data_lake_gen2()",
    "register_dbfs": _OUTSIDE,
    "filter": _NARROWER,
    "take_sample": _NARROWER,
    "random_split": _NARROWER,
    "to_spark_dataframe": _NARROWER,
    "to_dask_dataframe": _NARROWER,
    "Dataset[...]": _NARROWER,
    "Linked service": _OUTSIDE,
    "LinkedService": _OUTSIDE,
    "PipelineDataset": "use DatasetConsumptionConfig",
    "get_mlflow_tracking_uri": "log metrics by Run.get_context().log()",
    "delete": "delete the object with kubectl, or its file in the workspace folder",
}
_OTHERWISE = "it needs Azure ML itself; remove the call, or run this script without `longshore azureml`"


def refuse(name: str, *, hint: str = "") -> NoReturn:
    """Raise NotSupportedException for a qualified name, with its alternative."""
    last = name.rpartition(".")[2]
    why = ALTERNATIVES.get(last) or ALTERNATIVES.get(name.partition(".")[0]) or hint or _OTHERWISE
    raise NotSupportedException(f"{name} is not supported by Longshore: {why}.")


class _Refusing(type):
    def __call__(cls, *_: Any, **__: Any) -> NoReturn:
        refuse(cls.__name__)

    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("__"):  # Python looks these up on any class
            raise AttributeError(name)
        refuse(f"{cls.__name__}.{name}")


def unsupported_class(name: str) -> type:
    """Return a class that raises NotSupportedException when it is called or one of its attributes is read."""
    return _Refusing(name, (), {"__doc__": f"Not supported: {ALTERNATIVES[name]}.", "__module__": __name__})


class _Suggesting(type):
    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        refuse(f"{cls.__name__}.{name}", hint=nearest(name, public(dir(cls))))


class Supported(metaclass=_Suggesting):
    """A base of supported classes: members that they lack raise NotSupportedException with an alternative."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        refuse(f"{type(self).__name__}.{name}", hint=nearest(name, public({*dir(type(self)), *vars(self)})))


def public(names: Iterable[str]) -> list[str]:
    """Return the public names, sorted."""
    return sorted(each for each in names if not each.startswith("_"))
