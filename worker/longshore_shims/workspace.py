"""Workspace and Experiment of a step."""

from __future__ import annotations

from typing import Any, Dict

from longshore_run import context
from longshore_shims.absent import Refusing
from longshore_shims.dataset import Dataset, StepDataset
from longshore_shims.datastore import Datastore, datastores
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
        """The step's inputs, and the latest version of each Dataset that it may use, by name."""
        return Dataset.get_all(self)

    @property
    def models(self) -> Dict[str, Model]:
        """The latest version of each of the step's models, and of each that it may use, by name."""
        return {each.name: each for each in Model.list(self, latest=True)}

    @property
    def datastores(self) -> Dict[str, Datastore]:
        """The Datastores that the step may use, by name."""
        return datastores(self)

    def get_default_datastore(self) -> Datastore:
        """Return the default Datastore. Raises UserErrorException if the step may not use it."""
        return Datastore.get_default(self)


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
