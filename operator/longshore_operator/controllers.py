"""The table of controllers, by kind of resource, and the reconciler that calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from longshore_operator.cluster.api import Kube
from longshore_operator.cluster.coordinators import Coordinators
from longshore_operator.compute_clusters.controller import ClusterController
from longshore_operator.manifests import names
from longshore_operator.pipeline_runs.controller import RunController
from longshore_operator.pipelines.controller import PipelineController
from longshore_operator.reconcile.apply import Executor
from longshore_operator.reconcile.loop import Controller, Reconciler
from longshore_operator.settings import Settings
from longshore_operator.steps.controller import StepController
from longshore_operator.tasks.controller import TaskController


def controllers(kube: Kube, coordinators: Coordinators, settings: Settings) -> Mapping[str, Controller[Any, Any]]:
    """Return the controller of each kind."""
    tasks = TaskController(kube, settings)
    return {
        names.STEP_KIND: StepController(kube, coordinators, settings),
        names.SCRIPT_KIND: tasks,
        names.TRANSFER_KIND: tasks,
        names.COMPUTE_KIND: ClusterController(kube, settings),
        names.PIPELINE_KIND: PipelineController(kube),
        names.RUN_KIND: RunController(kube, settings),
    }


def reconciler(kube: Kube, coordinators: Coordinators, settings: Settings, **clocks: Callable[[], Any]) -> Reconciler:
    """Return a reconciler of all kinds; `clocks` are its `now` and `monotonic`."""
    return Reconciler(controllers(kube, coordinators, settings), Executor(kube, coordinators), **clocks)
