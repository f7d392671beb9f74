"""Workspace and Experiment of a step."""

from __future__ import annotations

from typing import Any, Dict

from longshore_run import context
from longshore_shims.absent import Refusing
from longshore_shims.dataset import StepDataset
from longshore_shims.model import Model


class Workspace(Refusing):
    """The workspace of a step. There is only one; subscription and resource group are mere names."""

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
        """Return the workspace; config.json is not read."""
        return cls()

    @classmethod
    def get(
        cls, name: str, auth: Any = None, subscription_id: str = "", resource_group: str = "", **_: Any
    ) -> Workspace:
        """Return the workspace with the given names."""
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
    """The experiment of runs: named after the pipeline, or the step if it runs alone."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.name = name

    def __repr__(self) -> str:
        return "Experiment(name={}, workspace={})".format(self.name, self.workspace.name)


def experiment() -> StepExperiment:
    """Return the experiment of this process's step."""
    step = context.current()
    return StepExperiment(Workspace(), "" if step is None else step.experiment)
