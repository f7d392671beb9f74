"""The modules and names of Azure ML's packages, and what implements them.

A name without an implementation is one of `unsupported.ALTERNATIVES`: it can be imported, and raises when it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from longshore_azureml.unsupported import ALTERNATIVES, unsupported_class

VERSION = "1.61.0+longshore"
_CONSTANTS = {"VERSION": VERSION, "__version__": VERSION}

# module of this package -> the names that it implements
_IMPLEMENTED = {
    "authentication": (
        *("AbstractAuthentication", "AzureCliAuthentication", "InteractiveLoginAuthentication", "MsiAuthentication"),
        *("ServicePrincipalAuthentication", "TokenAuthentication"),
    ),
    "compute": ("AmlCompute", "ComputeTarget"),
    "dataset_factories": ("Dataset", "FileDatasetFactory", "TabularDatasetFactory"),
    "datasets": ("FileDataset", "TabularDataset"),
    "datastores": (
        *("AzureBlobDatastore", "AzureDataLakeGen2Datastore", "AzureFileDatastore", "DataPath"),
        *("DataPathComputeBinding", "DataReference", "Datastore"),
    ),
    "environments": (
        *("CondaDependencies", "DEFAULT_CPU_IMAGE", "DEFAULT_GPU_IMAGE", "DockerConfiguration", "DockerSection"),
        *("Environment", "PythonSection", "RunConfiguration", "ScriptRunConfig"),
    ),
    "errors": (
        *("ActivityFailedException", "AuthenticationException", "AzureMLException", "ComputeTargetException"),
        *("DatasetValidationError", "ErrorResponseException", "ExperimentExecutionException"),
        *("ModelNotFoundException", "NotSupportedException", "ProjectSystemException", "RunConfigurationException"),
        *("RunEnvironmentException", "SnapshotException", "UserErrorException", "WebserviceException"),
        "WorkspaceException",
    ),
    "experiments": ("Experiment",),
    "inputs": ("DatasetConsumptionConfig",),
    "models": ("Model",),
    "outputs": (
        *("OutputFileDatasetConfig", "OutputTabularDatasetConfig", "PipelineData", "PipelineOutputFileDataset"),
        "PipelineOutputTabularDataset",
    ),
    "parallel": ("ParallelRunConfig", "ParallelRunStep"),
    "parameters": ("PipelineParameter",),
    "pipelines": ("Pipeline", "StepSequence"),
    "publishing": ("PipelineEndpoint", "PublishedPipeline"),
    "runs": ("PipelineRun", "Run", "StepRun", "StepRunOutput"),
    "steps": ("CommandStep", "DataTransferStep", "PipelineStep", "PythonScriptStep"),
    "widgets": ("RunDetails",),
    "workspace": ("Keyvault", "Workspace"),
}
_MODULE_OF = {name: module for module, names in _IMPLEMENTED.items() for name in names}

_ERRORS = tuple(each for each in _IMPLEMENTED["errors"] if each != "ErrorResponseException")
_COMPUTES = (
    *("AksCompute", "AmlCompute", "AdlaCompute", "BatchCompute", "ComputeInstance", "ComputeTarget"),
    *("DataFactoryCompute", "DatabricksCompute", "HDInsightCompute", "KubernetesCompute", "RemoteCompute"),
    "SynapseCompute",
)
_PIPELINES = (
    *("Module", "Pipeline", "PipelineData", "PipelineDraft", "PipelineEndpoint", "PipelineParameter", "PipelineRun"),
    *("PipelineStep", "PublishedPipeline"),
    *("Schedule", "ScheduleRecurrence", "StepRun", "StepRunOutput", "StepSequence", "TimeZone", "TrainingOutput"),
)
_STEPS = (
    *("AdlaStep", "AutoMLStep", "AzureBatchStep", "CommandStep", "DatabricksStep", "DataTransferStep"),
    *("EstimatorStep", "HyperDriveStep", "HyperDriveStepRun", "KustoStep", "ModuleStep", "MpiStep"),
    *("NotebookRunnerStep", "ParallelRunConfig", "ParallelRunStep", "PythonScriptStep", "RScriptStep"),
    "SynapseSparkStep",
)
_RUNCONFIG = (
    *("CondaDependencies", "DEFAULT_CPU_IMAGE", "DEFAULT_GPU_IMAGE", "DockerConfiguration", "DockerSection"),
    *("Environment", "MpiConfiguration", "PyTorchConfiguration", "PythonSection"),
    *("RunConfiguration", "TensorflowConfiguration"),
)
_SERVICES = ("AciWebservice", "AksWebservice", "LocalWebservice", "Webservice")
_PARAMETERS = ("PipelineParameter", "PipelineData", "StepSequence", "TrainingOutput")

MODULES: Mapping[str, tuple[str, ...]] = {
    "azureml": (),
    "azureml._restclient": (),
    "azureml._restclient.snapshots_client": (),
    "azureml.automl": (),
    "azureml.contrib": (),
    "azureml.contrib.pipeline": (),
    "azureml.contrib.pipeline.steps": ("ParallelRunConfig", "ParallelRunStep"),
    "azureml.core": (
        *("VERSION", "ComputeTarget", "Dataset", "Datastore", "Environment", "Experiment", "Image", "Keyvault"),
        *("LinkedService", "Model", "Run", "RunConfiguration", "ScriptRunConfig", "Webservice", "Workspace"),
    ),
    "azureml.core.authentication": _IMPLEMENTED["authentication"],
    "azureml.core.compute": (*_COMPUTES, "ComputeTargetException"),
    "azureml.core.compute_target": ("ComputeTarget", "ComputeTargetException"),
    "azureml.core.conda_dependencies": ("CondaDependencies",),
    "azureml.core.dataset": ("Dataset",),
    "azureml.core.datastore": ("Datastore",),
    "azureml.core.environment": (
        *("CondaDependencies", "DEFAULT_CPU_IMAGE", "DEFAULT_GPU_IMAGE", "DockerSection", "Environment"),
        *("PythonSection", "RSection"),
    ),
    "azureml.core.experiment": ("Experiment",),
    "azureml.core.image": ("ContainerImage", "Image"),
    "azureml.core.keyvault": ("Keyvault",),
    "azureml.core.model": ("InferenceConfig", "Model"),
    "azureml.core.run": ("Run",),
    "azureml.core.runconfig": _RUNCONFIG,
    "azureml.core.script_run_config": ("ScriptRunConfig",),
    "azureml.core.webservice": _SERVICES,
    "azureml.core.workspace": ("Workspace",),
    "azureml.data": ("FileDataset", "OutputFileDatasetConfig", "TabularDataset"),
    "azureml.data.azure_data_lake_datastore": ("AzureDataLakeGen2Datastore",),
    "azureml.data.azure_storage_datastore": ("AzureBlobDatastore", "AzureFileDatastore"),
    "azureml.data.constants": (),
    "azureml.data.data_reference": ("DataReference",),
    "azureml.data.datapath": ("DataPath", "DataPathComputeBinding"),
    "azureml.data.dataset_consumption_config": ("DatasetConsumptionConfig",),
    "azureml.data.dataset_factory": ("FileDatasetFactory", "TabularDatasetFactory"),
    "azureml.data.file_dataset": ("FileDataset",),
    "azureml.data.output_dataset_config": ("OutputFileDatasetConfig", "OutputTabularDatasetConfig"),
    "azureml.data.sql_data_reference": ("SqlDataReference",),
    "azureml.data.tabular_dataset": ("TabularDataset",),
    "azureml.exceptions": _ERRORS,
    "azureml.pipeline": (),
    "azureml.pipeline.core": _PIPELINES,
    "azureml.pipeline.core._restclients": (),
    "azureml.pipeline.core._restclients.aeva": (),
    "azureml.pipeline.core._restclients.aeva.models": (),
    "azureml.pipeline.core._restclients.aeva.models.error_response": ("ErrorResponseException",),
    "azureml.pipeline.core.builder": ("PipelineData", "PipelineStep", "StepSequence"),
    "azureml.pipeline.core.graph": _PARAMETERS,
    "azureml.pipeline.core.module": ("Module",),
    "azureml.pipeline.core.pipeline": ("Pipeline",),
    "azureml.pipeline.core.pipeline_draft": ("PipelineDraft",),
    "azureml.pipeline.core.pipeline_endpoint": ("PipelineEndpoint",),
    "azureml.pipeline.core.pipeline_output_dataset": (
        "PipelineOutputFileDataset",
        "PipelineOutputTabularDataset",
    ),
    "azureml.pipeline.core.run": ("PipelineRun", "StepRun", "StepRunOutput"),
    "azureml.pipeline.core.schedule": ("Schedule", "ScheduleRecurrence", "TimeZone"),
    "azureml.pipeline.steps": _STEPS,
    "azureml.train": (),
    "azureml.train.automl": ("AutoMLConfig",),
    "azureml.train.dnn": ("Gloo", "Mpi", "Nccl", "ParameterServer", "PyTorch", "TensorFlow"),
    "azureml.train.estimator": ("Estimator",),
    "azureml.train.hyperdrive": (
        *("BanditPolicy", "GridParameterSampling", "HyperDriveConfig", "PrimaryMetricGoal"),
        *("RandomParameterSampling", "choice", "uniform"),
    ),
    "azureml.train.sklearn": ("SKLearn",),
    "azureml.widgets": ("RunDetails",),
}


def find(module: str, name: str) -> Any:
    """Return what a name of a module is. Raises AttributeError for an unknown one."""
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    if name not in MODULES[module]:
        raise AttributeError(f"module {module!r} of Longshore has no attribute {name!r}")
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"longshore_azureml.{_MODULE_OF[name]}"), name)
    assert name in ALTERNATIVES, f"{name} is neither implemented nor has an alternative"
    return _unsupported.setdefault(name, unsupported_class(name))


_unsupported: dict[str, type] = {}
