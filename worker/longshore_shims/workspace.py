"""Workspace and Experiment: what a step is in, as far as Longshore has names for it."""

from __future__ import annotations

from typing import Any, Dict

from longshore_run import context
from longshore_shims.absent import Refusing
from longshore_shims.dataset import StepDataset
from longshore_shims.model import Model


class Workspace(Refusing):
    """Stands for the place that the step runs in. There is one; subscription and resource group are names only."""

    def __init__(
        self, subscription_id: str = "", resource_group: str = "", workspace_name: str = "", *_: Any, **__: Any
    ) -> None:
        self.name = workspace_name or "longshore"
        self.subscription_id = subscription_id or "00000000-0000-0000-0000-000000000000"
        self.resource_group = resource_group or "longshore"
        self.location = "longshore"

    def __repr__(self) -> str:
        return "Workspace(name={})".format(self.name)

    @classmethod
    def from_config(cls, *_: Any, **__: Any) -> Workspace:
        """Return the workspace; a config.json, or where one would be, does not matter."""
        return cls()

    @classmethod
    def get(
        cls, name: str, auth: Any = None, subscription_id: str = "", resource_group: str = "", **_: Any
    ) -> Workspace:
        """Return the workspace, by the names that were given."""
        return cls(subscription_id, resource_group, name)

    @property
    def datasets(self) -> Dict[str, StepDataset]:
        """The step's inputs by name."""
        step = context.current()
        return {} if step is None else {each.name: StepDataset(each) for each in step.inputs}

    @property
    def models(self) -> Dict[str, Model]:
        """The latest version of each of the step's models, by name."""
        return {each.name: each for each in Model.list(self, latest=True)}


class StepExperiment(Refusing):
    """What runs are listed under: the pipeline, or the step where it is in none."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.name = name

    def __repr__(self) -> str:
        return "Experiment(name={}, workspace={})".format(self.name, self.workspace.name)


def experiment() -> StepExperiment:
    """Return the experiment of the step that this process is part of."""
    step = context.current()
    return StepExperiment(Workspace(), "" if step is None else step.experiment)
