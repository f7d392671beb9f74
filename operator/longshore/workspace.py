"""Workspaces: where steps and pipelines run, and where their runs are found again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from longshore.runs import Run

if TYPE_CHECKING:
    from longshore.documents import Documents
    from longshore.pipelines import Pipeline, PipelineRun
    from longshore.resource import Resource
    from longshore.steps import Step

ContentFingerprint = Literal["none", "stamps", "digests"]


class Workspace(ABC):
    """Where steps and pipelines run: `Workspace.local()` on this machine, `Workspace.kubernetes()` on a cluster."""

    @staticmethod
    def local(folder: str | PathLike[str] = ".") -> Workspace:
        """Return the workspace of a folder of this machine, whose runs are in its folder `.longshore`.

        Runs use the same processes as `longshore run`, in the background: they survive this process.
        """
        from longshore.local import LocalWorkspace

        return LocalWorkspace(folder)

    @staticmethod
    def kubernetes(namespace: str | None = None, context: str | None = None) -> Workspace:
        """Return the workspace of a namespace of a cluster, where the operator runs what is submitted.

        Calls have the rights of the kubeconfig's user. Local code is uploaded: small folders without subfolders as
        ConfigMaps, others to the default Datastore. Logs and outputs are read from their stores with this process's
        credentials.

        Args:
            namespace: The namespace; that of the context if not given.
            context: A context of the kubeconfig; the current one if not given.

        Raises:
            ImportError: The package kubernetes is not installed: pip install 'longshore[kubernetes]'.
            ApiError: No usable configuration is found.
        """
        from longshore.cluster import KubernetesWorkspace
        from longshore_runs.cluster_api import KubernetesApi

        api = KubernetesApi(namespace, context)
        return KubernetesWorkspace(api, api.namespace)

    @abstractmethod
    def submit(
        self,
        work: Step | Pipeline | PipelineRun | Documents,
        *,
        parameters: Mapping[str, Any] | None = None,
        regenerate_outputs: bool = False,
        continue_on_step_failure: bool = False,
        content_fingerprint: ContentFingerprint | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Run:
        """Start a run; return it at once, while it runs.

        Args:
            work: A step, a pipeline, or documents that contain exactly one of them.
            parameters: Values of the pipeline's parameters by name: also datasets.
            regenerate_outputs: Run every step, even if outputs of an earlier run could be reused.
            continue_on_step_failure: Start steps that do not depend on a failed step.
            content_fingerprint: What must be unchanged in files of inputs and models for a step to be reused: none
                (their paths alone), stamps (sizes and times) or digests (contents).
            tags: Texts by name, by which `runs` finds the run.

        Raises:
            InvalidArgument: with every problem of the step or pipeline, and of what it refers to.
        """

    @abstractmethod
    def run(self, run_id: str) -> Run:
        """Return the run with an id, also one that another process submitted. Raises KeyError if there is none."""

    @abstractmethod
    def runs(self, *, name: str | None = None, tags: Mapping[str, str] | None = None, limit: int = 100) -> list[Run]:
        """Return the latest runs, the latest first.

        Args:
            name: Name of the pipeline or step; all if not given.
            tags: Tags that the runs must have.
            limit: Number of runs at most.
        """

    @abstractmethod
    def apply(self, *resources: Resource) -> None:
        """Keep objects in the workspace, so that steps can refer to them by name; replace those of the same name."""

    @abstractmethod
    def resources(self, kind: str | None = None) -> Sequence[Resource]:
        """Return the objects that the workspace keeps: all, or those of one kind, such as "Dataset"."""

    @abstractmethod
    def delete(self, kind: str, name: str) -> None:
        """Delete an object that the workspace keeps. Raises KeyError if there is none."""
