"""The custom resources of longshore.dev/v1alpha1 as typed models: fields, defaults, ranges, statuses.

The package imports pydantic and no other Longshore package, and reads no files: its callers parse text into mappings.
The docstring and range of a field become its description and limits in the custom resource definition. So schemas must
be structural in Kubernetes' sense: no tuples, and no unions except integer-or-string. `crdgen` generates the
definitions; no module imports it.
"""

from longshore_api.base import API_VERSION, Metadata, Resource
from longshore_api.data import Dataset, DatasetSpec, Datastore, FileDataset, TabularDataset
from longshore_api.errors import InvalidDocuments, Problem
from longshore_api.parallel_run_step import ParallelRunStep, ParallelRunStepSpec
from longshore_api.pipeline import Pipeline, PipelineRun
from longshore_api.pipeline_status import PipelineRunStatus
from longshore_api.resources import ComputeCluster, Environment, Model
from longshore_api.status import ParallelRunStepStatus
from longshore_api.task_status import TaskStatus
from longshore_api.tasks import ScriptStep, TransferStep
from longshore_api.validation import KINDS, parse

__all__ = [
    "API_VERSION",
    "KINDS",
    "ComputeCluster",
    "Dataset",
    "DatasetSpec",
    "Datastore",
    "Environment",
    "FileDataset",
    "InvalidDocuments",
    "Metadata",
    "Model",
    "ParallelRunStep",
    "ParallelRunStepSpec",
    "ParallelRunStepStatus",
    "Pipeline",
    "PipelineRun",
    "PipelineRunStatus",
    "Problem",
    "Resource",
    "ScriptStep",
    "TabularDataset",
    "TaskStatus",
    "TransferStep",
    "parse",
]
