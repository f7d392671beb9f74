"""From a step and the objects around it on a cluster to one run: a resolved job, and what its pods must be given.

A cluster run is resolved as a local one is, once its documents speak of places inside its pods (`layout`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import cast

from longshore_api.base import Resource
from longshore_api.parallel_run_step import ParallelRunStep
from longshore_planner.catalogue import Document, Documents
from longshore_planner.cluster.layout import PodLayout
from longshore_planner.cluster.pod_requirements import PodRequirements
from longshore_planner.locations import join
from longshore_planner.resolve import resolve
from longshore_protocol.job import Job
from longshore_protocol.reading import read_text


@dataclass(frozen=True)
class ClusterRun:
    """One run of a ParallelRunStep on a cluster: everything that its objects are made from, frozen when it begins."""

    namespace: str
    step: str
    uid: str  # of the step
    generation: int  # of the spec that it was made from
    job: Job
    provision: PodRequirements = field(default_factory=PodRequirements)

    @property
    def is_resumed(self) -> bool:
        """Whether the run is another step's, which this one goes on with."""
        return self.job.run_id != own_run_id(self.step, self.uid)

    def to_json(self) -> str:
        """Return the run as JSON that `from_json` reads back."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> ClusterRun:
        """Read what `to_json` wrote, in this version or an adjacent one. Raises ValueError."""
        return read_text(ClusterRun, text)


def resolve_on_cluster(
    documents: Documents,
    *,
    namespace: str,
    uid: str,
    generation: int,
    host_paths: bool,
    resumed: str | None = None,
) -> ClusterRun:
    """Resolve the one ParallelRunStep of the documents for the cluster they come from.

    `uid` and `generation` are the step's; `host_paths` allows Datastores on folders of the nodes; `resumed` is the id
    of the run that this one goes on with. Raises InvalidDocuments with every problem found.
    """
    steps = documents.of(ParallelRunStep)
    assert len(steps) == 1, "the step, and what is around it"
    (step,) = steps
    layout = PodLayout(documents, cast("Document[Resource]", step), host_paths=host_paths)
    mounted = layout.documents_in_pods()
    store = layout.run_store(mounted)
    provision = layout.provision()
    assert store is not None, "or there is a problem"
    run_id = resumed or own_run_id(step.name, uid)
    job = resolve(mounted, run_uri=join(store, f"longshore/{run_id}"), run_id=run_id, cores=1).job
    spec = step.resource.spec
    job = replace(
        job,
        retry_failed=spec.retry_failed,
        accept_changed_code=spec.accept_changed_code,
        code_uri=provision.source_uri or "",
    )
    return ClusterRun(namespace, step.name, uid, generation, on_nodes(job, step.resource, provision), provision)


def on_nodes(job: Job, step: ParallelRunStep, provision: PodRequirements) -> Job:
    """Return the job with what follows from the nodes that it runs on."""
    node = provision.node
    if step.spec.process_count_per_node == "auto":
        job = replace(job, processes_per_worker=node.processes)
    return replace(job, gpus_per_worker=node.gpus, runtime=provision.image)


def own_run_id(step: str, uid: str) -> str:
    """Return the id of the run that a step begins."""
    return f"{step}-{uid[:8]}"
