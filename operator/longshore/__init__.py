"""Longshore for Python: author steps and pipelines, submit them, watch them and read what they produced.

Example:
    ws = longshore.Workspace.local()
    run = ws.submit(longshore.ParallelRunStep("score", "score.py", inputs={"images": images}, output="scores"))
    run.wait()
    run.outputs["scores"].to_pandas()

`__all__` is the public surface; names of its modules may change. An import loads nothing but this module: each name
loads what it needs when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longshore.data import Datastore, FileDataset, Input, TabularDataset
    from longshore.debugging import debug
    from longshore.documents import Documents, load
    from longshore.functions import parallel_run
    from longshore.pipelines import Pipeline, PipelineRun
    from longshore.resource import InvalidArgument, Resource
    from longshore.resources import ComputeCluster, Environment, Model
    from longshore.runs import Log, Run, RunFailed, RunOutput, StepRun
    from longshore.steps import ParallelRunStep, ScriptStep, Step, TransferStep
    from longshore.values import DataPath, Output, Parameter, StepOutput
    from longshore.workspace import Workspace
    from longshore_runs.cluster_api import ApiError
    from longshore_runs.records import Progress
    from longshore_runs.step_folder import Failure

__version__ = "0.1.0"  # of every package of the wheel: the build reads it here

__all__ = [
    "ApiError",
    "ComputeCluster",
    "DataPath",
    "Datastore",
    "Documents",
    "Environment",
    "Failure",
    "FileDataset",
    "Input",
    "InvalidArgument",
    "Log",
    "Model",
    "Output",
    "ParallelRunStep",
    "Parameter",
    "Pipeline",
    "PipelineRun",
    "Progress",
    "Resource",
    "Run",
    "RunFailed",
    "RunOutput",
    "ScriptStep",
    "Step",
    "StepOutput",
    "StepRun",
    "TabularDataset",
    "TransferStep",
    "Workspace",
    "debug",
    "load",
    "parallel_run",
]

_MODULES = {
    "data": ("Datastore", "FileDataset", "Input", "TabularDataset"),
    "debugging": ("debug",),
    "documents": ("Documents", "load"),
    "functions": ("parallel_run",),
    "pipelines": ("Pipeline", "PipelineRun"),
    "resource": ("InvalidArgument", "Resource"),
    "resources": ("ComputeCluster", "Environment", "Model"),
    "runs": ("Log", "Run", "RunFailed", "RunOutput", "StepRun"),
    "steps": ("ParallelRunStep", "ScriptStep", "Step", "TransferStep"),
    "values": ("DataPath", "Output", "Parameter", "StepOutput"),
    "workspace": ("Workspace",),
}
_MODULE_OF = {name: f"longshore.{module}" for module, names in _MODULES.items() for name in names} | {
    "ApiError": "longshore_runs.cluster_api",
    "Failure": "longshore_runs.step_folder",
    "Progress": "longshore_runs.records",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'longshore' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
